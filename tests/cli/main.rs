//! `attune` as a process: what it prints, what it returns, what it leaves behind.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod commands;
mod demo;
mod interruptions;
mod place;
mod refusals;
mod words;
