//! Conversations on disk: one Parquet file, written whole or not at all, read in any order.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, ListBuilder, RecordBatch, StringBuilder, StructBuilder};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use crate::{Conversation, Error, Result, Role, Turn};

/// Conversations of one row group: what has to be decoded to reach one of them.
const GROUP: usize = 1024;

/// Bytes of text after which they are written, however few they are.
const GROUP_BYTES: usize = 16 << 20;

fn schema() -> Schema {
    let item = Field::new("item", DataType::Struct(turn_fields()), false);
    Schema::new(vec![Field::new(
        "turns",
        DataType::List(Arc::new(item)),
        false,
    )])
}

fn turn_fields() -> Fields {
    vec![
        Field::new("role", DataType::Utf8, false),
        Field::new("content", DataType::Utf8, false),
    ]
    .into()
}

/// Writes `conversations` to `path` and returns how many there were. They are written under
/// another name beside it, synced and renamed: a crash or a full disk leaves what was there.
///
/// An error of the iterator ends the writing and is returned.
pub fn write_conversations<E: From<Error>>(
    path: &Path,
    conversations: impl IntoIterator<Item = Result<Conversation, E>>,
) -> Result<u64, E> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let io = |error| Error::io(path, "written", error);
    let file = NamedTempFile::new_in(folder).map_err(io)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP))
        .build();
    let failed = |error| written(path, error);
    let mut writer =
        ArrowWriter::try_new(&file, Arc::new(schema()), Some(properties)).map_err(failed)?;
    let mut group: Vec<Conversation> = Vec::new();
    let (mut bytes, mut count) = (0, 0);
    for conversation in conversations {
        let conversation = conversation?;
        bytes += conversation
            .turns
            .iter()
            .map(|turn| turn.content.len())
            .sum::<usize>();
        group.push(conversation);
        count += 1;
        if group.len() == GROUP || bytes > GROUP_BYTES {
            write_group(&mut writer, &group).map_err(failed)?;
            group.clear();
            bytes = 0;
        }
    }
    write_group(&mut writer, &group).map_err(failed)?;
    writer.close().map_err(failed)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    sync_folder(folder).map_err(io)?;
    Ok(count)
}

fn write_group<W: Write + Send>(
    writer: &mut ArrowWriter<W>,
    group: &[Conversation],
) -> Result<(), ParquetError> {
    if group.is_empty() {
        return Ok(());
    }
    writer.write(&batch(group)?)?;
    writer.flush()
}

/// The rename is on disk once the folder is; only Unix can sync one.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

fn written(path: &Path, error: ParquetError) -> Error {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(inner) => std::io::Error::other(inner),
        },
        other => std::io::Error::other(other),
    };
    Error::io(path, "written", source)
}

fn batch(conversations: &[Conversation]) -> Result<RecordBatch, ArrowError> {
    let texts = || Box::new(StringBuilder::new());
    let turns = StructBuilder::new(turn_fields(), vec![texts(), texts()]);
    let item = Field::new("item", DataType::Struct(turn_fields()), false);
    let mut rows = ListBuilder::new(turns).with_field(item);
    for conversation in conversations {
        for turn in &conversation.turns {
            let fields = rows.values();
            for (index, text) in [name(turn.role), &turn.content].into_iter().enumerate() {
                if let Some(column) = fields.field_builder::<StringBuilder>(index) {
                    column.append_value(text);
                }
            }
            fields.append(true);
        }
        rows.append(true);
    }
    RecordBatch::try_new(Arc::new(schema()), vec![Arc::new(rows.finish())])
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Text => "text",
    }
}

fn role(name: &str) -> Option<Role> {
    [Role::System, Role::User, Role::Assistant, Role::Text]
        .into_iter()
        .find(|role| self::name(*role) == name)
}

/// A file that [`write_conversations`] wrote.
#[derive(Debug, Clone)]
pub struct ConversationFile {
    path: PathBuf,
    /// Where each row group begins, and the number of all rows last.
    starts: Vec<usize>,
}

impl ConversationFile {
    /// Reads the table of contents of the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let builder = builder(path)?;
        if builder.schema().fields() != schema().fields() {
            let reason = "its columns are not those of conversations".to_owned();
            return Err(Error::Normalised {
                path: path.to_owned(),
                reason,
            });
        }
        let groups = builder
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows().unsigned_abs() as usize);
        let mut starts = vec![0];
        for rows in groups {
            starts.push(starts[starts.len() - 1] + rows);
        }
        Ok(Self {
            path: path.to_owned(),
            starts,
        })
    }

    /// Number of conversations.
    pub fn len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The conversations of `range`, or as many of them as there are.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<Conversation>> {
        let range = range.start.min(self.len())..range.end.min(self.len());
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.starts.partition_point(|start| *start <= range.start) - 1;
        let last = self.starts.partition_point(|start| *start < range.end) - 1;
        let reader = builder(&self.path)?
            .with_row_groups((first..=last).collect())
            .with_offset(range.start - self.starts[first])
            .with_limit(range.len())
            .with_batch_size(GROUP)
            .build()
            .map_err(|error| unreadable(&self.path, &error))?;
        let mut conversations = Vec::with_capacity(range.len());
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(&self.path, &error))?;
            conversations.extend(self.conversations(&batch)?);
        }
        Ok(conversations)
    }

    /// All conversations in order, a row group in memory at a time.
    pub fn iter(&self) -> impl Iterator<Item = Result<Conversation>> + '_ {
        self.starts
            .windows(2)
            .flat_map(|group| match self.read(group[0]..group[1]) {
                Ok(conversations) => conversations.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
    }

    fn conversations(&self, batch: &RecordBatch) -> Result<Vec<Conversation>> {
        let rows = batch.column(0).as_list::<i32>();
        let row = |index: usize| {
            let turns = rows.value(index);
            let columns = turns.as_struct();
            let (roles, contents) = (
                columns.column(0).as_string::<i32>(),
                columns.column(1).as_string::<i32>(),
            );
            let turn = |index| Some(Turn::new(role(roles.value(index))?, contents.value(index)));
            let turns: Option<Vec<Turn>> = (0..turns.len()).map(turn).collect();
            turns.map(|turns| Conversation { turns })
        };
        let conversations: Option<Vec<Conversation>> = (0..rows.len()).map(row).collect();
        conversations.ok_or_else(|| Error::Normalised {
            path: self.path.clone(),
            reason: "it names an unknown role".to_owned(),
        })
    }
}

fn builder(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|error| Error::io(path, "read", error))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::Normalised {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::{ConversationFile, GROUP, write_conversations};
    use crate::{Conversation, Error, Role, Turn};
    use std::fs;

    fn conversations(count: usize) -> Vec<Conversation> {
        let turn = |role, number: usize| Turn::new(role, format!("{number} é🙂\n"));
        let chat = |number| {
            vec![
                turn(Role::System, number),
                turn(Role::User, 1),
                turn(Role::Assistant, number),
            ]
        };
        let text = |number| vec![turn(Role::Text, number)];
        (0..count)
            .map(|number| Conversation {
                turns: if number % 3 == 0 {
                    text(number)
                } else {
                    chat(number)
                },
            })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_whole_and_in_any_range() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("normalised.parquet");
        let all = conversations(2 * GROUP + 100);
        let count = write_conversations(&path, all.iter().cloned().map(Ok::<_, Error>)).unwrap();
        assert_eq!(count as usize, all.len());
        let file = ConversationFile::open(&path).unwrap();
        assert_eq!((file.len(), file.is_empty()), (all.len(), false));
        assert_eq!(file.iter().collect::<Result<Vec<_>, _>>().unwrap(), all);
        for range in [
            0..1,
            5..5,
            GROUP - 1..GROUP + 1,
            GROUP..2 * GROUP,
            10..2 * GROUP + 50,
            all.len() - 1..all.len() + 9,
        ] {
            let expected = &all[range.start..range.end.min(all.len())];
            assert_eq!(file.read(range).unwrap(), expected);
        }
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn nothing_is_a_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.parquet");
        write_conversations(&path, std::iter::empty::<Result<_, Error>>()).unwrap();
        let file = ConversationFile::open(&path).unwrap();
        assert!(
            file.is_empty() && file.read(0..10).unwrap().is_empty() && file.iter().next().is_none()
        );
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("normalised.parquet");
        fs::write(&path, "before").unwrap();
        let broken = conversations(3000)
            .into_iter()
            .map(Ok)
            .chain([Err(Error::Tokenize {
                reason: "stop".to_owned(),
            })]);
        assert!(write_conversations(&path, broken).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let error = ConversationFile::open(&path).unwrap_err();
        assert_eq!(error.code(), "dataset-unreadable");
        let nowhere = write_conversations(
            &folder.path().join("no/such"),
            std::iter::empty::<Result<_, Error>>(),
        );
        assert!(nowhere.is_err());
    }
}
