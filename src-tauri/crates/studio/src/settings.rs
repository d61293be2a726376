//! Experiment settings: one definition each, from which come the typed configuration, the YAML and
//! `--set` keys, forms, validation, differences and the manual.

mod adapter;
mod config;
mod definitions;
mod document;

use std::sync::LazyLock;

use serde_json::Value;

use crate::Studio;
use crate::api::{Condition, Session, SettingDefinition, SettingKind, SettingsRequest};
use crate::error::{Error, Result};
use crate::nearest::nearest;

pub(crate) use config::{Layers, check_values, differences, from_yaml, to_yaml, values};
pub use definitions::{BackboneDtype, ExperimentConfig, SaveCheckpoint, ScheduleChoice};
pub use document::settings_document;

/// The heading a setting stands under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    General,
    Dataset,
    Tokens,
    Model,
    Adapter,
    Training,
    Validation,
    Checkpoints,
    Prediction,
}

/// Who should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Basic,
    Advanced,
    Expert,
}

/// The definition of one setting.
#[derive(Debug)]
pub(crate) struct Setting {
    key: &'static str,
    title: &'static str,
    help: &'static str,
    group: Group,
    level: Level,
    kind: SettingKind,
    h2o_name: Option<&'static str>,
    applies_when: Option<Condition>,
}

static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(definitions::list_all);

/// Describes every setting of an experiment.
pub fn describe(
    _: &Studio,
    _: SettingsRequest,
    _: &mut Session<'_>,
) -> Result<Vec<SettingDefinition>> {
    Ok(SETTINGS.iter().map(Setting::describe).collect())
}

fn integer(min: i64, max: i64) -> SettingKind {
    SettingKind::Integer { min, max }
}

fn number(min: f64, max: f64) -> SettingKind {
    SettingKind::Number { min, max }
}

fn choice(choices: &[&str]) -> SettingKind {
    SettingKind::Choice {
        choices: choices.iter().map(ToString::to_string).collect(),
    }
}

fn list(choices: &[&str]) -> SettingKind {
    SettingKind::List {
        choices: choices.iter().map(ToString::to_string).collect(),
    }
}

impl Setting {
    /// The setting called `key`, or the refusal that suggests what may have been meant.
    fn find(key: &str) -> Result<&'static Self> {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            return Ok(setting);
        }
        let renamed = SETTINGS
            .iter()
            .find(|setting| setting.h2o_name == Some(key))
            .map(|setting| setting.key);
        let meant = renamed.or_else(|| nearest(key, SETTINGS.iter().map(|setting| setting.key)));
        let remedy = meant.map_or_else(
            || "`attune settings` lists every setting.".to_owned(),
            |meant| format!("Did you mean `{meant}`? `attune settings` lists every setting."),
        );
        Err(
            Error::new("setting-unknown", format!("there is no setting `{key}`"))
                .with_remedy(remedy)
                .with_place(key),
        )
    }

    /// The value without a choice; null where one must be given or none is needed.
    fn default(&self) -> Value {
        static DEFAULTS: LazyLock<Value> =
            LazyLock::new(|| serde_json::to_value(ExperimentConfig::default()).unwrap_or_default());
        DEFAULTS
            .get(self.key)
            .filter(|value| !self.is_unset(value))
            .cloned()
            .unwrap_or_default()
    }

    /// Whether a value must be given: the texts whose default is empty.
    fn is_required(&self) -> bool {
        matches!(self.key, "model" | "dataset")
    }

    fn is_unset(&self, value: &Value) -> bool {
        self.is_required() && value.as_str() == Some("")
    }

    fn describe(&self) -> SettingDefinition {
        SettingDefinition {
            key: self.key.to_owned(),
            title: self.title.to_owned(),
            help: self.help.to_owned(),
            group: format!("{:?}", self.group),
            level: format!("{:?}", self.level).to_lowercase(),
            kind: self.kind.clone(),
            default: self.default(),
            required: self.is_required(),
            applies_when: self.applies_when.clone(),
            h2o_name: self.h2o_name.map(str::to_owned),
        }
    }

    /// The value as the configuration holds it, or the refusal that says what it may be. Text is
    /// read as a person types it, so `--set`, YAML and a form accept the same.
    fn accept(&self, value: &Value) -> Result<Value> {
        let typed = match value {
            Value::String(text) => self.parse(text.trim()),
            other => Some(other.clone()),
        };
        typed.and_then(|value| self.check(value)).ok_or_else(|| {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            Error::new(
                "setting-invalid",
                format!("`{}` cannot be `{shown}`", self.key),
            )
            .with_remedy(format!("Give {}.", self.allowed()))
            .with_place(self.key)
        })
    }

    /// Text as the kind reads it; `None` where it cannot.
    fn parse(&self, text: &str) -> Option<Value> {
        let absent = text.is_empty() || matches!(text.to_lowercase().as_str(), "none" | "null");
        if absent && self.is_optional() {
            return Some(Value::Null);
        }
        match &self.kind {
            SettingKind::Switch => match text.to_lowercase().as_str() {
                "true" | "on" | "yes" => Some(Value::Bool(true)),
                "false" | "off" | "no" => Some(Value::Bool(false)),
                _ => None,
            },
            SettingKind::Integer { .. } => text
                .parse::<i64>()
                .map(Value::from)
                .ok()
                .or_else(|| text.parse::<f64>().map(Value::from).ok()),
            SettingKind::Number { .. } => text.parse::<f64>().map(Value::from).ok(),
            SettingKind::Choice { .. } | SettingKind::Text => Some(Value::from(text)),
            SettingKind::List { .. } => {
                let parts = text
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .split(',')
                    .map(str::trim);
                Some(
                    parts
                        .filter(|part| !part.is_empty())
                        .map(|part| part.trim_matches(['"', '\'']))
                        .collect(),
                )
            }
        }
    }

    /// The value in its canonical form if the kind allows it.
    fn check(&self, value: Value) -> Option<Value> {
        if value.is_null() {
            return self.is_optional().then_some(value);
        }
        match &self.kind {
            SettingKind::Switch => value.is_boolean().then_some(value),
            SettingKind::Integer { min, max } => {
                let whole = |number: &f64| number.fract() == 0.0 && number.abs() < 1e15;
                let number = value
                    .as_i64()
                    .or_else(|| value.as_f64().filter(whole).map(|number| number as i64))?;
                (*min..=*max).contains(&number).then(|| number.into())
            }
            SettingKind::Number { min, max } => {
                let number = value.as_f64()?;
                (*min..=*max).contains(&number).then(|| number.into())
            }
            SettingKind::Choice { choices } => {
                let word = value.as_str()?;
                choices
                    .iter()
                    .find(|choice| choice.eq_ignore_ascii_case(word))
                    .map(|choice| choice.clone().into())
            }
            SettingKind::Text => value
                .as_str()
                .filter(|text| !text.trim().is_empty())
                .map(Value::from),
            SettingKind::List { choices } => {
                let known =
                    |text: &str| choices.is_empty() || choices.iter().any(|choice| choice == text);
                let texts = value
                    .as_array()?
                    .iter()
                    .map(Value::as_str)
                    .collect::<Option<Vec<_>>>()?;
                texts.iter().all(|text| known(text)).then(|| texts.into())
            }
        }
    }

    fn is_optional(&self) -> bool {
        self.default().is_null() && !self.is_required()
    }

    /// What a value may be, in words.
    fn allowed(&self) -> String {
        let none = if self.is_optional() { ", or none" } else { "" };
        match &self.kind {
            SettingKind::Switch => "true or false".to_owned(),
            SettingKind::Integer { min, max } => {
                format!("a whole number from {min} to {max}{none}")
            }
            SettingKind::Number { min, max } => {
                format!("a number from {} to {}{none}", plain(*min), plain(*max))
            }
            SettingKind::Choice { choices } => format!("one of {}", choices.join(", ")),
            SettingKind::Text => format!("a text{none}"),
            SettingKind::List { choices } if choices.is_empty() => {
                "texts with commas between them".to_owned()
            }
            SettingKind::List { choices } => {
                format!("some of {}, with commas between them", choices.join(", "))
            }
        }
    }
}

/// A number as a person writes it: `1e-9`, `0.95`, `50`.
fn plain(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-3 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn accept(key: &str, value: impl Into<Value>) -> Result<Value> {
        Setting::find(key)?.accept(&value.into())
    }

    #[test]
    fn every_default_is_within_its_own_range() {
        for setting in SETTINGS.iter().filter(|setting| !setting.is_required()) {
            assert_eq!(
                setting.accept(&setting.default()).unwrap(),
                setting.default(),
                "{}",
                setting.key
            );
        }
    }

    /// The typed configuration and the list of choices are written beside each other, not derived
    /// from one another; this keeps them together.
    #[test]
    fn every_choice_becomes_a_typed_value() {
        for setting in SETTINGS.iter() {
            if let SettingKind::Choice { choices } = &setting.kind {
                for choice in choices {
                    let mut config = serde_json::to_value(ExperimentConfig::default()).unwrap();
                    config[setting.key] = choice.clone().into();
                    serde_json::from_value::<ExperimentConfig>(config).unwrap();
                }
            }
        }
    }

    #[test]
    fn conditions_name_settings_that_exist() {
        for setting in SETTINGS.iter() {
            if let Some(condition) = &setting.applies_when {
                Setting::find(&condition.key)
                    .unwrap()
                    .accept(&condition.value)
                    .unwrap();
            }
        }
    }

    #[test]
    fn text_is_read_as_a_person_types_it() {
        assert_eq!(accept("learning_rate", "2e-4").unwrap(), Value::from(2e-4));
        assert_eq!(accept("lora", "off").unwrap(), Value::Bool(false));
        assert_eq!(accept("schedule", "cosine").unwrap(), Value::from("Cosine"));
        assert_eq!(accept("max_steps", "none").unwrap(), Value::Null);
        assert_eq!(accept("batch_size", 4.0).unwrap(), Value::from(4));
        assert_eq!(
            accept("lora_target_modules", "q_proj, v_proj").unwrap(),
            Value::from(vec!["q_proj", "v_proj"])
        );
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let error = accept("lora_r", 0).unwrap_err();
        assert_eq!(error.code, "setting-invalid");
        assert_eq!(error.message, "`lora_r` cannot be `0`");
        assert_eq!(
            error.remedy.as_deref(),
            Some("Give a whole number from 1 to 256.")
        );
        assert!(accept("learning_rate", "fast").is_err());
        assert!(accept("epochs", f64::NAN).is_err());
        assert!(accept("batch_size", 2.5).is_err());
        assert!(accept("lora_target_modules", "q_porj").is_err());
        assert!(accept("epochs", Value::Null).is_err());
    }

    #[test]
    fn an_unknown_key_suggests_the_nearest() {
        let error = accept("learning_rte", 1).unwrap_err();
        assert_eq!(error.code, "setting-unknown");
        assert!(error.remedy.unwrap().contains("`learning_rate`"));
    }

    #[test]
    fn a_name_of_h2o_suggests_ours() {
        assert!(
            accept("llm_backbone", "x")
                .unwrap_err()
                .remedy
                .unwrap()
                .contains("`model`")
        );
    }
}
