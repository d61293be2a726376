//! Devices that are not at hand: what a run on one says and does.

use crate::place::{Place, quiet};
use attune_engine::without_bf16;
use attune_studio::api::{self, ExperimentRequest, ExperimentState};

/// The estimate and the run's log say that weights are f16, and the run ends as any other.
#[test]
fn a_device_without_bfloat16_is_told() {
    let place = Place::new();
    place.import();
    let said = |set: &[&str]| {
        let start = place.start(set);
        let estimate =
            quiet(|session| api::experiment_estimate(&place.studio, start.clone(), session));
        let run = quiet(|session| api::experiment_start(&place.studio, start, session)).unwrap();
        assert_eq!(run.state, ExperimentState::Finished);
        let request = ExperimentRequest { experiment: run.id };
        let log = quiet(|session| api::experiments_log(&place.studio, request, session)).unwrap();
        let lines = log.into_iter().map(|line| line.message);
        let note = |text: &String| text.contains("no bfloat16");
        let noted = estimate.unwrap().notes.into_iter().find(note);
        assert_eq!(lines.into_iter().find(note), noted);
        noted.unwrap_or_default()
    };
    let (half, full) = (
        ["backbone_dtype=bfloat16", "epochs=1"],
        ["backbone_dtype=bfloat16", "lora=false", "epochs=1"],
    );
    assert_eq!(said(&half), "");
    assert!(without_bf16(|| said(&half)).contains("float16, which ends at 65504"));
    assert!(without_bf16(|| said(&full)).contains("every weight is float32"));
    // The embedding beside 4-bit layers; and nothing where all is f32.
    assert!(without_bf16(|| said(&["backbone_dtype=nf4", "epochs=1"])).contains("float16"));
    assert_eq!(without_bf16(|| said(&["epochs=1"])), "");
}
