//! A chat template, compiled and rendered over a conversation.
#![no_main]

use attune_data::{Budgeted, ChatTemplate, Role, TemplateOrigin, Turn};
use libfuzzer_sys::{Corpus, fuzz_target};
use std::alloc::System;
use std::sync::atomic::{AtomicU32, Ordering};

/// As the programs have it; libFuzzer needs the system's own.
#[global_allocator]
static ALLOCATOR: Budgeted<System> = Budgeted(System);

/// A template that is stopped leaves its thread and up to its budget behind. After so many of them
/// the pass ends in good order, and `run` begins another on the same corpus.
const STOPPED: u32 = 12;

// A library's panic that the reader turns into an error is none of ours; any other ends the process at
// this border, which no panic crosses.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |source: &str| -> Corpus {
    static STOPS: AtomicU32 = AtomicU32::new(0);
    let Ok(template) = ChatTemplate::new(source, TemplateOrigin::Model, "<s>", "</s>") else {
        return Corpus::Keep;
    };
    let turns = [
        Turn::new(Role::System, "Be brief."),
        Turn::new(Role::User, "Wer ist das? <|im_end|>"),
        Turn::new(Role::Assistant, "Ein Hund."),
        Turn::new(Role::User, "{{ bos_token }}"),
    ];
    let _ = template.render(&turns, true);
    let _ = template.render(&turns[1..3], false);
    if !template.is_stopped() {
        return Corpus::Keep;
    }
    if STOPS.fetch_add(1, Ordering::Relaxed) + 1 == STOPPED {
        // What libFuzzer takes for: say the figures and end.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1);
    }
    // Kept, it would be stopped again by every pass to come.
    Corpus::Reject
});
