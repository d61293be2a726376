//! Where the window keeps its own things: in the home folder of `studio`, beside the library.

use std::path::PathBuf;

use attune_studio::Error;

/// `ATTUNE_HOME`, else the platform's application-data folder, as `studio` has it.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    if let Some(home) = std::env::var_os("ATTUNE_HOME").filter(|home| !home.is_empty()) {
        let home = PathBuf::from(home);
        return std::path::absolute(&home).map_err(|source| Error::file("use", &home, &source));
    }
    directories::ProjectDirs::from("", "", "attune")
        .map(|folders| folders.data_dir().to_owned())
        .ok_or_else(|| {
            Error::new("no-home", "this account has no home folder to keep data in")
                .with_remedy("Set ATTUNE_HOME to a folder that can be written.")
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use attune_studio::Studio;
    use attune_studio::api::{Call, Control, DoctorRequest, Reply};

    /// Two places would be two libraries.
    #[test]
    fn the_window_lives_where_the_library_does() {
        let studio = Studio::open().unwrap();
        let call = Call::Doctor(DoctorRequest {});
        let reply = studio.call(call, &mut |_| {}, &Control::default()).unwrap();
        let Reply::Doctor(report) = reply else {
            panic!("another reply")
        };
        assert_eq!(super::folder().unwrap(), report.home);
    }
}
