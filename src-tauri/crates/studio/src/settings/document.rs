//! docs/settings.md, from the definitions.

use std::fmt::Write as _;

use super::{SETTINGS, Setting};
use serde_json::Value;

/// The page of the manual that lists every setting.
pub fn settings_document() -> String {
    let mut page = String::from(
        "# Settings of an experiment\n\n\
         Generated from the definitions; `make generated` rewrites it.\n\n\
         A setting is given in the configuration file (`key: value`), or on the command line (`--set key=value`).\n",
    );
    let mut group = None;
    for setting in SETTINGS.iter() {
        if group != Some(setting.group) {
            group = Some(setting.group);
            let _ = write!(page, "\n## {:?}\n", setting.group);
        }
        let _ = write!(page, "\n{}", entry(setting));
    }
    page
}

fn entry(setting: &Setting) -> String {
    let default = match setting.default() {
        _ if setting.is_required() => "must be given".to_owned(),
        Value::Null => "none by default".to_owned(),
        Value::String(word) => format!("default `{word}`"),
        Value::Number(number) => format!(
            "default `{}`",
            number.as_f64().map(super::plain).unwrap_or_default()
        ),
        other => format!("default `{other}`"),
    };
    let mut facts = vec![
        setting.allowed(),
        default,
        format!("{:?}", setting.level).to_lowercase(),
    ];
    if let Some(condition) = &setting.applies_when {
        facts.push(match &condition.value {
            Value::Null => format!("when `{}` is not given", condition.key),
            value => format!("when `{}` is {value}", condition.key),
        });
    }
    match setting.h2o_name {
        Some(name) if name != setting.key => facts.push(format!("H2O LLM Studio: `{name}`")),
        None => facts.push("not in H2O LLM Studio".to_owned()),
        Some(_) => {}
    }
    format!(
        "### `{}`\n\n{}: {}\n\n{}.\n",
        setting.key,
        setting.title,
        setting.help,
        sentence(&facts.join("; "))
    )
}

/// With a capital at its start.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::path::Path;

    /// The manual is committed, so that it can be read without building; this keeps it true.
    #[test]
    fn generated_settings_page() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/settings.md");
        let page = settings_document();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &page).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == page,
            "docs/settings.md is out of date: run `make generated`"
        );
    }
}
