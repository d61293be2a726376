//! The machine, the settings and the starter in words.

use super::{decimal, next, plain};
use crate::failure::Outcome;
use crate::table::{Facts, Left, Table};
use crate::words::{bytes, indented};
use attune_studio::Error;
use attune_studio::api::{
    Backend, BackendCheck, DoctorReport, GpuBackendKind, Memory, SettingDefinition, SettingKind,
    Starter,
};

/// What this machine is.
pub(super) fn doctor(report: &DoctorReport) -> String {
    let platform = &report.platform;
    let mut facts = Facts::default();
    facts.add("Attune", &report.version);
    facts.add(
        "Platform",
        format!(
            "{}, {}, kernel {}",
            platform.architecture, platform.system_name, platform.kernel
        ),
    );
    facts.add_some("Computer", platform.model.clone());
    facts.add(
        "Processor",
        format!(
            "{}, {} of {} cores usable",
            platform.chip, platform.usable_cores, platform.cores
        ),
    );
    facts.add(
        "Computes on",
        format!(
            "{}: {}",
            report.gpu_backend.kind.as_str(),
            report.gpu_backend.reason
        ),
    );
    facts.add("Memory", memory(&report.memory));
    facts.add(
        "Disk",
        match report.disk.total {
            0 => "unknown".to_owned(),
            total => format!("{} free of {}", bytes(report.disk.available), bytes(total)),
        },
    );
    facts.add(
        "Home",
        format!("{} ({})", report.home.display(), report.home_reason),
    );
    facts.add("Model cache", report.model_cache.display().to_string());
    let mut devices = Facts::default();
    for backend in &report.gpu_backend.backends {
        devices.add(backend.kind.as_str(), device(backend));
    }
    let devices = indented(&devices.to_string(), 2);
    let checks = report.checks.iter().map(check);
    let checks: String = match checks.collect::<String>() {
        none if none.is_empty() => none,
        checks => format!("\nChecked with a small model, against the formulas:\n{checks}"),
    };
    let findings = match report.findings.as_slice() {
        [] => "\nAll is well.\n".to_owned(),
        findings => findings
            .iter()
            .fold("\nWorth knowing:\n".to_owned(), |text, line| {
                text + "  " + line + "\n"
            }),
    };
    format!("{facts}\nDevices:\n{devices}{checks}{findings}")
}

fn memory(memory: &Memory) -> String {
    let limit = memory.limit.map(|_| ", limited").unwrap_or_default();
    let shared = if memory.unified {
        ", shared with the GPU"
    } else {
        ""
    };
    let (available, total) = (bytes(memory.available), bytes(memory.total));
    format!("{available} free of {total}{limit}{shared}")
}

/// What was found of a device, and what would help.
fn device(backend: &Backend) -> String {
    let mut text = backend.reason.clone();
    if backend.kind != GpuBackendKind::Cpu
        && let Some(found) = &backend.memory
    {
        text += &format!("; {}", memory(found));
    }
    if let Some(remedy) = &backend.remedy {
        text += &format!(". {remedy}");
    }
    text
}

/// What came out of a device's check, in a line.
fn check(check: &BackendCheck) -> String {
    let said = match (&check.result, &check.problem) {
        (Some(result), _) => format!(
            "{}: loss {:.1e}, gradients {:.1e}, step {:.1e} apart (at most {:.0e}); {:.0} tokens/s, matrices {:.1} GFLOP/s",
            if result.agrees { "right" } else { "WRONG" },
            result.loss_difference,
            result.gradient_difference,
            result.step_difference,
            result.tolerance,
            result.tokens_per_second,
            result.operations_per_second / 1e9
        ),
        (None, Some(problem)) => format!("failed: {problem}"),
        (None, None) => "not run".to_owned(),
    };
    let mut text = format!("  {}  {said}\n", check.kind.as_str());
    if let Some(result) = &check.result
        && result.operations > 0
    {
        let count = result.operations;
        text += &format!("       {count} operations compared with the processor's\n");
        for concern in &result.concerns {
            text += &format!("       {concern}\n");
        }
    }
    text
}

/// The setting called `key`.
pub(crate) fn find_setting<'a>(
    settings: &'a [SettingDefinition],
    key: &str,
) -> Outcome<&'a SettingDefinition> {
    settings
        .iter()
        .find(|setting| setting.key == key || setting.h2o_name.as_deref() == Some(key))
        .ok_or_else(|| {
            Error::new("setting-unknown", format!("there is no setting `{key}`"))
                .with_remedy("`attune settings` lists every setting.")
                .into()
        })
}

/// Every setting, by group.
pub(super) fn settings(settings: &[SettingDefinition]) -> String {
    let mut text = String::new();
    for group in settings.chunk_by(|one, next| one.group == next.group) {
        let mut table = Table::new([("", Left), ("", Left), ("", Left)]);
        for setting in group {
            table.add([
                setting.key.clone(),
                default(setting),
                first_sentence(&setting.help).to_owned(),
            ]);
        }
        let heading = group
            .first()
            .map(|setting| setting.group.as_str())
            .unwrap_or_default();
        text += &format!("{heading}\n{}\n", indented(&table.to_string(), 2));
    }
    text + "`attune settings KEY` says more about one. Give a setting as `--set KEY=VALUE`, or in CONFIG.yaml.\n"
}

/// One setting in full.
pub(super) fn setting(setting: &SettingDefinition) -> String {
    let mut facts = Facts::default();
    facts.add("Setting", format!("{} ({})", setting.key, setting.title));
    facts.add("Default", default(setting));
    facts.add("Values", values(&setting.kind));
    facts.add("For", setting.level.clone());
    facts.add_some(
        "Matters when",
        setting
            .applies_when
            .as_ref()
            .map(|when| format!("{} is {}", when.key, plain(&when.value))),
    );
    facts.add_some("In H2O LLM Studio", setting.h2o_name.clone());
    format!("{facts}\n{}\n", setting.help)
}

fn first_sentence(help: &str) -> &str {
    help.split_inclusive(". ").next().unwrap_or(help).trim_end()
}

fn default(setting: &SettingDefinition) -> String {
    if setting.required {
        "must be given".to_owned()
    } else {
        plain(&setting.default)
    }
}

fn values(kind: &SettingKind) -> String {
    match kind {
        SettingKind::Switch => "on or off".to_owned(),
        SettingKind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        SettingKind::Number { min, max } => {
            format!("a number from {} to {}", decimal(*min), decimal(*max))
        }
        SettingKind::Choice { choices } => format!("one of {}", choices.join(", ")),
        SettingKind::Text => "a text".to_owned(),
        SettingKind::List { choices } if choices.is_empty() => {
            "texts with commas between them".to_owned()
        }
        SettingKind::List { choices } => format!("some of {}", choices.join(", ")),
    }
}

/// What the starter installed.
pub(super) fn starter(starter: &Starter) -> String {
    let mut facts = Facts::default();
    facts.add("Model", &starter.model);
    facts.add("Dataset", &starter.dataset);
    facts.add("Held out", &starter.held_out);
    let next = next(&[
        format!("attune data show {}", starter.dataset),
        format!(
            "attune train --model {} --dataset {}",
            starter.model, starter.dataset
        ),
        "attune demo".to_owned(),
    ]);
    format!("Installed.\n\n{facts}{next}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_studio::api::DeviceCheck;

    fn found(operations: usize, concerns: &[&str], agrees: bool) -> BackendCheck {
        BackendCheck {
            kind: GpuBackendKind::Metal,
            result: Some(DeviceCheck {
                loss: 4.9,
                loss_difference: 2.1e-7,
                gradient_difference: 3.4e-6,
                step_difference: 5.6e-5,
                tolerance: 1e-3,
                operations,
                concerns: concerns.iter().map(ToString::to_string).collect(),
                agrees,
                tokens_per_second: 7012.0,
                operations_per_second: 2.5e12,
            }),
            problem: None,
        }
    }

    const NUMBERS: &str = "loss 2.1e-7, gradients 3.4e-6, step 5.6e-5 apart (at most 1e-3); 7012 tokens/s, matrices 2500.0 GFLOP/s";

    #[test]
    fn each_operation_that_differs_has_a_line() {
        let concerns = [
            "our kernel for rope is switched off: it is off by 1.2e-2; candle's operations compute it",
            "softmax is off by 3.0e-1",
        ];
        let said = check(&found(48, &concerns, false));
        let expected = [
            &format!("  metal  WRONG: {NUMBERS}"),
            "       48 operations compared with the processor's",
            &format!("       {}", concerns[0]),
            "       softmax is off by 3.0e-1",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_device_that_agrees_is_told_in_two_lines() {
        let said = check(&found(48, &[], true));
        let expected = [
            &format!("  metal  right: {NUMBERS}"),
            "       48 operations compared with the processor's",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
        // The processor is compared with nothing but the formulas.
        let alone = check(&found(0, &[], true));
        assert_eq!(alone.lines().collect::<Vec<_>>(), expected[..1]);
    }

    #[test]
    fn a_check_that_failed_says_why() {
        let problem = Error::new("device-unavailable", "the device `metal` cannot be used");
        let failed = BackendCheck {
            result: None,
            problem: Some(problem),
            ..found(0, &[], true)
        };
        let said = check(&failed);
        assert_eq!(said, "  metal  failed: the device `metal` cannot be used\n");
        let idle = BackendCheck {
            problem: None,
            ..failed
        };
        assert_eq!(check(&idle), "  metal  not run\n");
    }
}
