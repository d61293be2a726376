//! `attune demo`, with a tuning so short that it learns nothing: what `make demo` measures is not
//! asserted here, that every stage runs is.

use crate::place::Place;

/// Whether this build brings the starter model; a test that is left out says so.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn has_starter(place: &Place) -> bool {
    let installed = place.attune("starter --json");
    if installed.code == Some(0) {
        return true;
    }
    assert_eq!(
        installed.json()["error"]["code"],
        "starter-missing",
        "{installed:#?}"
    );
    println!("left out: this build brings no starter model");
    false
}

#[test]
fn the_story_runs_and_running_it_again_adds_nothing() {
    let place = Place::new();
    if !has_starter(&place) {
        return;
    }
    let told = place.attune("demo --quick").well();
    for line in [
        "1 of 6 · ",
        "6 of 6 · ",
        "Exact match  ",
        "Wall time  ",
        "Peak memory  ",
        "Next:",
    ] {
        assert!(told.stdout.contains(line), "{line} is missing in {told:#?}");
    }
    assert!(
        place
            .path("home/exports/attune-demo/adapter_model.safetensors")
            .is_file()
    );

    let (before, adapter) = (place.contents(), place.adapter("attune-demo"));
    let again = place.attune("demo --quick --json").well();
    assert_eq!(
        place.contents(),
        before,
        "a second demo finds what the first one did"
    );
    let lines = again.lines();
    let summary = &lines.last().unwrap()["result"];
    assert_eq!(
        lines.iter().filter(|line| line["type"] == "stage").count(),
        6
    );
    assert_eq!(summary["experiment"]["state"], "finished");
    assert!(
        summary["before"]["exact_match"].is_number() && summary["after"]["exact_match"].is_number()
    );

    place.attune("demo --quick --again").well();
    assert_eq!(place.states().len(), 1);
    assert_eq!(
        place.adapter("attune-demo"),
        adapter,
        "the same seed tunes the same adapter"
    );
}

/// Ctrl-C in the middle keeps what is done; the next demo goes on from there.
#[test]
fn an_interrupted_demo_goes_on() {
    let place = Place::new();
    if !has_starter(&place) {
        return;
    }
    let mut demo = place.start("demo --quick");
    demo.until(|line| line["event"]["event"] == "step");
    demo.signal(nix::sys::signal::Signal::SIGINT);
    let ran = demo.end();
    assert!(matches!(ran.code, Some(130 | 0)), "{ran:#?}");
    place.attune("demo --quick").well();
    assert_eq!(place.state("attune-demo").as_deref(), Some("finished"));
}
