//! What a person has chosen for the program as a whole: one small file.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::Studio;
use crate::api::{Preferences, PreferencesRequest, PreferencesSetRequest, Session};
use crate::error::{Error, Result};
use crate::files;
use crate::settings;

/// Reads the preferences; those never chosen have their defaults.
pub(crate) fn read(
    studio: &Studio,
    _: PreferencesRequest,
    _: &mut Session<'_>,
) -> Result<Preferences> {
    load(studio)
}

/// The preferences as they are.
pub(crate) fn load(studio: &Studio) -> Result<Preferences> {
    let path = studio.home().preferences();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Preferences::default());
        }
        Err(source) => return Err(Error::file("read", &path, &source)),
    };
    serde_json::from_str(&text).map_err(|source| {
        Error::new(
            "preferences-unreadable",
            format!("the preferences cannot be read: {source}"),
        )
        .with_remedy("Correct the file, or delete it to start from the defaults.")
        .with_place(path.display().to_string())
    })
}

/// What a Mac's GPU may be given at once, in milliseconds: below, waiting takes longer than the work;
/// above, the screen stands still for so long that nobody can want it.
const DISPATCH: RangeInclusive<u32> = 10..=1000;

/// How long the work given to a Mac's GPU at once may take.
pub(crate) fn longest_dispatch(preferences: &Preferences) -> Duration {
    let chosen = preferences
        .longest_dispatch
        .filter(|chosen| DISPATCH.contains(chosen));
    chosen.map_or(attune_engine::LONGEST_DISPATCH, |chosen| {
        Duration::from_millis(chosen.into())
    })
}

fn check_dispatch(preferences: &Preferences) -> Result<()> {
    match preferences.longest_dispatch {
        Some(chosen) if !DISPATCH.contains(&chosen) => Err(Error::new(
            "preference-invalid",
            format!("{chosen} ms is no time for work of the GPU"),
        )
        .with_remedy(format!(
            "Choose {} to {} ms, or none for the calibrated one.",
            DISPATCH.start(),
            DISPATCH.end()
        ))
        .with_place("longest_dispatch")),
        _ => Ok(()),
    }
}

/// Replaces the preferences.
pub(crate) fn write(
    studio: &Studio,
    request: PreferencesSetRequest,
    _: &mut Session<'_>,
) -> Result<Preferences> {
    let preferences = request.preferences;
    // A device that has gone missing must not keep other choices from being saved.
    let kept = load(studio).is_ok_and(|before| before.device == preferences.device);
    if !kept {
        studio
            .check_preference(&preferences.device)
            .map_err(|error| Error {
                code: "preference-invalid".to_owned(),
                ..error.with_place("device")
            })?;
    }
    check_dispatch(&preferences)?;
    settings::check_values(&preferences.defaults)?;
    let home = studio.home();
    files::make_folder(home.root())?;
    let text = serde_json::to_vec_pretty(&preferences).map_err(|source| {
        Error::new(
            "preferences-unwritable",
            format!("the preferences cannot be written: {source}"),
        )
    })?;
    files::write(&home.preferences(), &text)?;
    Ok(preferences)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::{Appearance, Control, GpuBackendKind};

    #[test]
    fn preferences_last_and_bad_ones_change_nothing() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        assert_eq!(load(&studio).unwrap(), Preferences::default());
        let mut preferences = Preferences {
            appearance: Appearance::Dark,
            ..Preferences::default()
        };
        preferences.defaults.insert("lora_r".into(), 8.into());
        let request = |preferences: &Preferences| PreferencesSetRequest {
            preferences: preferences.clone(),
        };
        write(&studio, request(&preferences), &mut session).unwrap();
        let again = Studio::open_at(home.path());
        assert_eq!(load(&again).unwrap(), preferences);
        let mut bad = preferences.clone();
        bad.defaults.insert("lora_r".into(), 100_000.into());
        assert!(write(&studio, request(&bad), &mut session).is_err());
        bad = Preferences {
            device: "abacus".to_owned(),
            ..preferences.clone()
        };
        assert!(write(&studio, request(&bad), &mut session).is_err());
        assert_eq!(load(&studio).unwrap(), preferences);
    }

    #[test]
    fn the_time_of_a_dispatch_is_calibrated_unless_chosen_within_bounds() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let mut choose = |longest_dispatch| {
            let preferences = Preferences {
                longest_dispatch,
                ..Preferences::default()
            };
            write(&studio, PreferencesSetRequest { preferences }, &mut session)
        };
        for (chosen, milliseconds) in [(None, 50), (Some(10), 10), (Some(1000), 1000)] {
            let kept = choose(chosen).unwrap();
            assert_eq!(kept, load(&studio).unwrap());
            assert_eq!(longest_dispatch(&kept), Duration::from_millis(milliseconds));
        }
        for chosen in [0, 9, 1001] {
            let refused = choose(Some(chosen)).unwrap_err();
            assert_eq!(refused.place.as_deref(), Some("longest_dispatch"));
            assert!(refused.remedy.is_some_and(|remedy| remedy.contains("1000")));
        }
        assert_eq!(load(&studio).unwrap().longest_dispatch, Some(1000));
        // A file written by hand does not make a Mac's screen stand still.
        let by_hand = Preferences {
            longest_dispatch: Some(60_000),
            ..Preferences::default()
        };
        assert_eq!(longest_dispatch(&by_hand), Duration::from_millis(50));
    }

    /// A driver that is gone after an update must not keep a person from choosing the theme.
    #[test]
    fn a_device_that_went_missing_can_stay_chosen() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let gone = GpuBackendKind::ALL
            .into_iter()
            .find(|kind| !kind.is_built())
            .unwrap();
        let chosen = Preferences {
            device: gone.as_str().to_owned(),
            ..Preferences::default()
        };
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let request = |preferences: &Preferences| PreferencesSetRequest {
            preferences: preferences.clone(),
        };
        let refused = write(&studio, request(&chosen), &mut session).unwrap_err();
        assert_eq!(refused.place.as_deref(), Some("device"));
        assert!(refused.remedy.is_some());
        let text = serde_json::to_vec(&chosen).unwrap();
        fs::write(studio.home().preferences(), text).unwrap();
        let dark = Preferences {
            appearance: Appearance::Dark,
            ..chosen
        };
        write(&studio, request(&dark), &mut session).unwrap();
        assert_eq!(load(&studio).unwrap(), dark);
    }

    /// What tells what is wrong must work when something is.
    #[test]
    fn unreadable_preferences_leave_the_rest_usable() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        fs::write(studio.home().preferences(), "{").unwrap();
        assert_eq!(load(&studio).unwrap_err().code, "preferences-unreadable");
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let request = crate::api::DiagnosticsRequest {
            path: home.path().join("bundle.zip"),
        };
        let bundle = crate::diagnostics::write(&studio, request, &mut session).unwrap();
        assert!(bundle.files.iter().any(|name| name == "preferences.json"));
        assert!(crate::estimate::usable(&studio) > 0);
    }
}
