//! The application itself on the wire: preferences, keys, the outbound ledger, diagnostics.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use super::GpuBackendKind;

/// Arguments of `system_load`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct SystemLoadRequest {}

/// How busy the compute device is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SystemLoad {
    /// What computes.
    pub device: GpuBackendKind,
    /// Bytes of its memory in use, by all programs.
    pub memory_used: u64,
    /// Bytes it has.
    pub memory_total: u64,
    /// Bytes this process holds; unknown of a GPU with memory of its own.
    pub memory_process: Option<u64>,
    /// Bytes a run may use.
    pub memory_usable: u64,
    /// Share of its computing power in use, 0 to 1, since the last call; unknown on a GPU.
    pub load: Option<f64>,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Appearance {
    /// As the system says.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

/// What a person has chosen for the program as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct Preferences {
    /// Light or dark.
    pub appearance: Appearance,
    /// Tell the desktop when a run ends while the window is elsewhere.
    pub notifications: bool,
    /// Keep the machine from sleeping while a run works.
    pub keep_awake: bool,
    /// The device to compute on: `auto`, `cpu`, `cuda` or `metal`.
    pub device: String,
    /// Bytes that estimates take as what a run may use; what the machine has without it.
    pub memory_limit: Option<u64>,
    /// Milliseconds that the work given to a Mac's GPU at once may take, 10 to 1000; without it 50.
    /// macOS ends work that keeps the GPU from the screen.
    pub longest_dispatch: Option<u32>,
    /// Settings that the form of a new experiment starts from, where they differ from the defaults.
    pub defaults: Map<String, Value>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            appearance: Appearance::System,
            notifications: true,
            keep_awake: true,
            device: "auto".to_owned(),
            memory_limit: None,
            longest_dispatch: None,
            defaults: Map::new(),
        }
    }
}

/// Arguments of `preferences`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct PreferencesRequest {}

/// Arguments of `preferences_set`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct PreferencesSetRequest {
    /// All of them, as they shall be.
    pub preferences: Preferences,
}

/// Arguments of `keys_list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct KeysListRequest {}

/// A secret in the system's keychain. Its value never leaves the keychain by this list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Key {
    /// `huggingface`.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it is for.
    pub help: String,
    /// Whether the keychain holds one.
    pub stored: bool,
    /// Why that cannot be known.
    pub problem: Option<crate::error::Error>,
}

/// Arguments of `keys_set`.
#[derive(Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct KeysSetRequest {
    /// Which key.
    pub name: String,
    /// The secret.
    pub value: String,
}

/// A secret is never printed, not even while debugging.
impl std::fmt::Debug for KeysSetRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("KeysSetRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Arguments of `keys_remove`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct KeysRemoveRequest {
    /// Which key.
    pub name: String,
}

/// Arguments of `requests_list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct RequestsListRequest {}

/// Something that was sent over the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct OutboundRequest {
    /// Seconds since 1970.
    pub time: f64,
    /// Where to.
    pub url: String,
    /// What the person did that made it necessary.
    pub reason: String,
    /// Bytes that came back.
    pub bytes: u64,
    /// What came of it.
    pub outcome: String,
}

/// Arguments of `diagnostics`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DiagnosticsRequest {
    /// The zip file to write.
    pub path: PathBuf,
}

/// A diagnostics bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Diagnostics {
    /// The zip file.
    pub path: PathBuf,
    /// Files in it, by name.
    pub files: Vec<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Arguments of `licences`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct LicencesRequest {}

/// A library the program is made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Licence {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SPDX expression: `MIT OR Apache-2.0`.
    pub licence: String,
}
