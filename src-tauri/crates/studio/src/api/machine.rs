//! The machine, the settings and the starter on the wire.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use super::Capacity;
pub use attune_engine::{DeviceCheck, GpuBackendKind};

/// Arguments of `doctor`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct DoctorRequest {
    /// Run a small model on each device that can be used, compare it with the formulas, and
    /// measure. Takes a second or so.
    pub check: bool,
}

/// What this machine is and what Attune can use of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct DoctorReport {
    /// The processor and the system.
    pub platform: Platform,
    /// What computes, and what else was looked at.
    pub gpu_backend: GpuBackend,
    /// What the checks of the devices found, where they were asked for.
    pub checks: Vec<BackendCheck>,
    /// Working memory of the processor.
    pub memory: Memory,
    /// The disk under the home folder.
    pub disk: Disk,
    /// The home folder.
    pub home: PathBuf,
    /// Why the home folder has its place: `ATTUNE_HOME` or the platform's folder.
    pub home_reason: String,
    /// The Hugging Face cache that is searched for models.
    pub model_cache: PathBuf,
    /// The largest models that each method can tune here.
    pub capacity: Vec<Capacity>,
    /// Version of Attune.
    pub version: String,
    /// What is wrong or worth knowing, one sentence each; empty when all is well.
    pub findings: Vec<String>,
}

/// The processor and the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Platform {
    /// `arm64` or `x86_64`.
    pub architecture: String,
    /// `linux` or `macos`.
    pub system: String,
    /// Name and version of the system, for people.
    pub system_name: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Name of the processor, as Apple, the board or the processor itself gives it.
    pub chip: String,
    /// Name of the computer or board, where it has one: `NVIDIA DGX Spark`.
    pub model: Option<String>,
    /// Whether this is a program for Intel Macs on Apple Silicon (Rosetta).
    pub translated: bool,
    /// Logical cores of the machine.
    pub cores: usize,
    /// Cores this process may use.
    pub usable_cores: usize,
}

/// What computes, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GpuBackend {
    /// The choice.
    pub kind: GpuBackendKind,
    /// Why, in a sentence.
    pub reason: String,
    /// Who chose.
    pub chosen_by: ChosenBy,
    /// Everything that could compute, in the order of preference; the processor last.
    pub backends: Vec<Backend>,
}

/// Who chose the device. An earlier one overrules the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ChosenBy {
    /// `--device`.
    Flag,
    /// `ATTUNE_DEVICE`.
    Environment,
    /// The preferences.
    Preference,
    /// Nobody: the first that can be used.
    Detection,
}

/// One kind of device and whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Backend {
    /// Which kind.
    pub kind: GpuBackendKind,
    /// Whether it can be used, and if not, what stands in the way.
    pub state: BackendState,
    /// Its name, where it is known: `NVIDIA H100 80GB HBM3`.
    pub name: Option<String>,
    /// What was found, in a sentence.
    pub reason: String,
    /// What would make it usable.
    pub remedy: Option<String>,
    /// Its memory, where it is known.
    pub memory: Option<Memory>,
}

/// What stands in the way of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// Nothing: it can be used.
    Ready,
    /// There is none.
    NoDevice,
    /// There is one, but no driver.
    NoDriver,
    /// The driver is older than this build needs.
    DriverTooOld,
    /// A library that the build needs is not there.
    LibraryMissing,
    /// This build computes on others only.
    NotBuilt,
    /// Another program has it for itself.
    Busy,
    /// Its memory is taken.
    OutOfMemory,
    /// The driver refuses it for another reason.
    Refused,
}

/// What the check of a device found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct BackendCheck {
    /// Which kind of device.
    pub kind: GpuBackendKind,
    /// What came out.
    pub result: Option<DeviceCheck>,
    /// Why nothing did.
    pub problem: Option<crate::error::Error>,
}

/// Working memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Memory {
    /// Of the machine, or of the container that limits this process.
    pub total: u64,
    /// Free for this process now.
    pub available: u64,
    /// The container's limit, where there is one below the machine's memory.
    pub limit: Option<u64>,
    /// Whether processor and GPU share it.
    pub unified: bool,
}

/// A disk in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Disk {
    /// Size; 0 when it cannot be known.
    pub total: u64,
    /// Free.
    pub available: u64,
}

/// Arguments of `settings`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct SettingsRequest {}

/// One setting of an experiment, as forms, help and documents need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct SettingDefinition {
    /// YAML key and `--set` key.
    pub key: String,
    /// Name for people.
    pub title: String,
    /// What it does and when to change it.
    pub help: String,
    /// Heading it stands under: `Dataset`, `Training`.
    pub group: String,
    /// `basic`, `advanced` or `expert`.
    pub level: String,
    /// What a value may be.
    pub kind: SettingKind,
    /// Value without a choice; null where one must be given or none is needed.
    pub default: Value,
    /// Whether a value must be given.
    pub required: bool,
    /// When it matters. Absent: always.
    pub applies_when: Option<Condition>,
    /// H2O LLM Studio's name, where it has the setting.
    pub h2o_name: Option<String>,
}

/// Another setting that must have one value for this one to matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Condition {
    /// The other setting.
    pub key: String,
    /// The value it must have.
    pub value: Value,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SettingKind {
    /// `true` or `false`.
    Switch,
    /// A whole number, both ends included.
    Integer {
        /// Lowest.
        min: i64,
        /// Highest.
        max: i64,
    },
    /// A number, both ends included.
    Number {
        /// Lowest.
        min: f64,
        /// Highest.
        max: f64,
    },
    /// One of a few words.
    Choice {
        /// The words.
        choices: Vec<String>,
    },
    /// Any text.
    Text,
    /// A list of texts.
    List {
        /// The only texts there are; empty where any may stand.
        choices: Vec<String>,
    },
}

/// Arguments of `starter`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct StarterRequest {}

/// What the starter installed, or found installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Starter {
    /// Id of the model.
    pub model: String,
    /// Id of the dataset to train on.
    pub dataset: String,
    /// Id of the dataset that training never sees.
    pub held_out: String,
    /// A prompt the untuned model cannot answer and the tuned one can.
    pub prompt: String,
    /// Settings of a run that are known to suit this model and this dataset.
    pub settings: Map<String, Value>,
}
