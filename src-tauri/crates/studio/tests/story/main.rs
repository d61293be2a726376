//! The application on a tiny random model, through the command list as a host uses it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod devices;
mod place;
mod seen;
mod whole;
