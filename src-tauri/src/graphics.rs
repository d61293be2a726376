//! Who paints the window on Linux: a graphics processor, or the processor that also trains.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

/// Where the kernel shows what it can draw with.
const DEVICES: &str = "/dev/dri";

/// Whether the graphics processor is one that Mesa imitates on the processor: because there is none,
/// because this person may not use it, or because Mesa was told so.
pub(crate) fn imitated() -> bool {
    told(std::env::var_os("LIBGL_ALWAYS_SOFTWARE").as_deref()) || !usable(Path::new(DEVICES))
}

/// Mesa takes everything but a no for a yes.
fn told(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| {
        let no = ["", "0", "n", "no", "f", "false"];
        !no.iter().any(|word| value.eq_ignore_ascii_case(word))
    })
}

/// Asks for the right to use a device without opening it: that would wake one that sleeps.
fn usable(devices: &Path) -> bool {
    fs::read_dir(devices).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| {
                entry.file_name().to_string_lossy().starts_with("renderD")
                    && access(&entry.path(), AccessFlags::R_OK | AccessFlags::W_OK).is_ok()
            })
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn mesa_is_told_to_imitate_by_anything_but_a_no() {
        let answers = [
            (None, false),
            (Some("0"), false),
            (Some("False"), false),
            (Some("1"), true),
            (Some("true"), true),
        ];
        for (value, wanted) in answers {
            assert_eq!(told(value.map(OsStr::new)), wanted, "{value:?}");
        }
    }

    #[test]
    fn only_a_device_that_renders_counts() {
        let folder = tempfile::tempdir().unwrap();
        let devices = folder.path().join("dri");
        assert!(!usable(&devices), "there is no folder");
        fs::create_dir(&devices).unwrap();
        // A screen without anything that draws, as servers have.
        fs::write(devices.join("card0"), "").unwrap();
        assert!(!usable(&devices));
        fs::write(devices.join("renderD128"), "").unwrap();
        assert!(usable(&devices));
    }
}
