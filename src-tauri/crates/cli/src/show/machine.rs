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
