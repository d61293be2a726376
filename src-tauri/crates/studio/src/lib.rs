//! Placeholder
pub mod starter;
