//! A bundle for a problem report: what the machine is, which versions, which settings, what was
//! logged. No data, no answers of models, no secrets; the person's home folder is written as `~`.

use std::io::{Cursor, Write};

use serde::Serialize;
use zip::write::SimpleFileOptions;

use crate::Studio;
use crate::api::{
    Diagnostics, DiagnosticsRequest, DoctorRequest, ExperimentRequest, ExperimentsListRequest,
    JobsListRequest, ModelsListRequest, PreferencesRequest, Session,
};
use crate::error::{Error, Result};
use crate::{doctor, experiments, files, jobs, models, preferences};

/// Jobs and runs that are told about.
const RECENT: usize = 50;

/// Writes the bundle.
pub(crate) fn write(
    studio: &Studio,
    request: DiagnosticsRequest,
    session: &mut Session<'_>,
) -> Result<Diagnostics> {
    let mut bundle = Bundle::new();
    bundle.part(
        "machine.json",
        doctor::examine(studio, DoctorRequest { check: true }, session),
    )?;
    bundle.part(
        "preferences.json",
        preferences::read(studio, PreferencesRequest {}, session),
    )?;
    bundle.part(
        "jobs.json",
        jobs::list(studio, JobsListRequest { ended: RECENT }, session),
    )?;
    bundle.part(
        "models.json",
        models::list(studio, ModelsListRequest {}, session),
    )?;
    let experiments = experiments::list(studio, ExperimentsListRequest {}, session);
    for experiment in experiments.iter().flatten().take(RECENT) {
        session.check()?;
        let name = |file: &str| format!("experiments/{}/{file}", experiment.id);
        bundle.part(&name("settings.json"), experiments::config_of(experiment))?;
        let one = ExperimentRequest {
            experiment: experiment.id.clone(),
        };
        bundle.part(&name("log.json"), experiments::log(studio, one, session))?;
    }
    bundle.part("experiments.json", experiments)?;
    bundle.finish(request)
}

struct Bundle {
    zip: zip::ZipWriter<Cursor<Vec<u8>>>,
    files: Vec<String>,
    home: Option<String>,
}

impl Bundle {
    fn new() -> Self {
        let home = directories::BaseDirs::new();
        Self {
            zip: zip::ZipWriter::new(Cursor::default()),
            files: Vec::new(),
            home: home.map(|folders| folders.home_dir().display().to_string()),
        }
    }

    /// Adds what was gathered, or why it could not be: what is broken is what a report is about.
    fn part(&mut self, name: &str, gathered: Result<impl Serialize>) -> Result<()> {
        match gathered {
            Ok(content) => self.document(name, &content),
            Err(refusal) => self.document(name, &refusal),
        }
    }

    fn document(&mut self, name: &str, content: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(content).map_err(refused)?;
        if let Some(home) = self.home.as_ref().filter(|home| home.len() > 1) {
            text = text.replace(home, "~");
        }
        self.zip
            .start_file(name, SimpleFileOptions::default())
            .map_err(refused)?;
        self.zip.write_all(text.as_bytes()).map_err(refused)?;
        self.files.push(name.to_owned());
        Ok(())
    }

    fn finish(self, request: DiagnosticsRequest) -> Result<Diagnostics> {
        let path = std::path::absolute(&request.path)
            .map_err(|source| Error::file("use", &request.path, &source))?;
        let content = self.zip.finish().map_err(refused)?.into_inner();
        files::write(&path, &content)?;
        Ok(Diagnostics {
            path,
            files: self.files,
            bytes: content.len() as u64,
        })
    }
}

fn refused(source: impl std::fmt::Display) -> Error {
    Error::new(
        "diagnostics-unwritable",
        format!("the bundle cannot be written: {source}"),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::Control;
    use std::io::Read;

    #[test]
    fn the_bundle_holds_facts_and_no_home_folder() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let control = Control::default();
        let mut ignore = |_| {};
        let request = DiagnosticsRequest {
            path: home.path().join("bundle.zip"),
        };
        let written = write(&studio, request, &mut Session::new(&mut ignore, &control)).unwrap();
        let file = std::fs::File::open(&written.path).unwrap();
        let mut archive = zip::ZipArchive::new(file).unwrap();
        assert_eq!(archive.len(), written.files.len());
        let own = directories::BaseDirs::new().unwrap();
        let own = own.home_dir().display().to_string();
        for index in 0..archive.len() {
            let mut text = String::new();
            archive
                .by_index(index)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert!(!text.contains(&own), "{text}");
        }
    }
}
