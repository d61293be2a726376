//! What people double-click. `attune-pack` makes an AppImage and a `.deb` out of Attune's programs;
//! `attune-runtime` stands at the head of the AppImage and unpacks it once; `attune-launch` stands
//! in front of the programs and chooses between the CUDA and the CPU build.
//!
//! The last two are static: they run before anything is known of the machine.

pub mod appdir;
pub mod appimage;
pub mod bill;
pub mod cache;
pub mod deb;
pub mod elf;
pub mod environment;
pub mod image;
pub mod launch;
pub mod libraries;
pub mod payload;
pub mod root;
pub mod system;
pub mod tree;

mod error;

pub use error::{At, Error, Result};
