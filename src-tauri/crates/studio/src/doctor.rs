//! What this machine is, and what Attune can use of it.

mod backend;
mod calls;
mod cuda;
mod cuda_libraries;
#[cfg(test)]
mod machines;
pub(crate) mod memory;
mod platform;
mod probe;

use crate::Studio;
use crate::api::{
    BackendCheck, Disk, DoctorReport, DoctorRequest, GpuBackend, GpuBackendKind, Platform, Session,
};
use crate::error::Result;
use crate::files::disk_space;
use crate::models::cache_folder;
use attune_engine::{DeviceCheck, check_device};

/// Below this, a run of even a small model may not fit.
const LITTLE_DISK: u64 = 2_000_000_000;

/// Says what this machine is.
pub(crate) fn examine(
    studio: &Studio,
    request: DoctorRequest,
    session: &mut Session<'_>,
) -> Result<DoctorReport> {
    let home = studio.home();
    let disk = disk_space(home.root()).unwrap_or(Disk {
        total: 0,
        available: 0,
    });
    let mut findings = Vec::new();
    if disk.total > 0 && disk.available < LITTLE_DISK {
        findings.push(format!(
            "Only {} MB are free where Attune keeps its files.",
            disk.available / 1_000_000
        ));
    }
    if let Some(parent) = home.root().ancestors().find(|folder| folder.exists())
        && nix::unistd::access(parent, nix::unistd::AccessFlags::W_OK).is_err()
    {
        findings.push(format!(
            "{} cannot be written. Set ATTUNE_HOME to another folder.",
            parent.display()
        ));
    }
    let platform = Platform::detect();
    if platform.translated {
        findings.push(
            "This is the program for Intel Macs, which Rosetta translates. Install Attune for Apple Silicon."
                .to_owned(),
        );
    }
    let found = studio.look();
    // What computes is told even where it is not what was asked for.
    let gpu_backend = studio.backend_of(found.clone()).unwrap_or_else(|error| {
        let remedy = error.remedy.as_deref().unwrap_or_default();
        findings.push(sentence(&format!("{error}. {remedy}")));
        found
    });
    let checks = if request.check {
        checks(&gpu_backend, session)?
    } else {
        Vec::new()
    };
    findings.extend(checks.iter().filter_map(finding));
    Ok(DoctorReport {
        platform,
        gpu_backend,
        checks,
        memory: memory::measure(),
        disk,
        home: home.root().to_owned(),
        home_reason: home.reason().to_owned(),
        model_cache: cache_folder(),
        capacity: crate::estimate::capacity(crate::estimate::usable(studio)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        findings,
    })
}

/// Runs the small model on everything that can be used.
fn checks(found: &GpuBackend, session: &Session<'_>) -> Result<Vec<BackendCheck>> {
    let mut checks = Vec::new();
    for backend in found.backends.iter().filter(|backend| backend.is_ready()) {
        session.check()?;
        let checked = check(backend.kind);
        checks.push(BackendCheck {
            kind: backend.kind,
            problem: checked.as_ref().err().cloned(),
            result: checked.ok(),
        });
    }
    Ok(checks)
}

fn check(kind: GpuBackendKind) -> Result<DeviceCheck> {
    Ok(check_device(&kind.open()?)?)
}

/// What is wrong with a device by its check.
fn finding(check: &BackendCheck) -> Option<String> {
    let kind = check.kind.as_str();
    match (&check.result, &check.problem) {
        (Some(result), _) if result.agrees => None,
        (Some(result), _) => Some(format!(
            "The device `{kind}` computes wrongly: a gradient is off by {:.1e} of the largest. Compute on another, and send the diagnostics.",
            result.gradient_difference
        )),
        (None, Some(problem)) => Some(sentence(&format!(
            "the check of the device `{kind}` failed: {problem}. {}",
            problem.remedy.as_deref().unwrap_or_default()
        ))),
        (None, None) => None,
    }
}

/// With a capital letter, and nothing hanging behind.
fn sentence(words: &str) -> String {
    let mut letters = words.trim().chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::Control;

    fn examined(studio: &Studio, check: bool) -> DoctorReport {
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        examine(studio, DoctorRequest { check }, &mut session).unwrap()
    }

    /// A person runs the doctor when nothing else works: it must not need a home folder.
    #[test]
    fn it_writes_nothing() {
        let home = std::env::temp_dir().join("attune-doctor-never-made");
        let report = examined(&Studio::open_at(&home), false);
        assert!(report.memory.total > 0 && report.disk.total > 0 && report.checks.is_empty());
        assert!(!home.exists());
    }

    #[test]
    fn everything_that_can_compute_is_checked() {
        let home = tempfile::tempdir().unwrap();
        let report = examined(&Studio::open_at(home.path()), true);
        let ready = report.gpu_backend.backends.iter();
        let ready: Vec<_> = ready
            .filter(|backend| backend.is_ready())
            .map(|backend| backend.kind)
            .collect();
        let checked: Vec<_> = report.checks.iter().map(|check| check.kind).collect();
        assert_eq!(checked, ready);
        assert!(report.checks.iter().all(|check| finding(check).is_none()));
    }

    /// The doctor is asked when a choice does not work; it says so instead of failing.
    #[test]
    fn a_choice_that_cannot_be_followed_is_worth_knowing() {
        let home = tempfile::tempdir().unwrap();
        let impossible = GpuBackendKind::ALL
            .into_iter()
            .find(|kind| !kind.is_built())
            .unwrap();
        std::fs::write(
            home.path().join("preferences.json"),
            format!(r#"{{"device": "{}"}}"#, impossible.as_str()),
        )
        .unwrap();
        let studio = Studio::open_at(home.path());
        let report = examined(&studio, false);
        assert_eq!(report.gpu_backend.kind, GpuBackendKind::Cpu);
        let told = report.findings.iter();
        assert!(
            told.clone()
                .any(|finding| finding.contains(impossible.as_str())),
            "{:?}",
            report.findings
        );
        assert_eq!(studio.backend().unwrap_err().code, "device-unavailable");
    }
}
