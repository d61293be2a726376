//! Installs what the program brings along, so that the whole story runs without a network.

mod bundle;

use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Studio;
use crate::api::{DataImportRequest, Dataset, ModelOrigin, Session, Starter, StarterRequest};
use crate::datasets::{self, hex};
use crate::error::{Error, Result};
use crate::files::{PendingFolder, write};
use crate::models;

/// What the program brings along.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Name of the model.
    pub(crate) model: &'static str,
    /// Its files by name.
    pub(crate) files: Vec<(&'static str, &'static [u8])>,
    /// Name of the dataset.
    pub(crate) dataset: &'static str,
    /// Conversations to train on, as JSONL.
    pub(crate) train: String,
    /// Conversations that training never sees, as JSONL.
    pub(crate) held_out: String,
    /// A prompt the untuned model cannot answer and the tuned one can.
    pub(crate) prompt: String,
    /// Settings of a run that suit model and dataset, as YAML.
    pub(crate) settings: &'static str,
}

/// Installs the starter, or finds it installed.
pub(crate) fn install(
    studio: &Studio,
    _: StarterRequest,
    session: &mut Session<'_>,
) -> Result<Starter> {
    place(studio, &bundle::bundle(), session)
}

fn place(studio: &Studio, bundle: &Bundle, session: &mut Session<'_>) -> Result<Starter> {
    let folder = place_model(studio, bundle)?;
    let model = models::remember(studio, bundle.model, ModelOrigin::Bundled, &folder)?;
    Ok(Starter {
        model: model.id,
        dataset: place_data(studio, bundle.dataset, &bundle.train, session)?.id,
        held_out: place_data(
            studio,
            &format!("{} held out", bundle.dataset),
            &bundle.held_out,
            session,
        )?
        .id,
        prompt: bundle.prompt.clone(),
        settings: settings(bundle)?,
    })
}

fn settings(bundle: &Bundle) -> Result<Map<String, Value>> {
    serde_yaml_ng::from_str(bundle.settings).map_err(|source| {
        Error::new(
            "starter-broken",
            format!("the starter's settings cannot be read: {source}"),
        )
    })
}

/// Writes the model's files, unless those that lie there are the same: a newer program may bring
/// newer ones.
fn place_model(studio: &Studio, bundle: &Bundle) -> Result<std::path::PathBuf> {
    let folder = studio.home().model(bundle.model);
    let same = |(name, bytes): &(&str, &[u8])| {
        std::fs::read(folder.join(name)).is_ok_and(|found| found == *bytes)
    };
    if bundle.files.iter().all(same) {
        return Ok(folder);
    }
    let pending = PendingFolder::new(&folder)?;
    for (name, bytes) in &bundle.files {
        write(&pending.path().join(name), bytes)?;
    }
    pending.finish(true)
}

/// Imports the rows, unless the library has these very bytes.
fn place_data(
    studio: &Studio,
    name: &str,
    rows: &str,
    session: &mut Session<'_>,
) -> Result<Dataset> {
    let sha256 = hex(&Sha256::digest(rows.as_bytes()));
    let known = studio
        .store()?
        .datasets(studio.home())?
        .into_iter()
        .find(|dataset| dataset.sha256 == sha256);
    if let Some(known) = known {
        return Ok(known);
    }
    let folder = tempfile::tempdir()
        .map_err(|source| Error::file("write in", Path::new("the temporary folder"), &source))?;
    let path = folder
        .path()
        .join(format!("{}.jsonl", crate::naming::slug(name)));
    write(&path, rows.as_bytes())?;
    let request = DataImportRequest {
        path,
        name: Some(name.to_owned()),
        ..DataImportRequest::default()
    };
    Ok(datasets::import(studio, request, session)?.dataset)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::Control;

    #[test]
    fn installing_twice_installs_once() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let bundle = Bundle {
            model: "starter",
            files: vec![("config.json", b"{}")],
            dataset: "orders",
            train: "{\"prompt\":\"a\",\"answer\":\"b\"}\n".to_owned(),
            held_out: "{\"prompt\":\"c\",\"answer\":\"d\"}\n".to_owned(),
            prompt: "c".to_owned(),
            settings: "epochs: 5",
        };
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let first = place(&studio, &bundle, &mut session).unwrap();
        assert_eq!(first.settings["epochs"], 5);
        assert_eq!(
            (first.dataset.as_str(), first.held_out.as_str()),
            ("orders", "orders-held-out")
        );
        assert_eq!(place(&studio, &bundle, &mut session).unwrap(), first);
        assert_eq!(
            studio
                .store()
                .unwrap()
                .datasets(studio.home())
                .unwrap()
                .len(),
            2
        );
        assert!(home.path().join("models/starter/config.json").is_file());
    }
}
