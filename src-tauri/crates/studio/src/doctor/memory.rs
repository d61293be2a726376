//! Working memory, as far as this process may use it.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::api::Memory;

/// Memory of the machine, or of the container whose limit is lower.
pub(crate) fn measure() -> Memory {
    let system = System::new_with_specifics(
        RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()),
    );
    let (total, available) = system.map_or((0, 0), |system| {
        (system.total_memory(), system.available_memory())
    });
    match container().filter(|container| container.limit < total) {
        Some(Container { limit, used }) => Memory {
            total: limit,
            available: available.min(limit.saturating_sub(used)),
            limit: Some(limit),
        },
        None => Memory {
            total,
            available,
            limit: None,
        },
    }
}

#[derive(Debug, PartialEq)]
struct Container {
    limit: u64,
    used: u64,
}

/// The control group this process is in, version 2, then version 1.
fn container() -> Option<Container> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let unified = container_from(
        &read("/sys/fs/cgroup/memory.max").unwrap_or_default(),
        &read("/sys/fs/cgroup/memory.current").unwrap_or_default(),
        &read("/sys/fs/cgroup/memory.stat").unwrap_or_default(),
    );
    unified.or_else(|| {
        container_from(
            &read("/sys/fs/cgroup/memory/memory.limit_in_bytes")?,
            &read("/sys/fs/cgroup/memory/memory.usage_in_bytes")?,
            &read("/sys/fs/cgroup/memory/memory.stat").unwrap_or_default(),
        )
    })
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
    use super::*;

    #[test]
    fn a_limit_is_read_and_cached_files_count_as_free() {
        let found = container_from("4000\n", "3000\n", "anon 100\ninactive_file 1000\n");
        assert_eq!(
            found,
            Some(Container {
                limit: 4000,
                used: 2000
            })
        );
    }

    #[test]
    fn no_limit_is_no_container() {
        assert_eq!(container_from("max\n", "3000\n", ""), None);
        assert_eq!(container_from("", "", ""), None);
    }
}
