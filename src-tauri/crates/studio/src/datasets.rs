//! The library of datasets: the imported bytes, the conversations made of them, what was found.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use attune_data::{
    ColumnChoice, ConversationFile, Inspection, Shape, Source, Tokenizer, inspect,
    write_conversations,
};
use sha2::{Digest, Sha256};

use crate::Studio;
use crate::api::{
    Conversation, DataCheckRequest, DataImportRequest, DataListRequest, DataRemoveRequest,
    DataShowRequest, Dataset, DatasetPage, DatasetReport, ExperimentState, JobKind, Level,
    ProblemKind, Progress, Removed, Session,
};
use crate::error::{Error, Result};
use crate::files::{PendingFolder, make_folder, remove_folder, require_space, write};
use crate::jobs;
use crate::models;
use crate::settings::ExperimentConfig;

/// The normalised conversations in a dataset's folder.
const CONVERSATIONS: &str = "conversations.parquet";
/// The importer's findings beside them.
const INSPECTION: &str = "inspection.json";

/// Imports a file into the library, as a job. Whatever fails, the library stays as it was.
pub(crate) fn import(
    studio: &Studio,
    request: DataImportRequest,
    session: &mut Session<'_>,
) -> Result<DatasetReport> {
    let subject = request.path.display().to_string();
    jobs::run(studio, JobKind::Import, &subject, session, |session| {
        bring_in(studio, request, session)
    })
}

fn bring_in(
    studio: &Studio,
    request: DataImportRequest,
    session: &mut Session<'_>,
) -> Result<DatasetReport> {
    let DataImportRequest {
        path,
        name,
        shape,
        columns,
        member,
        model,
        max_length,
        leave_out,
        hold_out,
    } = request;
    let look = DataCheckRequest {
        path,
        shape,
        columns,
        member,
        model,
        max_length,
    };
    let (source, inspection) = examine(studio, &look, session)?;
    if inspection.conversations == 0 {
        let remedy = inspection
            .problems
            .first()
            .map(|problem| problem.remedy.clone());
        return Err(Error::new(
            "dataset-empty",
            format!("no row of {} makes a conversation", look.path.display()),
        )
        .with_remedy(remedy.unwrap_or_else(|| "Choose other columns.".to_owned()))
        .with_place(look.path.display().to_string()));
    }
    let home = studio.home();
    let bytes = fs::metadata(&look.path)
        .map_err(|source| Error::file("read", &look.path, &source))?
        .len();
    require_space(home.root(), bytes + inspection.bytes, "this import")?;

    make_folder(&home.dataset(""))?;
    // Its final name is known only with its row; until then it is built beside it.
    let pending = PendingFolder::new(&home.dataset("pending"))?;
    let sha256 = keep_original(&look.path, pending.path(), session)?;
    let store = studio.store()?;
    if let Some(twin) = store
        .datasets(home)?
        .into_iter()
        .find(|dataset| dataset.sha256 == sha256)
    {
        session.log(
            Level::Info,
            format!("The same file is in the library already, as `{}`.", twin.id),
        );
    }
    let kept = choose(studio, &look, &leave_out, &source, &inspection, session)?;
    let chosen: Vec<usize> = (0..kept.len()).filter(|row| kept[*row]).collect();
    let (train, held) = attune_data::split(chosen.len(), hold_out.clamp(0.0, 0.95), HOLD_OUT_SEED);
    if train.is_empty() {
        return Err(Error::new(
            "dataset-empty",
            format!("no row of {} is left", look.path.display()),
        )
        .with_remedy("Leave out fewer rows, or hold out a smaller share.")
        .with_place(look.path.display().to_string()));
    }
    let stem = look.path.file_stem().map_or_else(
        || "dataset".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    let dataset = Dataset {
        id: String::new(),
        name: name.unwrap_or(stem),
        conversations: 0,
        shape: word(&inspection.shape),
        file: look
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        sha256,
        bytes,
        created_at: 0,
        folder: PathBuf::new(),
    };
    let findings = serde_json::to_vec_pretty(&inspection).map_err(|source| {
        Error::new(
            "dataset-unwritable",
            format!("the findings cannot be written: {source}"),
        )
    })?;
    let mut place = |part: &[usize], pending: PendingFolder, name: String| {
        let mut wanted = vec![false; kept.len()];
        part.iter().for_each(|place| wanted[chosen[*place]] = true);
        let conversations = normalise(
            &source,
            &inspection.shape,
            &wanted,
            &pending.path().join(CONVERSATIONS),
            session,
        )?;
        write(&pending.path().join(INSPECTION), &findings)?;
        let dataset = Dataset {
            name,
            conversations,
            ..dataset.clone()
        };
        store.add_dataset(dataset, home, |dataset| {
            pending.finish_as(&dataset.folder).map(|_| ())
        })
    };
    let held_out = if held.is_empty() {
        None
    } else {
        let folder = PendingFolder::new(&home.dataset("pending"))?;
        Some((folder, format!("{} held out", dataset.name)))
    };
    let made = place(&train, pending, dataset.name.clone())?;
    let held_out = match held_out {
        Some((folder, name)) => {
            let original = original(&made)?;
            crate::files::link(
                &original,
                &folder.path().join(original.file_name().unwrap_or_default()),
            )?;
            Some(place(&held, folder, name)?)
        }
        None => None,
    };
    Ok(DatasetReport {
        dataset: made,
        inspection,
        held_out,
    })
}

/// Decides which rows are held out: the same file always loses the same.
const HOLD_OUT_SEED: u64 = 0;

/// For each conversation of a source whether it is kept.
fn choose(
    studio: &Studio,
    look: &DataCheckRequest,
    leave_out: &[ProblemKind],
    source: &Source,
    inspection: &Inspection,
    session: &mut Session<'_>,
) -> Result<Vec<bool>> {
    if leave_out.is_empty() {
        return Ok(vec![true; inspection.conversations as usize]);
    }
    let mut choice = Choice::new(studio, look, leave_out)?;
    let mut progress = Progress::new("Leaving out rows", Some(inspection.conversations));
    let mut kept = Vec::with_capacity(inspection.conversations as usize);
    for row in rows(source, &inspection.shape).filter_map(Result::transpose) {
        session.check()?;
        kept.push(choice.keeps(&row?));
        progress.report(kept.len() as u64, session);
    }
    Ok(kept)
}

/// Which conversations an import keeps, beside those that are none.
struct Choice {
    seen: Option<HashSet<u64>>,
    unreadable: bool,
    longest: Option<(Tokenizer, usize)>,
}

impl Choice {
    fn new(studio: &Studio, look: &DataCheckRequest, leave_out: &[ProblemKind]) -> Result<Self> {
        if let Some(kind) = leave_out.iter().find(|kind| {
            !matches!(
                kind,
                ProblemKind::Duplicate | ProblemKind::UnreadableCharacters | ProblemKind::TooLong
            )
        }) {
            return Err(Error::new(
                "leave-out-unknown",
                format!("rows with {kind:?} cannot be chosen to be left out"),
            )
            .with_remedy("They are left out anyway, or are no problem of a row."));
        }
        let longest = match (&look.model, leave_out.contains(&ProblemKind::TooLong)) {
            (Some(model), true) => Some((
                Tokenizer::from_folder(&models::find(studio, model)?.folder)?,
                look.max_length
                    .unwrap_or(ExperimentConfig::default().max_length),
            )),
            (None, true) => {
                return Err(Error::new(
                    "leave-out-model",
                    "without a model it is not known which rows are too long",
                )
                .with_remedy("Choose a model."));
            }
            _ => None,
        };
        Ok(Self {
            seen: leave_out
                .contains(&ProblemKind::Duplicate)
                .then(HashSet::new),
            unreadable: leave_out.contains(&ProblemKind::UnreadableCharacters),
            longest,
        })
    }

    fn keeps(&mut self, conversation: &Conversation) -> bool {
        let lossy = |turn: &attune_data::Turn| turn.content.contains(char::REPLACEMENT_CHARACTER);
        if self.unreadable && conversation.turns.iter().any(lossy) {
            return false;
        }
        if let Some((tokenizer, longest)) = &self.longest
            && tokenizer
                .sample(conversation, usize::MAX)
                .is_ok_and(|sample| sample.len() > *longest)
        {
            return false;
        }
        match &mut self.seen {
            Some(seen) => {
                let mut hasher = DefaultHasher::new();
                conversation.hash(&mut hasher);
                seen.insert(hasher.finish())
            }
            None => true,
        }
    }
}

/// The file that a dataset was imported from, as it was.
pub(crate) fn original(dataset: &Dataset) -> Result<PathBuf> {
    let refuse = |source: std::io::Error| Error::file("read the folder", &dataset.folder, &source);
    let entries = fs::read_dir(&dataset.folder).map_err(refuse)?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&dataset.sha256))
        })
        .ok_or_else(|| refuse(std::io::ErrorKind::NotFound.into()))
}

/// The first `count` conversations of a dataset.
pub(crate) fn first(dataset: &Dataset, count: usize) -> Result<Vec<Conversation>> {
    range(dataset, 0, count)
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

/// Writes the conversations that are `wanted` as Parquet and says how many there are.
fn normalise(
    source: &Source,
    shape: &Shape,
    wanted: &[bool],
    path: &Path,
    session: &mut Session<'_>,
) -> Result<u64> {
    let mut progress = Progress::new("Writing conversations", None);
    let mut done = 0;
    let watched = rows(source, shape)
        .filter_map(Result::transpose)
        .enumerate()
        .filter(|(number, row)| row.is_err() || wanted[*number])
        .map(|(_, row)| {
            session.check()?;
            done += 1;
            progress.report(done, session);
            row
        });
    write_conversations(path, watched)
}

/// Copies the file's bytes under their SHA-256, which is returned.
fn keep_original(path: &Path, folder: &Path, session: &mut Session<'_>) -> Result<String> {
    const CHUNK: usize = 1 << 20;
    let refuse = |source: std::io::Error| Error::file("copy", path, &source);
    let mut source = File::open(path).map_err(refuse)?;
    let mut copy = tempfile::NamedTempFile::new_in(folder).map_err(refuse)?;
    let total = source.metadata().map_err(refuse)?.len();
    let mut progress = Progress::new("Keeping the original", Some(total));
    let (mut hasher, mut done) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        session.check()?;
        let read = source.read(&mut chunk).map_err(refuse)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        copy.write_all(&chunk[..read]).map_err(refuse)?;
        done += read as u64;
        progress.report(done, session);
    }
    let sha256 = hex(&hasher.finalize());
    let extension = path
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy().to_lowercase()));
    let name = format!("{sha256}{}", extension.unwrap_or_default());
    copy.persist(folder.join(name))
        .map_err(|error| refuse(error.error))?;
    Ok(sha256)
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
    use crate::api::Control;

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
