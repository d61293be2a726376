//! Which device computes: what a person asked for, else the best that was found.

use std::sync::{Mutex, PoisonError};

use crate::Studio;
use crate::api::{ChosenBy, GpuBackend, GpuBackendKind, Memory};
use crate::doctor::memory;
use crate::error::{Error, Result};
use crate::preferences;
use crate::settings::{BackboneDtype, ExperimentConfig};
use attune_engine::{Device, ModelSpec, OptimizerKind};

/// What a person asks for: one kind of device, or none in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceWish {
    /// The best that is found.
    Auto,
    /// This kind and no other.
    Only(GpuBackendKind),
}

impl DeviceWish {
    /// `auto`, `cpu`, `cuda` or `metal`.
    pub fn parse(word: &str) -> Result<Self> {
        if word == "auto" {
            return Ok(Self::Auto);
        }
        let mut kinds = GpuBackendKind::ALL.into_iter();
        kinds
            .find(|kind| kind.as_str() == word)
            .map(Self::Only)
            .ok_or_else(|| {
                Error::new("device-unknown", format!("there is no device `{word}`"))
                    .with_remedy("Choose `auto`, `cpu`, `cuda` or `metal`.")
            })
    }
}

/// What was asked for on the command line, and what was found the last time it was looked.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    pub(crate) flag: Option<DeviceWish>,
    found: Mutex<Option<GpuBackend>>,
}

/// Who asks for a device, in the order of precedence.
#[derive(Debug, Default, Clone, Copy)]
struct Wishes<'a> {
    flag: Option<DeviceWish>,
    environment: Option<&'a str>,
    preference: Option<&'a str>,
}

impl Wishes<'_> {
    /// The first of them.
    fn first(self) -> Result<(DeviceWish, ChosenBy)> {
        let said = |word: Option<&str>, by| match word {
            None | Some("") => Ok(None),
            Some(word) => DeviceWish::parse(word)
                .map(|wish| Some((wish, by)))
                .map_err(|error| error.with_place(source(by))),
        };
        let mut first = self.flag.map(|wish| (wish, ChosenBy::Flag));
        if first.is_none() {
            first = said(self.environment, ChosenBy::Environment)?;
        }
        if first.is_none() {
            first = said(self.preference, ChosenBy::Preference)?;
        }
        Ok(match first {
            // The preference to have none is nobody's choice.
            None | Some((DeviceWish::Auto, ChosenBy::Preference)) => {
                (DeviceWish::Auto, ChosenBy::Detection)
            }
            Some(first) => first,
        })
    }
}

/// Where a choice was made, by the name a person knows.
fn source(by: ChosenBy) -> &'static str {
    match by {
        ChosenBy::Flag => "--device",
        ChosenBy::Environment => "ATTUNE_DEVICE",
        ChosenBy::Preference => "the preferences",
        ChosenBy::Detection => "detection",
    }
}

/// The beginning of a sentence on what was asked for.
fn asks(by: ChosenBy) -> String {
    let verb = if by == ChosenBy::Preference {
        "ask"
    } else {
        "asks"
    };
    format!("{} {verb}", source(by))
}

/// What was found with what was asked for; refused where the two do not meet.
fn chosen(found: GpuBackend, wishes: Wishes<'_>) -> Result<GpuBackend> {
    let (wish, chosen_by) = wishes.first()?;
    let DeviceWish::Only(kind) = wish else {
        return Ok(GpuBackend { chosen_by, ..found });
    };
    match found.of_kind(kind) {
        Some(backend) if backend.is_ready() => Ok(GpuBackend {
            kind,
            reason: format!("{} for it", asks(chosen_by)),
            chosen_by,
            backends: found.backends,
        }),
        backend => Err(unavailable(
            kind,
            chosen_by,
            backend.map(|backend| (backend.reason.as_str(), backend.remedy.as_deref())),
        )),
    }
}

fn unavailable(kind: GpuBackendKind, by: ChosenBy, found: Option<(&str, Option<&str>)>) -> Error {
    let (reason, remedy) = found.unwrap_or(("it was not looked for", None));
    let otherwise = match by {
        ChosenBy::Flag => "Or leave out --device.",
        ChosenBy::Environment => "Or unset ATTUNE_DEVICE.",
        ChosenBy::Preference | ChosenBy::Detection => "Or choose another device in the settings.",
    };
    let remedy = match remedy {
        Some(remedy) => format!("{remedy} {otherwise}"),
        None => otherwise.trim_start_matches("Or ").to_owned(),
    };
    let mut letters = remedy.chars();
    let remedy = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect::<String>())
        .unwrap_or_default();
    Error::new(
        "device-unavailable",
        format!(
            "{} for the device `{}`, but {reason}",
            asks(by),
            kind.as_str()
        ),
    )
    .with_remedy(remedy)
    .with_place(source(by))
}

impl Studio {
    /// Looks at this machine anew.
    pub(crate) fn look(&self) -> GpuBackend {
        let found = GpuBackend::detect();
        *self.found() = Some(found.clone());
        found
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Option<GpuBackend>> {
        let found = &self.devices.found;
        found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found the last time.
    fn known(&self) -> GpuBackend {
        let known = self.found().clone();
        known.unwrap_or_else(|| self.look())
    }

    /// What computes, and why; refused where what was asked for is not there.
    pub(crate) fn backend(&self) -> Result<GpuBackend> {
        self.backend_of(self.known())
    }

    pub(crate) fn backend_of(&self, found: GpuBackend) -> Result<GpuBackend> {
        let environment = std::env::var("ATTUNE_DEVICE").ok();
        // Preferences that cannot be read choose nothing: half the program would be unusable.
        let preference = preferences::load(self).map(|preferences| preferences.device);
        chosen(
            found,
            Wishes {
                flag: self.devices.flag,
                environment: environment.as_deref(),
                preference: preference.as_deref().ok(),
            },
        )
    }

    /// Refuses a preference that cannot be followed on this machine.
    pub(crate) fn check_preference(&self, device: &str) -> Result<()> {
        let wishes = Wishes {
            preference: Some(device),
            ..Wishes::default()
        };
        chosen(self.known(), wishes).map(drop)
    }

    /// What computes, opened.
    pub(crate) fn open_device(&self) -> Result<Device> {
        // Preferences that cannot be read choose nothing here either.
        let preferences = preferences::load(self).unwrap_or_default();
        let longest = preferences::longest_dispatch(&preferences);
        Ok(self.backend()?.kind.open_within(longest)?)
    }

    /// The memory of what computes, now. That of a GPU is asked for only while this process holds
    /// it: asking takes hold of it, which is slow, and is no business of a meter.
    pub(crate) fn device_memory(&self) -> (GpuBackendKind, Memory) {
        let backend = self.backend().unwrap_or_else(|_| self.known());
        let kind = backend.kind;
        let found = match kind {
            GpuBackendKind::Cpu => None,
            kind if kind.is_open() => {
                let now = self.look();
                now.of_kind(kind).and_then(|backend| backend.memory)
            }
            kind => backend.of_kind(kind).and_then(|backend| backend.memory),
        };
        (kind, found.unwrap_or_else(memory::measure))
    }
}

/// What a run on such a device does otherwise than on the processor, a sentence each. All settings
/// can be computed everywhere: where a device has no kernel, by compositions of candle's operations.
/// `has_bfloat16` is asked only where the settings want it.
pub(crate) fn notes(
    kind: GpuBackendKind,
    has_bfloat16: impl FnOnce() -> bool,
    config: &ExperimentConfig,
    model: &ModelSpec,
) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let wants_bfloat16 = if config.lora {
        config.frozen_weights(model).wants_bf16()
    } else {
        config.backbone_dtype == BackboneDtype::Bfloat16
    };
    let processor = kind == GpuBackendKind::Cpu;
    if wants_bfloat16 {
        match (has_bfloat16(), config.lora) {
            (false, true) => notes.push(
                "This device has no bfloat16: weights that would be bfloat16 are float16, which ends at 65504.",
            ),
            (false, false) => notes.push(
                "This device has no bfloat16: every weight is float32, in the same memory.",
            ),
            (true, false) if !processor => notes.push(
                "What the float32 weights have beyond bfloat16 is kept by the processor: each step goes through it, weights and gradients there and back.",
            ),
            (true, _) => {}
        }
    }
    if config.optimizer == OptimizerKind::AdamW8bit && !processor {
        notes.push(
            "AdamW8bit's moments are kept by the processor, which takes the steps: gradients and weights go there and back. Where memory is not short, AdamW is faster.",
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::{Backend, BackendState};

    /// A machine with an NVIDIA GPU, usable or not.
    fn found(state: BackendState) -> GpuBackend {
        let backend = |kind, state| Backend {
            kind,
            state,
            name: None,
            reason: "the driver is too old".to_owned(),
            remedy: Some("Install a newer one.".to_owned()),
            memory: None,
        };
        GpuBackend {
            kind: if state == BackendState::Ready {
                GpuBackendKind::Cuda
            } else {
                GpuBackendKind::Cpu
            },
            reason: "found".to_owned(),
            chosen_by: ChosenBy::Detection,
            backends: vec![
                backend(GpuBackendKind::Cuda, state),
                backend(GpuBackendKind::Cpu, BackendState::Ready),
            ],
        }
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_preference() {
        let mut wishes = Wishes {
            flag: Some(DeviceWish::Only(GpuBackendKind::Cpu)),
            environment: Some("cuda"),
            preference: Some("cuda"),
        };
        let choose = |wishes| {
            let chosen = chosen(found(BackendState::Ready), wishes).unwrap();
            (chosen.kind, chosen.chosen_by)
        };
        assert_eq!(choose(wishes), (GpuBackendKind::Cpu, ChosenBy::Flag));
        wishes.flag = Some(DeviceWish::Auto);
        assert_eq!(choose(wishes), (GpuBackendKind::Cuda, ChosenBy::Flag));
        (wishes.flag, wishes.environment) = (None, Some("cpu"));
        assert_eq!(choose(wishes), (GpuBackendKind::Cpu, ChosenBy::Environment));
        (wishes.environment, wishes.preference) = (Some(""), Some("cpu"));
        assert_eq!(choose(wishes), (GpuBackendKind::Cpu, ChosenBy::Preference));
        wishes.preference = Some("auto");
        assert_eq!(choose(wishes), (GpuBackendKind::Cuda, ChosenBy::Detection));
    }

    #[test]
    fn an_impossible_choice_is_refused_with_the_reason_and_a_way_out() {
        let refused = |wishes| chosen(found(BackendState::DriverTooOld), wishes).unwrap_err();
        let error = refused(Wishes {
            environment: Some("cuda"),
            ..Wishes::default()
        });
        assert_eq!(error.code, "device-unavailable");
        assert!(error.message.contains("ATTUNE_DEVICE") && error.message.contains("too old"));
        let remedy = error.remedy.unwrap();
        assert_eq!(remedy, "Install a newer one. Or unset ATTUNE_DEVICE.");
        let error = refused(Wishes {
            flag: Some(DeviceWish::Only(GpuBackendKind::Metal)),
            ..Wishes::default()
        });
        assert_eq!(error.remedy.unwrap(), "Leave out --device.");
        let error = refused(Wishes {
            environment: Some("gpu"),
            ..Wishes::default()
        });
        assert_eq!(error.code, "device-unknown");
        assert_eq!(error.place.unwrap(), "ATTUNE_DEVICE");
    }

    #[test]
    fn what_goes_through_the_processor_is_told() {
        let model = ModelSpec::from_json(&serde_json::json!({
            "model_type": "llama", "hidden_size": 8, "intermediate_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
            "vocab_size": 8, "max_position_embeddings": 8,
        }))
        .unwrap();
        let mut config = ExperimentConfig::default();
        let has_bfloat16 = || attune_engine::has_bf16(&Device::Cpu);
        let told = |config: &_, kind| notes(kind, has_bfloat16, config, &model).concat();
        let unasked = || -> bool { panic!("a device must not be opened for nothing") };
        assert!(notes(GpuBackendKind::Cuda, unasked, &config, &model).is_empty());
        config.optimizer = OptimizerKind::AdamW8bit;
        assert_eq!(told(&config, GpuBackendKind::Cpu), "");
        assert!(told(&config, GpuBackendKind::Metal).contains("AdamW8bit's moments"));
        config.optimizer = OptimizerKind::AdamW;
        config.backbone_dtype = BackboneDtype::Bfloat16;
        assert_eq!(told(&config, GpuBackendKind::Cuda), "");
        config.lora = false;
        assert_eq!(told(&config, GpuBackendKind::Cpu), "");
        assert!(told(&config, GpuBackendKind::Cuda).contains("beyond bfloat16"));
        // Without bfloat16 there is nothing to keep.
        let without = attune_engine::without_bf16(|| told(&config, GpuBackendKind::Cuda));
        assert!(without.contains("every weight is float32") && !without.contains("beyond"));
    }
}
