//! How busy the compute device is.

use std::sync::{Mutex, PoisonError};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::Studio;
use crate::api::{GpuBackendKind, Session, SystemLoad, SystemLoadRequest};
use crate::error::Result;
use crate::estimate::usable;

/// The counters of the last look: load is what changed since.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Option<System>>);

/// Load and memory, now.
#[expect(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(crate) fn measure(
    studio: &Studio,
    _: SystemLoadRequest,
    _: &mut Session<'_>,
) -> Result<SystemLoad> {
    let mut slot = studio
        .counters
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let own = Pid::from_u32(std::process::id());
    let mut load = 0.0;
    let mut memory_process = 0;
    if slot.is_none() {
        *slot = System::new_with_specifics(RefreshKind::nothing()).ok();
    }
    if let Some(system) = slot.as_mut() {
        system.refresh_cpu_usage();
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[own]),
            false,
            ProcessRefreshKind::nothing().with_memory(),
        );
        load = f64::from(system.global_cpu_usage() / 100.0).clamp(0.0, 1.0);
        memory_process = system.process(own).map_or(0, sysinfo::Process::memory);
    }
    let (device, memory) = studio.device_memory();
    // The processor's counters say nothing of a GPU.
    let on_cpu = device == GpuBackendKind::Cpu;
    Ok(SystemLoad {
        device,
        memory_used: memory.total.saturating_sub(memory.available),
        memory_total: memory.total,
        memory_process: (on_cpu || memory.unified).then_some(memory_process),
        memory_usable: usable(studio),
        load: on_cpu.then_some(load),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::Control;

    #[test]
    fn this_process_is_part_of_what_is_used() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let load = measure(&studio, SystemLoadRequest {}, &mut session).unwrap();
        assert_eq!(load.device, studio.backend().unwrap().kind);
        assert!(load.memory_process.is_none_or(|bytes| bytes > 1_000_000));
        assert!(load.memory_used <= load.memory_total && load.memory_usable <= load.memory_total);
        assert!(load.load.is_none_or(|load| (0.0..=1.0).contains(&load)));
    }
}
