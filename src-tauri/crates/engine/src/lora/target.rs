//! Which layers an adapter stands beside, by PEFT's rules.

use crate::{Error, Result};
use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

/// PEFT's `target_modules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// A regular expression that the layer's whole name must match, such as
    /// `.*\.layers\.(0|1)\..*_proj`; or `all-linear`, every linear layer but the head.
    Pattern(String),
    /// Names, or ends of names from a dot on, such as `q_proj`.
    Names(Vec<String>),
}

/// PEFT's word for every linear layer but the head.
const ALL_LINEAR: &str = "all-linear";

impl Default for TargetModules {
    fn default() -> Self {
        Self::Pattern(ALL_LINEAR.to_owned())
    }
}

impl TargetModules {
    /// These names; none for every linear layer.
    pub fn names(names: Vec<String>) -> Self {
        if names.is_empty() {
            Self::default()
        } else {
            Self::Names(names)
        }
    }

    /// Whether every linear layer is meant.
    pub(crate) fn is_all_linear(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.eq_ignore_ascii_case(ALL_LINEAR))
    }

    /// Whether the linear layer `name`, without `.weight`, is among them.
    pub(crate) fn contains(&self, name: &str) -> Result<bool> {
        match self {
            _ if self.is_all_linear() => Ok(true),
            Self::Pattern(pattern) => matches(&compile(&format!(r"\A(?:{pattern})\z"))?, name),
            Self::Names(names) => Ok(names.iter().any(|end| ends_with(name, end))),
        }
    }

    /// Refuses a name or pattern that no linear layer of a model answers to.
    pub(crate) fn check_against(&self, linears: &[&str]) -> Result<()> {
        match self {
            Self::Names(names) => {
                let unknown = names
                    .iter()
                    .find(|end| !linears.iter().any(|name| ends_with(name, end)));
                match unknown {
                    Some(name) => Err(Error::UnknownModule {
                        name: name.clone(),
                        modules: modules(linears).join(", "),
                    }),
                    None => Ok(()),
                }
            }
            Self::Pattern(pattern) => {
                for name in linears {
                    if self.contains(name)? {
                        return Ok(());
                    }
                }
                Err(Error::BadAdapterSetting {
                    setting: "target_modules".into(),
                    reason: format!(
                        "no linear layer's name matches `{pattern}`; the first is `{}`",
                        linears.first().unwrap_or(&"")
                    ),
                })
            }
        }
    }
}

/// Whether `name` is `end` or ends with a dot and `end`.
pub(crate) fn ends_with(name: &str, end: &str) -> bool {
    name.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The last parts of the layers' names, each once.
fn modules<'a>(linears: &[&'a str]) -> Vec<&'a str> {
    let mut modules: Vec<&str> = Vec::new();
    for name in linears.iter().map(|name| last_part(name)) {
        if !modules.contains(&name) {
            modules.push(name);
        }
    }
    modules
}

/// What follows the last dot.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The value of the first pattern that `name` ends with, from a dot on.
pub(super) fn first_match<T: Copy>(patterns: &[(String, T)], name: &str) -> Result<Option<T>> {
    for (pattern, value) in patterns {
        if matches(&suffix_pattern(pattern)?, name)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// A key of `rank_pattern` or `alpha_pattern`.
pub(super) fn suffix_pattern(pattern: &str) -> Result<Regex> {
    compile(&format!(r"\A(?:.*\.)?(?:{pattern})\z"))
}

fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| bad_pattern(pattern, &error))
}

fn matches(pattern: &Regex, name: &str) -> Result<bool> {
    pattern
        .is_match(name)
        .map_err(|error| bad_pattern(pattern.as_str(), &error))
}

fn bad_pattern(pattern: &str, error: &fancy_regex::Error) -> Error {
    Error::BadAdapterSetting {
        setting: "target_modules, rank_pattern or alpha_pattern".into(),
        reason: format!("`{pattern}` is not a regular expression: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const Q: &str = "model.layers.11.self_attn.q_proj";

    #[test]
    fn names_match_whole_parts_from_the_end() {
        let names = |name: &str| TargetModules::Names(vec![name.into()]).contains(Q).unwrap();
        assert!(names("q_proj") && names("self_attn.q_proj") && names(Q));
        assert!(!names("proj") && !names("k_proj") && !names("layers.11"));
    }

    #[test]
    fn a_pattern_matches_the_whole_name() {
        let pattern = |text: &str| TargetModules::Pattern(text.into()).contains(Q).unwrap();
        assert!(pattern(r".*\.(q|v)_proj") && pattern("all-linear") && pattern("All-Linear"));
        assert!(!pattern("q_proj") && !pattern(r"model\.layers\.1\..*"));
        // As exported for models with a vision part.
        assert!(pattern(r"^(?!.*visual).*(?:q_proj|k_proj).*"));
        let bad = TargetModules::Pattern("(".into()).contains(Q).unwrap_err();
        assert!(bad.to_string().contains("regular expression"), "{bad}");
    }

    #[test]
    fn the_first_pattern_that_matches_gives_the_value() {
        let patterns = [
            ("1.self_attn.q_proj".to_owned(), 1),
            (r"layers\.1\d\..*".to_owned(), 2),
            ("q_proj".to_owned(), 3),
        ];
        let value = |name: &str| first_match(&patterns, name).unwrap();
        assert_eq!(value(Q), Some(2));
        assert_eq!(value("model.layers.1.self_attn.q_proj"), Some(1));
        assert_eq!(value("model.layers.2.self_attn.q_proj"), Some(3));
        assert_eq!(value("model.layers.2.mlp.up_proj"), None);
    }

    #[test]
    fn what_a_model_lacks_is_refused() {
        let check = |targets: TargetModules| targets.check_against(&[Q]);
        check(TargetModules::names(Vec::new())).unwrap();
        check(TargetModules::Names(vec!["q_proj".into()])).unwrap();
        let refused = check(TargetModules::Names(vec!["q_proj".into(), "w1".into()]));
        assert!(
            matches!(refused, Err(Error::UnknownModule { name, modules }) if name == "w1" && modules == "q_proj")
        );
        assert!(check(TargetModules::Pattern("nothing".into())).is_err());
    }
}
