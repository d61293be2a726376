//! A disk without space: refused before anything is written where that can be known, and survived
//! where it cannot.
//!
//! Needs a small disk of its own, which only the system's administrator can mount; elsewhere the
//! tests say that they were left out.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::place::{Place, orders, train};

/// A small disk at a place's home folder, gone when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    #[expect(clippy::print_stdout, reason = "a test that is left out says so")]
    fn mount(place: &Place, megabytes: u32) -> Option<Self> {
        let at = place.path("home");
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&at)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { at });
        }
        println!("left out: a small disk cannot be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[test]
fn what_cannot_fit_is_refused_and_nothing_is_written() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(&place, 2) else {
        return;
    };
    place.write("small.jsonl", orders(24));
    place.write("large.jsonl", orders(60_000));
    place.attune("data import small.jsonl --name orders").well();
    let before = place.contents();
    for line in ["data import large.jsonl", &train(5)] {
        let ran = place.attune(line);
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        assert!(
            ran.stderr.contains("MB are free") && ran.stderr.contains("\nhint: Free some space"),
            "{ran:#?}"
        );
        assert_eq!(
            place
                .attune(&format!("{line} --json"))
                .lines()
                .last()
                .unwrap()["error"]["code"],
            "disk-full"
        );
        assert_eq!(place.contents(), before, "{line} changed something");
    }
}

/// Somebody else fills the disk while a run trains.
#[test]
fn a_disk_that_fills_up_fails_the_run_which_continues_once_there_is_space() {
    let undisturbed = Place::with_orders();
    undisturbed.attune(&train(200)).well();

    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(&place, 64) else {
        return;
    };
    place.write("orders.jsonl", orders(24));
    place.attune("data import orders.jsonl").well();
    let mut run = place.start(&train(200));
    run.until_step(20);
    // It must not end before the disk is full.
    run.signal(Signal::SIGSTOP);
    let filler = place.path("home/filler");
    // Ends when the disk is full, which is what is wanted.
    let _ = fs::write(&filler, vec![0_u8; 80 << 20]);
    run.signal(Signal::SIGCONT);
    let ran = run.end();
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stderr.contains("error: ") && ran.stderr.contains("hint: "),
        "{ran:#?}"
    );
    fs::remove_file(&filler).unwrap();
    let state = place.state("run").unwrap();
    assert!(
        ["failed", "interrupted", "paused"].contains(&state.as_str()),
        "the run is {state}"
    );
    place.attune("experiments resume run").well();
    assert_eq!(place.adapter("run"), undisturbed.adapter("run"));
}
