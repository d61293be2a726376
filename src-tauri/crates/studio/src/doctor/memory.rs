//! Working memory, as far as this process may use it.

use super::platform::Board;
use super::probe::Probe;
use crate::api::Memory;

/// Memory of the machine, or of the container whose limit is lower.
pub(crate) fn measure() -> Memory {
    of(&Probe::here())
}

/// The same of any machine.
pub(super) fn of(probe: &Probe<'_>) -> Memory {
    let machine = Memory {
        unified: is_unified(probe),
        ..probe.calls.memory()
    };
    match container(probe).filter(|container| container.limit < machine.total) {
        Some(Container { limit, used }) => Memory {
            total: limit,
            available: machine.available.min(limit.saturating_sub(used)),
            limit: Some(limit),
            ..machine
        },
        None => machine,
    }
}

/// Whether the GPU of this machine has no memory of its own.
pub(super) fn is_unified(probe: &Probe<'_>) -> bool {
    (probe.system == "macos" && probe.architecture == "arm64")
        || Board::of(probe).is_some_and(Board::is_unified)
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Container {
    limit: u64,
    used: u64,
}

/// The tightest of the control groups this process is in, version 2, then version 1.
fn container(probe: &Probe<'_>) -> Option<Container> {
    let member = probe.read("/proc/self/cgroup").unwrap_or_default();
    let group = |wanted: &dyn Fn(&str, &str) -> bool| {
        member.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (hierarchy, controllers) = (parts.next()?, parts.next()?);
            wanted(hierarchy, controllers).then(|| parts.next())?
        })
    };
    let unified = group(&|hierarchy, controllers| hierarchy == "0" && controllers.is_empty());
    let version_2 = tightest(
        probe,
        "/sys/fs/cgroup",
        unified.unwrap_or("/"),
        ["memory.max", "memory.current"],
    );
    version_2.or_else(|| {
        let memory = group(&|_, controllers| {
            controllers
                .split(',')
                .any(|controller| controller == "memory")
        });
        tightest(
            probe,
            "/sys/fs/cgroup/memory",
            memory.unwrap_or("/"),
            ["memory.limit_in_bytes", "memory.usage_in_bytes"],
        )
    })
}

/// A group's limit holds for those within, so each one up to the root counts. Inside a container
/// the path may be the host's, of which only the root is there.
fn tightest(
    probe: &Probe<'_>,
    mounted: &str,
    group: &str,
    [limit, used]: [&str; 2],
) -> Option<Container> {
    let mut folder = group.trim_end_matches('/');
    let mut found: Option<Container> = None;
    loop {
        let read = |name: &str| probe.read(&format!("{mounted}{folder}/{name}"));
        let here = read(limit).and_then(|limit| {
            container_from(
                &limit,
                &read(used).unwrap_or_default(),
                &read("memory.stat").unwrap_or_default(),
            )
        });
        if let Some(here) = here
            && found.is_none_or(|found| here.limit < found.limit)
        {
            found = Some(here);
        }
        match folder.rfind('/') {
            Some(end) => folder = &folder[..end],
            None => return found,
        }
    }
}

/// The kernel counts cached files as used, and gives them up when asked; they are free for us.
fn container_from(limit: &str, used: &str, facts: &str) -> Option<Container> {
    let limit = limit.trim().parse().ok()?;
    let used: u64 = used.trim().parse().ok()?;
    let fact = |name: &str| {
        facts.lines().find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .trim()
                .parse::<u64>()
                .ok()
        })
    };
    let cached = fact("inactive_file")
        .or_else(|| fact("total_inactive_file"))
        .unwrap_or(0);
    Some(Container {
        limit,
        used: used.saturating_sub(cached),
    })
}

#[cfg(test)]
mod tests {
    use super::super::machines::{Machine, grace_hopper, jetson_orin, mac};
    use super::*;

    fn limited(machine: &Machine) -> (u64, u64, Option<u64>) {
        let memory = of(&machine.probe());
        (memory.total, memory.available, memory.limit)
    }

    fn machine() -> Machine {
        Machine::new("linux", "x86_64").memory(10_000, 8_000)
    }

    #[test]
    fn a_limit_is_read_and_cached_files_count_as_free() {
        let machine = machine()
            .file("/sys/fs/cgroup/memory.max", "4000\n")
            .file("/sys/fs/cgroup/memory.current", "3000\n")
            .file("/sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 1000\n");
        assert_eq!(limited(&machine), (4000, 2000, Some(4000)));
    }

    /// A service's limit stands in its own group, a user's in the slice above.
    #[test]
    fn the_tightest_group_above_counts() {
        let machine = machine()
            .file(
                "/proc/self/cgroup",
                "0::/user.slice/user-1000.slice/run.scope\n",
            )
            .file("/sys/fs/cgroup/user.slice/memory.max", "max\n")
            .file(
                "/sys/fs/cgroup/user.slice/user-1000.slice/memory.max",
                "6000\n",
            )
            .file(
                "/sys/fs/cgroup/user.slice/user-1000.slice/memory.current",
                "1000\n",
            )
            .file(
                "/sys/fs/cgroup/user.slice/user-1000.slice/run.scope/memory.max",
                "7000\n",
            )
            .file(
                "/sys/fs/cgroup/user.slice/user-1000.slice/run.scope/memory.current",
                "500\n",
            );
        assert_eq!(limited(&machine), (6000, 5000, Some(6000)));
    }

    #[test]
    fn groups_of_version_1_are_read_and_no_limit_is_none() {
        let group = |limit: &str| {
            machine()
                .file("/proc/self/cgroup", "5:cpu:/a\n4:memory:/docker/c0ffee\n")
                // The path is the host's; in here the group is the root.
                .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit)
                .file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100\n")
                .file(
                    "/sys/fs/cgroup/memory/memory.stat",
                    "total_inactive_file 40\n",
                )
        };
        assert_eq!(limited(&group("2000\n")), (2000, 1940, Some(2000)));
        let all = (10_000, 8_000, None);
        assert_eq!(limited(&group("9223372036854771712\n")), all);
        assert_eq!(limited(&machine()), all);
        let none = machine().file("/sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(limited(&none), all);
    }

    #[test]
    fn arm64_cuda_and_arm64_metal_share_memory_where_there_is_one() {
        let unified = |machine: Machine| of(&machine.probe()).unified;
        assert!(unified(mac()) && unified(jetson_orin()));
        assert!(!unified(grace_hopper()) && !unified(machine()));
    }
}
