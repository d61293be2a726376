//! kill -9 at 20 random moments: 15 while a run trains, 5 while a file is imported. Nothing is
//! lost, and the run ends with the bits of one that was never disturbed.
//!
//! The moments come from a seed that is printed; `ATTUNE_TEST_SEED` tries others.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::place::{Place, orders, train};

const STEPS: u64 = 250;
const KILLS_OF_A_RUN: usize = 5;
const RUNS: usize = 3;
const IMPORTS: usize = 5;

#[expect(clippy::print_stdout, reason = "a failure must be repeatable")]
fn random_moments() -> ChaCha8Rng {
    let seed = std::env::var("ATTUNE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(2026);
    println!("seed {seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

#[test]
#[expect(clippy::print_stdout, reason = "how hard the test was")]
fn a_killed_run_is_interrupted_and_continues_to_the_same_bits() {
    let mut random = random_moments();
    let undisturbed = Place::with_orders();
    let began = Instant::now();
    undisturbed.attune(&train(STEPS)).well();
    let whole = began.elapsed();
    let expected = undisturbed.adapter("run");
    let mut kills_in_training = 0;
    for _ in 0..RUNS {
        let place = Place::with_orders();
        for _ in 0..KILLS_OF_A_RUN {
            // A quarter of the whole run, so that most kills fall into the training of an unfinished one.
            let moment = whole.mul_f64(random.random_range(0.0..0.25));
            kills_in_training += usize::from(kill_during_training(&place, moment));
        }
        if place.state("run").as_deref() != Some("finished") {
            place.attune(&next_command(&place)).well();
        }
        assert_eq!(place.state("run").as_deref(), Some("finished"));
        assert_eq!(place.adapter("run"), expected);
        assert_eq!(
            steps_of(&place),
            (1..=STEPS).collect::<Vec<_>>(),
            "every step is in the history once"
        );
    }
    println!(
        "{kills_in_training} of {} kills hit a run",
        RUNS * KILLS_OF_A_RUN
    );
    // On a busy machine a program takes longer to begin, and more of them die before.
    assert!(
        kills_in_training > RUNS * KILLS_OF_A_RUN / 4,
        "too few kills hit a run: {kills_in_training}"
    );
}

/// What a person would type now.
fn next_command(place: &Place) -> String {
    match place.state("run").as_deref() {
        None => train(STEPS),
        Some(_) => "experiments resume run".to_owned(),
    }
}

/// Starts or continues the run and kills it after `moment`; whether it was there to be interrupted.
fn kill_during_training(place: &Place, moment: Duration) -> bool {
    let before = place.state("run");
    if before.as_deref() == Some("finished") {
        return false;
    }
    let run = place.start(&next_command(place));
    thread::sleep(moment);
    run.signal(Signal::SIGKILL);
    run.end();
    let after = place.state("run");
    match after.as_deref() {
        // Before it had a place in the library, or after its last step.
        None | Some("finished") => false,
        // Killed before it joined the queue, it stays what it was.
        Some("interrupted") => true,
        state => panic!("after a kill the run is {state:?}, was {before:?}"),
    }
}

fn steps_of(place: &Place) -> Vec<u64> {
    let report = place.attune("experiments show run --json").well().json();
    let events = report["events"].as_array().unwrap().iter();
    events
        .filter(|event| event["event"] == "step")
        .filter_map(|event| event["step"].as_u64())
        .collect()
}

#[test]
fn a_killed_import_leaves_the_library_whole() {
    let mut random = random_moments();
    let place = Place::with_orders();
    place.write("large.jsonl", orders(20_000));
    let began = Instant::now();
    place.attune("data import large.jsonl --name whole").well();
    let whole = began.elapsed();
    let listed = |place: &Place| -> Vec<Value> {
        place
            .attune("data list --json")
            .well()
            .json()
            .as_array()
            .unwrap()
            .clone()
    };
    for number in 0..IMPORTS {
        let before = listed(&place).len();
        let import = place.start(&format!("data import large.jsonl --name killed-{number}"));
        thread::sleep(whole.mul_f64(random.random_range(0.0..1.0)));
        import.signal(Signal::SIGKILL);
        import.end();
        let after = listed(&place);
        assert!(after.len() == before || after.len() == before + 1);
        for dataset in after {
            // Everything that is listed is whole: its last conversation can be read.
            let (id, count) = (
                dataset["id"].as_str().unwrap(),
                dataset["conversations"].as_u64().unwrap(),
            );
            let page = place
                .attune(&format!("data show {id} --first {count} --count 1 --json"))
                .well()
                .json();
            assert_eq!(page["conversations"].as_array().unwrap().len(), 1, "{id}");
        }
        place
            .attune(&format!("data import large.jsonl --name again-{number}"))
            .well();
        place
            .attune(&format!("data remove again-{number} --yes"))
            .well();
    }
}
