//! What a crash, a kill and a full disk leave behind.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod full_disk;
mod killed;
#[path = "../cli/place.rs"]
mod place;
