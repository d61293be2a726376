//! Importing: everything is prepared in pending folders; rows and names come last, all or none.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use attune_data::{Inspection, Shape, Source, Tokenizer, write_conversations};
use sha2::{Digest, Sha256};

use super::{CONVERSATIONS, INSPECTION, examine, hex, rows, word};
use crate::Studio;
use crate::api::{
    Conversation, DataCheckRequest, DataImportRequest, Dataset, DatasetReport, JobKind, Level,
    ProblemKind, Progress, Session,
};
use crate::error::{Error, Result};
use crate::files::{PendingFolder, link, make_folder, require_space, write};
use crate::jobs;
use crate::models;
use crate::settings::ExperimentConfig;

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
    let write_part = |part: &[usize], pending: &PendingFolder, session: &mut Session<'_>| {
        let mut wanted = vec![false; kept.len()];
        part.iter().for_each(|place| wanted[chosen[*place]] = true);
        let file = pending.path().join(CONVERSATIONS);
        let conversations = normalise(&source, &inspection.shape, &wanted, &file, session)?;
        write(&pending.path().join(INSPECTION), &findings)?;
        Ok::<_, Error>(conversations)
    };
    let mut parts = vec![(
        Dataset {
            conversations: write_part(&train, &pending, session)?,
            ..dataset.clone()
        },
        pending,
    )];
    if !held.is_empty() {
        let pending = PendingFolder::new(&home.dataset("pending"))?;
        let original = original_in(parts[0].1.path(), &dataset.sha256)?;
        let name = original.file_name().unwrap_or_default();
        link(&original, &pending.path().join(name))?;
        parts.push((
            Dataset {
                name: format!("{} held out", dataset.name),
                conversations: write_part(&held, &pending, session)?,
                ..dataset
            },
            pending,
        ));
    }
    // What takes long is on disk before the library is locked for the rows.
    parts.iter().try_for_each(|(_, pending)| pending.sync())?;
    let mut made = store.add_datasets(parts, home)?.into_iter();
    let dataset = made.next().ok_or_else(Error::cancelled)?;
    Ok(DatasetReport {
        dataset,
        inspection,
        held_out: made.next(),
    })
}

/// The imported file in a dataset's folder, as it was.
fn original_in(folder: &Path, sha256: &str) -> Result<PathBuf> {
    let refuse = |source: std::io::Error| Error::file("read the folder", folder, &source);
    fs::read_dir(folder)
        .map_err(refuse)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(sha256))
        })
        .ok_or_else(|| refuse(std::io::ErrorKind::NotFound.into()))
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
        // Rows that another program has added since they were counted are not wanted.
        .filter(|(number, row)| row.is_err() || wanted.get(*number).copied().unwrap_or(false))
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
