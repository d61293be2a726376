//! Keeps the machine from falling asleep while a run works, if the person wants that.

use std::sync::{Mutex, PoisonError};

use attune_studio::Studio;
use attune_studio::api::{Control, PreferencesRequest, Session, preferences};

use crate::calls::{Calls, Work};

/// Holds the machine awake, or does not.
#[derive(Default)]
pub(crate) struct Awake(Mutex<Option<keepawake::KeepAwake>>);

impl Awake {
    /// Does what the work in progress and the preferences ask for now.
    pub(crate) fn follow(&self, studio: &Studio, calls: &Calls) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = calls.count(Work::Run) > 0 && wished(studio);
        if wanted && held.is_none() {
            *held = hold();
        } else if !wanted {
            *held = None;
        }
    }
}

fn wished(studio: &Studio) -> bool {
    let control = Control::default();
    let mut ignore = |_| {};
    let mut session = Session::new(&mut ignore, &control);
    preferences(studio, PreferencesRequest {}, &mut session)
        .is_ok_and(|preferences| preferences.keep_awake)
}

/// Where the system has nothing to ask, the machine sleeps when it likes, and the run goes on after.
fn hold() -> Option<keepawake::KeepAwake> {
    keepawake::Builder::default()
        .idle(true)
        .reason("A model is being tuned")
        .app_name("Attune")
        .app_reverse_domain("org.attune.studio")
        .create()
        .inspect_err(|error| tracing::info!("the machine may fall asleep: {error}"))
        .ok()
}
