//! The library of datasets: the imported bytes, the conversations made of them, what was found.

mod import;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use attune_data::{ColumnChoice, ConversationFile, Inspection, Shape, Source, Tokenizer, inspect};

use crate::Studio;
use crate::api::{
    Conversation, DataCheckRequest, DataListRequest, DataRemoveRequest, DataShowRequest, Dataset,
    DatasetPage, ExperimentState, Progress, Removed, Session,
};
use crate::error::{Error, Result};
use crate::files::remove_folder;
use crate::models;
use crate::settings::ExperimentConfig;

pub(crate) use import::import;

/// The normalised conversations in a dataset's folder.
const CONVERSATIONS: &str = "conversations.parquet";
/// The importer's findings beside them.
const INSPECTION: &str = "inspection.json";

/// About `count` conversations from all over a dataset, in order.
pub(crate) fn spread(dataset: &Dataset, count: usize) -> Result<Vec<Conversation>> {
    // A read decodes a whole group of rows, so few places with many rows each.
    const PLACES: usize = 8;
    let all = dataset.conversations as usize;
    if all <= count {
        return range(dataset, 0, all);
    }
    let each = count / PLACES;
    let mut found = Vec::with_capacity(count);
    for place in 0..PLACES {
        found.extend(range(dataset, place * (all - each) / (PLACES - 1), each)?);
    }
    Ok(found)
}

/// Some conversations of a dataset, as far as there are any.
pub(crate) fn range(dataset: &Dataset, first: usize, count: usize) -> Result<Vec<Conversation>> {
    let file = ConversationFile::open(&dataset.folder.join(CONVERSATIONS))?;
    Ok(file.read(first..first.saturating_add(count))?)
}

/// Some conversations that an import of a file would make, counted without those it leaves out.
pub(crate) fn range_of_file(
    look: &DataCheckRequest,
    first: usize,
    count: usize,
    session: &mut Session<'_>,
) -> Result<Vec<Conversation>> {
    let source = open(&look.path, look.member.as_deref(), session)?;
    let shape = choose_shape(&source, look.shape.as_ref(), &look.columns)?;
    rows(&source, &shape)
        .filter_map(Result::transpose)
        .skip(first)
        .take(count)
        .collect()
}

/// Says what an import of a file would find; keeps nothing.
pub(crate) fn check(
    studio: &Studio,
    request: DataCheckRequest,
    session: &mut Session<'_>,
) -> Result<Inspection> {
    examine(studio, &request, session).map(|(_, inspection)| inspection)
}

/// Lists the datasets, newest first.
pub(crate) fn list(
    studio: &Studio,
    _: DataListRequest,
    _: &mut Session<'_>,
) -> Result<Vec<Dataset>> {
    studio.store()?.datasets(studio.home())
}

/// Shows a dataset, what was found in it, and some of its conversations.
pub(crate) fn show(
    studio: &Studio,
    request: DataShowRequest,
    _: &mut Session<'_>,
) -> Result<DatasetPage> {
    let dataset = studio.store()?.dataset(&request.dataset, studio.home())?;
    let conversations = range(&dataset, request.first as usize, request.count as usize)?;
    Ok(DatasetPage {
        inspection: inspection(&dataset)?,
        dataset,
        first: request.first,
        conversations,
    })
}

/// Removes a dataset and its files, unless an experiment that can still run needs it.
pub(crate) fn remove(
    studio: &Studio,
    request: DataRemoveRequest,
    _: &mut Session<'_>,
) -> Result<Removed> {
    let (store, home) = (studio.store()?, studio.home());
    let dataset = store.dataset(&request.dataset, home)?;
    store.reap(home)?;
    for experiment in store.experiments(home)? {
        let ended = matches!(
            experiment.state,
            ExperimentState::Finished | ExperimentState::Stopped
        );
        if !ended && uses(&experiment, &dataset.id) {
            return Err(Error::new(
                "dataset-in-use",
                format!(
                    "the experiment `{}` still needs the dataset `{}`",
                    experiment.id, dataset.id
                ),
            )
            .with_remedy("Stop or delete that experiment first."));
        }
    }
    // Files first: a row without files can be removed again, files without a row would be lost.
    let freed = remove_folder(&dataset.folder)?;
    store.remove_dataset(&dataset.id)?;
    Ok(Removed {
        id: dataset.id,
        name: dataset.name,
        freed,
    })
}

fn uses(experiment: &crate::api::Experiment, dataset: &str) -> bool {
    let validates =
        |config: ExperimentConfig| config.validation_dataset.as_deref() == Some(dataset);
    experiment.dataset == dataset || crate::experiments::config_of(experiment).is_ok_and(validates)
}

/// All conversations of the dataset that `reference` means.
pub(crate) fn all(
    studio: &Studio,
    reference: &str,
    session: &mut Session<'_>,
) -> Result<Vec<Conversation>> {
    conversations(&studio.store()?.dataset(reference, studio.home())?, session)
}

/// All conversations of a dataset.
pub(crate) fn conversations(
    dataset: &Dataset,
    session: &mut Session<'_>,
) -> Result<Vec<Conversation>> {
    let file = ConversationFile::open(&dataset.folder.join(CONVERSATIONS))?;
    let mut progress = Progress::new(format!("Reading {}", dataset.name), Some(file.len() as u64));
    let mut conversations = Vec::with_capacity(file.len());
    for conversation in file.iter() {
        conversations.push(conversation?);
        progress.report(conversations.len() as u64, session);
    }
    session.check()?;
    Ok(conversations)
}

/// All conversations of a file outside the library, its shape guessed.
pub(crate) fn conversations_of_file(
    path: &Path,
    session: &mut Session<'_>,
) -> Result<Vec<Conversation>> {
    let source = open(path, None, session)?;
    let shape = choose_shape(&source, None, &ColumnChoice::default())?;
    rows(&source, &shape)
        .filter_map(Result::transpose)
        .collect()
}

fn inspection(dataset: &Dataset) -> Result<Inspection> {
    let path = dataset.folder.join(INSPECTION);
    let text = fs::read_to_string(&path).map_err(|source| Error::file("read", &path, &source))?;
    serde_json::from_str(&text).map_err(|source| {
        Error::new(
            "dataset-unreadable",
            format!("{} cannot be read: {source}", path.display()),
        )
        .with_remedy("Import the dataset again.")
        .with_place(path.display().to_string())
    })
}

/// Opens a file and looks at every row of it.
fn examine(
    studio: &Studio,
    request: &DataCheckRequest,
    session: &mut Session<'_>,
) -> Result<(Source, Inspection)> {
    let tokenizer = match &request.model {
        Some(model) => Some(Tokenizer::from_folder(
            &models::find(studio, model)?.folder,
        )?),
        None => None,
    };
    let max_length = request
        .max_length
        .unwrap_or(ExperimentConfig::default().max_length);
    let source = open(&request.path, request.member.as_deref(), session)?;
    let shape = choose_shape(&source, request.shape.as_ref(), &request.columns)?;
    let measure = tokenizer.as_ref().map(|tokenizer| (tokenizer, max_length));
    let mut watch = watch("Checking", &request.path, session);
    let inspection = inspect(&source, &shape, measure, &mut watch)?;
    Ok((source, inspection))
}

fn open(path: &Path, member: Option<&str>, session: &mut Session<'_>) -> Result<Source> {
    Ok(Source::open_watched(
        path,
        member,
        &mut watch("Opening", path, session),
    )?)
}

/// Reports how far a pass over a file is, and ends it when the host asks.
fn watch<'a>(
    doing: &str,
    path: &Path,
    session: &'a mut Session<'_>,
) -> impl FnMut(attune_data::Progress) -> ControlFlow<()> + 'a {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut progress = Progress::new(format!("{doing} {name}"), None);
    move |at| {
        progress.total(at.total);
        progress.report(at.done, session);
        if session.control().is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// The shape asked for, or the one the columns suggest.
fn choose_shape(source: &Source, shape: Option<&Shape>, columns: &ColumnChoice) -> Result<Shape> {
    if let Some(shape) = shape {
        shape.check(&source.columns())?;
        return Ok(shape.clone());
    }
    let first = source.batches().next().transpose()?;
    let first = first.ok_or_else(|| Error::new("data-empty", "the file has no rows"))?;
    Ok(Shape::choose(&first, columns)?)
}

/// The conversations of a source in order; a row that makes none is `None`.
fn rows<'a>(
    source: &Source,
    shape: &'a Shape,
) -> impl Iterator<Item = Result<Option<Conversation>>> + 'a {
    source.batches().flat_map(move |batch| match batch {
        Ok(batch) => shape
            .conversations(&batch, 1)
            .into_iter()
            .map(|row| Ok(row.ok()))
            .collect::<Vec<_>>(),
        Err(error) => vec![Err(error.into())],
    })
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The shape in a word, as it is written down.
fn word(shape: &Shape) -> String {
    let value = serde_json::to_value(shape).unwrap_or_default();
    value["kind"].as_str().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::api::{Control, DataImportRequest, DatasetReport};

    fn studio() -> (tempfile::TempDir, Studio) {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path().join("home"));
        (home, studio)
    }

    fn import_file(studio: &Studio, path: &Path) -> Result<DatasetReport> {
        let request = DataImportRequest {
            path: path.to_owned(),
            ..DataImportRequest::default()
        };
        import(
            studio,
            request,
            &mut Session::new(&mut |_| {}, &Control::default()),
        )
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn an_import_keeps_the_bytes_and_the_conversations() {
        let (folder, studio) = studio();
        let path = folder.path().join("Orders.JSONL");
        fs::write(
            &path,
            "{\"prompt\":\"hi\",\"answer\":\"ho\"}\n{\"prompt\":\"a\",\"answer\":\"b\"}\n",
        )
        .unwrap();
        let dataset = import_file(&studio, &path).unwrap().dataset;
        assert_eq!((dataset.id.as_str(), dataset.conversations), ("orders", 2));
        let original = dataset.folder.join(format!("{}.jsonl", dataset.sha256));
        assert_eq!(fs::read(&original).unwrap(), fs::read(&path).unwrap());
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let request = DataShowRequest {
            dataset: "ord".to_owned(),
            first: 1,
            count: 5,
        };
        let page = show(&studio, request, &mut session).unwrap();
        assert_eq!(page.conversations.len(), 1);
        assert_eq!(page.conversations[0].turns[1].content, "b");
        assert_eq!(import_file(&studio, &path).unwrap().dataset.id, "orders-2");
        let request = DataRemoveRequest {
            dataset: "orders-2".to_owned(),
        };
        assert!(remove(&studio, request, &mut session).unwrap().freed > 0);
        assert_eq!(entries(&studio.home().dataset("")), 1);
    }

    #[test]
    fn a_refused_import_leaves_nothing() {
        let (folder, studio) = studio();
        let path = folder.path().join("broken.jsonl");
        fs::write(&path, "{\"prompt\":\"hi\",\"answer\":\"ho\"}\n{\"prompt\":").unwrap();
        let error = import_file(&studio, &path).unwrap_err();
        assert_eq!(error.code, "data-broken-line");
        assert!(error.place.unwrap().ends_with(":2"));
        assert!(import_file(&studio, &folder.path().join("absent.csv")).is_err());
        assert_eq!(entries(&studio.home().dataset("")), 0);
        assert_eq!(studio.store().unwrap().datasets(studio.home()).unwrap(), []);
    }

    #[test]
    fn a_cancelled_import_leaves_nothing() {
        let (folder, studio) = studio();
        let path = folder.path().join("orders.csv");
        fs::write(&path, "prompt,answer\nhi,ho\n").unwrap();
        let control = Control::default();
        control.stop();
        let request = DataImportRequest {
            path,
            ..DataImportRequest::default()
        };
        let error = import(&studio, request, &mut Session::new(&mut |_| {}, &control)).unwrap_err();
        assert_eq!(error.code, "cancelled");
        assert_eq!(entries(&studio.home().dataset("")), 0);
    }
}
