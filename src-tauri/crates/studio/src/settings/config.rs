//! From YAML, forms and `--set` to one validated [`ExperimentConfig`], and back.

use std::path::Path;

use serde_json::{Map, Value};

use super::{ExperimentConfig, SETTINGS, Setting};
use crate::api::Difference;
use crate::error::{Error, Result};

/// Settings gathered layer by layer; a later layer wins. Each value is checked as it comes, so a
/// refusal can say where it stood.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    values: Map<String, Value>,
}

impl Layers {
    /// Adds the settings of a YAML file.
    pub(crate) fn add_file(&mut self, path: &Path) -> Result<()> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::file("read", path, &source))?;
        self.add_yaml(&text, &path.display().to_string())
    }

    /// Adds settings by key.
    pub(crate) fn add_values(&mut self, values: &Map<String, Value>) -> Result<()> {
        values
            .iter()
            .try_for_each(|(key, value)| self.add(key, value))
    }

    /// Adds a `key=value`.
    pub(crate) fn add_assignment(&mut self, assignment: &str) -> Result<()> {
        let (key, value) = assignment.split_once('=').ok_or_else(|| {
            Error::new(
                "setting-invalid",
                format!("`{assignment}` is not of the form key=value"),
            )
            .with_remedy("Write for example `--set learning_rate=2e-4`.")
        })?;
        self.add(key.trim(), &Value::from(value))
    }

    fn add_yaml(&mut self, text: &str, origin: &str) -> Result<()> {
        let values: Option<Map<String, Value>> =
            serde_yaml_ng::from_str(text).map_err(|source| {
                let line = source
                    .location()
                    .map(|at| format!(", line {}", at.line()))
                    .unwrap_or_default();
                Error::new(
                    "config-unreadable",
                    format!("{origin} is not a YAML list of settings: {source}"),
                )
                .with_remedy("Write one `key: value` per line; `attune settings` lists the keys.")
                .with_place(format!("{origin}{line}"))
            })?;
        for (key, value) in values.unwrap_or_default() {
            self.add(&key, &value).map_err(|error| {
                let line = text
                    .lines()
                    .position(|line| line.trim_start().starts_with(&format!("{key}:")));
                let line = line
                    .map(|line| format!(", line {}", line + 1))
                    .unwrap_or_default();
                error.with_place(format!("{origin}{line}"))
            })?;
        }
        Ok(())
    }

    fn add(&mut self, key: &str, value: &Value) -> Result<()> {
        let setting = Setting::find(key)?;
        self.values
            .insert(setting.key.to_owned(), setting.accept(value)?);
        Ok(())
    }

    /// The whole configuration: these settings on top of the defaults, checked against each other.
    pub(crate) fn finish(self) -> Result<ExperimentConfig> {
        for setting in SETTINGS.iter().filter(|setting| setting.is_required()) {
            if !self.values.contains_key(setting.key) {
                return Err(Error::new(
                    "setting-missing",
                    format!("`{}` is not given", setting.key),
                )
                .with_remedy(format!(
                    "Add `{0}: …` to the configuration, or `--set {0}=…`.",
                    setting.key
                ))
                .with_place(setting.key));
            }
        }
        let mut values = self.values;
        for setting in SETTINGS.iter() {
            values
                .entry(setting.key)
                .or_insert_with(|| setting.default());
        }
        let config: ExperimentConfig =
            serde_json::from_value(Value::Object(values)).map_err(|source| {
                Error::new(
                    "setting-invalid",
                    format!("the settings do not fit together: {source}"),
                )
            })?;
        config.check_together()?;
        Ok(config)
    }
}

/// Refuses a value that its setting does not allow.
pub(crate) fn check_values(values: &Map<String, Value>) -> Result<()> {
    Layers::default().add_values(values)
}

impl ExperimentConfig {
    /// What no single range can say.
    fn check_together(&self) -> Result<()> {
        let refuse = |key: &str, message: String, remedy: &str| {
            Err(Error::new("setting-conflict", message)
                .with_remedy(remedy)
                .with_place(key))
        };
        if self.warmup_epochs > self.epochs {
            return refuse(
                "warmup_epochs",
                format!(
                    "the warm-up of {} epochs is longer than the run of {}",
                    self.warmup_epochs, self.epochs
                ),
                "Lower warmup_epochs, or raise epochs.",
            );
        }
        self.adapter()?;
        let validates = self.validation_dataset.is_some() || self.validation_size > 0.0;
        if self.early_stopping_patience > 0 && !(validates && self.evaluation_epochs > 0.0) {
            return refuse(
                "early_stopping_patience",
                "early stopping watches the validation loss, and nothing is validated".to_owned(),
                "Raise validation_size and evaluation_epochs above 0, or set early_stopping_patience to 0.",
            );
        }
        Ok(())
    }
}

/// The configuration as the run's `config.yaml`: complete, in the order of the definitions.
pub(crate) fn to_yaml(config: &ExperimentConfig) -> Result<String> {
    serde_yaml_ng::to_string(config).map_err(|source| {
        Error::new(
            "config-unwritable",
            format!("cannot write the settings as YAML: {source}"),
        )
    })
}

/// The configuration by key, as typed values.
pub(crate) fn values(config: &ExperimentConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(values)) => values,
        _ => Map::new(),
    }
}

/// Reads a run's `config.yaml`. Settings that came later than the run have their defaults. Ranges
/// are not checked again: they were when the run was made, and an adapter it started from may have
/// brought a rank or strength beyond what a form offers.
pub(crate) fn from_yaml(text: &str, origin: &Path) -> Result<ExperimentConfig> {
    serde_yaml_ng::from_str(text).map_err(|source| {
        Error::new(
            "config-unreadable",
            format!("the settings of the run cannot be read: {source}"),
        )
        .with_remedy("Restore the file, or delete the experiment and start it again.")
        .with_place(origin.display().to_string())
    })
}

/// The settings in which two configurations differ, in the order of the definitions.
pub(crate) fn differences(here: &ExperimentConfig, there: &ExperimentConfig) -> Vec<Difference> {
    let (here, there) = (values(here), values(there));
    SETTINGS
        .iter()
        .map(|setting| Difference {
            key: setting.key.to_owned(),
            value: here[setting.key].clone(),
            other: there[setting.key].clone(),
        })
        .filter(|difference| difference.value != difference.other)
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn finish(yaml: &str, set: &[&str]) -> Result<ExperimentConfig> {
        let mut layers = Layers::default();
        layers.add_yaml(yaml, "run.yaml")?;
        set.iter()
            .try_for_each(|assignment| layers.add_assignment(assignment))?;
        layers.finish()
    }

    const LEAST: &str = "model: starter\ndataset: orders\n";

    #[test]
    fn a_later_layer_wins_and_the_rest_has_its_default() {
        let config = finish(
            &format!("{LEAST}lora_r: 8\nepochs: 3"),
            &["lora_r=16", "learning_rate=1e-3"],
        )
        .unwrap();
        assert_eq!(
            (config.lora_r, config.epochs, config.learning_rate),
            (16, 3.0, 1e-3)
        );
        assert_eq!((config.lora_alpha, config.batch_size), (16.0, 2));
    }

    #[test]
    fn yaml_written_is_yaml_read() {
        let config = finish(LEAST, &["lora_target_modules=q_proj,v_proj", "seed=7"]).unwrap();
        let yaml = to_yaml(&config).unwrap();
        assert_eq!(from_yaml(&yaml, Path::new("config.yaml")).unwrap(), config);
    }

    #[test]
    fn a_refusal_names_file_and_line() {
        let error = finish(&format!("{LEAST}# rank\nlora_rank: 8\n"), &[]).unwrap_err();
        assert_eq!(error.place.as_deref(), Some("run.yaml, line 4"));
        assert_eq!(error.code, "setting-unknown");
        assert_eq!(finish("a: [", &[]).unwrap_err().code, "config-unreadable");
        assert_eq!(
            finish("just words", &[]).unwrap_err().code,
            "config-unreadable"
        );
        assert_eq!(
            finish("dataset: x", &[]).unwrap_err().code,
            "setting-missing"
        );
        assert_eq!(
            finish(LEAST, &["lora_r"]).unwrap_err().code,
            "setting-invalid"
        );
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for set in [
            &["warmup_epochs=2"][..],
            &["early_stopping_patience=2", "validation_size=0"],
            &["early_stopping_patience=2", "evaluation_epochs=0"],
        ] {
            assert_eq!(
                finish(LEAST, set).unwrap_err().code,
                "setting-conflict",
                "{set:?}"
            );
        }
        finish(
            LEAST,
            &[
                "early_stopping_patience=2",
                "validation_size=0",
                "validation_dataset=held",
            ],
        )
        .unwrap();
    }

    #[test]
    fn differences_name_what_changed_only() {
        let one = finish(LEAST, &[]).unwrap();
        let other = finish(LEAST, &["epochs=2"]).unwrap();
        let found = differences(&other, &one);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].key.as_str(), &found[0].value),
            ("epochs", &Value::from(2.0))
        );
    }
}
