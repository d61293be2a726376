//! The head of transformers' `ForSequenceClassification`: labels or numbers of a whole text, from
//! the hidden state of its last token.

use super::config::Config;
use super::{Family, ModelSpec};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What transformers calls the head's module.
pub(crate) const SCORE: &str = "score";

/// What the labels of a text are, by transformers' `problem_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemType {
    /// A number for each label. The loss is the mean squared error.
    Regression,
    /// One label of two or more. The loss is cross-entropy.
    SingleLabelClassification,
    /// Any number of labels. The loss is binary cross-entropy, the mean over the labels.
    MultiLabelClassification,
}

/// A linear layer without bias over the last token's hidden state, a score for each label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceHead {
    /// What the labels are.
    pub problem_type: ProblemType,
    /// Their names in order: transformers' `id2label`.
    pub labels: Vec<String>,
}

impl SequenceHead {
    /// A head over these labels.
    pub fn new<S: Into<String>>(
        problem_type: ProblemType,
        labels: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            problem_type,
            labels: labels.into_iter().map(Into::into).collect(),
        }
    }

    /// Refuses what transformers has no class for or what cannot be learnt.
    pub(crate) fn check(&self, family: Family) -> Result<()> {
        if family.classifier().is_none() {
            return Err(Error::Unsupported {
                what: format!(
                    "a sequence classification head on {} (the nearest that has one: \
                     LlamaForSequenceClassification)",
                    family.architecture()
                ),
            });
        }
        let least = match self.problem_type {
            ProblemType::SingleLabelClassification => 2,
            ProblemType::Regression | ProblemType::MultiLabelClassification => 1,
        };
        if self.labels.len() < least {
            return Err(Error::BadLabels(format!(
                "a head for {} needs at least {least}, not {}",
                self.problem_type.name(),
                self.labels.len()
            )));
        }
        Ok(())
    }

    /// What a `config.json` of a `ForSequenceClassification` says: two labels and no names where
    /// it is silent, as in transformers.
    pub(super) fn read(config: &Config<'_>) -> Result<Self> {
        let bad = |reason: &str| (config.bad)(reason.to_owned());
        let labels = match config.get("id2label") {
            None => {
                let count = config.optional_size("num_labels")?.unwrap_or(2);
                (0..count).map(|id| format!("LABEL_{id}")).collect()
            }
            Some(names) => {
                let names = names
                    .as_object()
                    .ok_or_else(|| bad("`id2label` is no object"))?;
                let name = |id: usize| Some(names.get(&id.to_string())?.as_str()?.to_owned());
                let labels: Option<Vec<String>> = (0..names.len()).map(name).collect();
                labels.ok_or_else(|| bad("`id2label` does not name the labels 0, 1, 2, …"))?
            }
        };
        let problem_type = match config.get("problem_type") {
            Some(name) => serde_json::from_value(name.clone()).map_err(|_| Error::Unsupported {
                what: format!("the problem_type {name}"),
            })?,
            None if labels.len() == 1 => ProblemType::Regression,
            None => ProblemType::SingleLabelClassification,
        };
        Ok(Self {
            problem_type,
            labels,
        })
    }

    /// Makes the fields of a causal model's configuration those of one with this head.
    pub(crate) fn write(&self, family: Family, fields: &mut Map<String, Value>) {
        fields.insert(
            "architectures".into(),
            family.classifier().into_iter().collect(),
        );
        let names = || self.labels.iter().enumerate();
        let id2label: Map<String, Value> = names()
            .map(|(id, name)| (id.to_string(), name.clone().into()))
            .collect();
        let label2id: Map<String, Value> = names()
            .map(|(id, name)| (name.clone(), id.into()))
            .collect();
        fields.insert("id2label".into(), id2label.into());
        fields.insert("label2id".into(), label2id.into());
        fields.insert("problem_type".into(), self.problem_type.name().into());
    }
}

impl ProblemType {
    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::SingleLabelClassification => "single_label_classification",
            Self::MultiLabelClassification => "multi_label_classification",
        }
    }
}

impl Family {
    /// The class of transformers that has the head; there is none for Granite.
    pub(super) fn classifier(self) -> Option<String> {
        match self {
            Self::Granite => None,
            Self::Gemma3 => Some("Gemma3TextForSequenceClassification".to_owned()),
            _ => {
                let causal = self.architecture();
                Some(causal.replace("ForCausalLM", "ForSequenceClassification"))
            }
        }
    }
}

impl ModelSpec {
    /// Name and shape of the head's matrix, where the model has one.
    pub(crate) fn score(&self) -> Option<(String, Vec<usize>)> {
        let head = self.sequence_head.as_ref()?;
        let shape = vec![head.labels.len(), self.hidden_size];
        Some((format!("{SCORE}.weight"), shape))
    }

    /// Whether an output matrix of its own gives the scores of the next token.
    pub(crate) fn has_output_matrix(&self) -> bool {
        !self.tie_word_embeddings && self.sequence_head.is_none()
    }
}
