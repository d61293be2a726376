//! Ctrl-C, a second terminal, and two runs at once.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::place::{Place, orders, train};
use crate::words::assert_words;

/// Steps of a run that is to end: enough that a signal comes in time.
const STEPS: u64 = 1000;

/// Steps of a run that is not to end.
const ENDLESS: u64 = 1_000_000;

/// The adapter that a run without any interruption makes.
fn uninterrupted() -> String {
    let place = Place::with_many_orders();
    place.attune(&train(STEPS)).well();
    place.adapter("run")
}

#[test]
fn ctrl_c_pauses_and_the_run_continues_with_the_same_bits() {
    let place = Place::with_many_orders();
    for (signal, code, command) in [
        (Signal::SIGINT, 130, train(STEPS)),
        (Signal::SIGTERM, 143, "experiments resume run".to_owned()),
    ] {
        let mut run = place.start(&command);
        run.until(|line| line["event"]["event"] == "step");
        run.signal(signal);
        let ran = run.end();
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        assert_eq!(ran.lines().last().unwrap()["result"]["state"], "paused");
        assert_eq!(place.state("run").unwrap(), "paused");
    }
    let listed = place.attune("experiments list");
    assert!(
        listed
            .stdout
            .contains("Continue with `attune experiments resume run`."),
        "{listed:#?}"
    );
    place.attune("experiments resume run").well();
    assert_eq!(place.state("run").unwrap(), "finished");
    assert_eq!(place.adapter("run"), uninterrupted());
}

/// A person at a terminal, without --json: what the first Ctrl-C says.
#[test]
fn ctrl_c_says_how_to_continue() {
    let place = Place::with_many_orders();
    let arguments = train(ENDLESS);
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let mut command = place.command(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while place.state("run").as_deref() != Some("running") {
        thread::sleep(Duration::from_millis(20));
    }
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id() as i32),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let (said, noted) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        noted.contains("Pausing after the step in progress; the run is kept."),
        "{noted}"
    );
    assert!(
        said.contains("Continue with `attune experiments resume run`."),
        "{said}"
    );
}

/// A step can take minutes; a second Ctrl-C does not wait for it.
#[test]
fn a_second_ctrl_c_ends_at_once_and_the_run_is_shown_as_interrupted() {
    let place = Place::new();
    place.write("orders.jsonl", orders(3000));
    place.attune("data import orders.jsonl").well();
    let mut run =
        place.start(&(train(ENDLESS) + " --set batch_size=16 --set grad_accumulation=256"));
    run.until(|line| line["event"]["event"] == "started");
    run.signal(Signal::SIGINT);
    thread::sleep(Duration::from_millis(200));
    run.signal(Signal::SIGINT);
    let asked = Instant::now();
    assert_eq!(run.end().code, Some(130));
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "it waited {:?}",
        asked.elapsed()
    );
    assert_eq!(place.state("run").unwrap(), "interrupted");
    let listed = place.attune("experiments list");
    assert_words("experiments list interrupted", &place.seen(&listed));
}

#[test]
fn a_second_terminal_pauses_stops_and_deletes() {
    let place = Place::with_many_orders();
    let mut run = place.start(&train(ENDLESS));
    run.until_step(5);
    let refused = place.attune("experiments delete run --yes");
    assert_words("experiments delete running", &place.seen(&refused));
    let refused = place.attune("experiments resume run");
    assert_words("experiments resume running", &place.seen(&refused));
    let paused = place.attune("experiments pause run --json").well().json();
    assert_eq!(paused["state"], "paused");
    let ran = run.end();
    assert_eq!(ran.code, Some(3), "paused from elsewhere: {ran:#?}");

    let mut run = place.start("experiments resume run");
    run.until(|line| line["event"]["event"] == "step");
    let stopped = place.attune("experiments stop run --json").well().json();
    assert_eq!(stopped["state"], "stopped");
    assert_eq!(
        run.end().code,
        Some(0),
        "what a stopped run has learnt is its result"
    );
    let refused = place.attune("experiments resume run");
    assert_words("experiments resume stopped", &place.seen(&refused));
    place
        .attune("chat --experiment run --prompt hi --max-new-tokens 2")
        .well();
    place.attune("experiments delete run --yes").well();
    assert!(place.states().is_empty() && !place.path("home/experiments/run").exists());
}

#[test]
fn two_trainings_queue() {
    let place = Place::with_many_orders();
    let mut first = place.start(&train(ENDLESS));
    first.until_step(1);
    let second = train(5).replace("--name run", "--name second");
    let mut second = place.start(&second);
    let waiting = second.until(|line| line["type"] == "waiting");
    assert_eq!(
        (waiting["subject"].as_str(), waiting["behind"].as_str()),
        (Some("second"), Some("run"))
    );
    assert_eq!(place.state("second").unwrap(), "queued");
    place.attune("experiments stop run").well();
    first.end();
    let ran = second.end();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(place.state("second").unwrap(), "finished");
}
