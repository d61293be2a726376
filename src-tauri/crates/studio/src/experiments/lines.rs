//! Files of one JSON document a line, only ever appended.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Such a file, open for appending.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    path: PathBuf,
}

impl Lines {
    /// Opens the file. A last line that a kill cut off is taken away: no reader has ever seen it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refuse = |source: std::io::Error| Error::file("write", path, &source);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(refuse)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(refuse)?;
        let whole = whole(&content);
        if whole < content.len() {
            file.set_len(whole as u64).map_err(refuse)?;
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Appends a line. One write call, so that a kill leaves a whole line or a cut-off last one.
    pub(super) fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(line).map_err(|source| {
            Error::new(
                "events-unwritable",
                format!("an event cannot be written: {source}"),
            )
        })?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|source| Error::file("write", &self.path, &source))
    }
}

/// The whole lines of a file from byte `after` on, and where they end. A file that is not there
/// yet holds none; a line that does not parse is skipped.
pub(super) fn read<T: DeserializeOwned>(path: &Path, after: u64) -> Result<(Vec<T>, u64)> {
    let refuse = |source: std::io::Error| Error::file("read", path, &source);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(source) => return Err(refuse(source)),
    };
    let mut content = Vec::new();
    file.seek(SeekFrom::Start(after)).map_err(refuse)?;
    file.read_to_end(&mut content).map_err(refuse)?;
    content.truncate(whole(&content));
    let lines = content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    Ok((lines, after + content.len() as u64))
}

/// Bytes up to the end of the last whole line.
fn whole(content: &[u8]) -> usize {
    content
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs;

    fn numbers(path: &Path, after: u64) -> (Vec<u32>, u64) {
        read(path, after).unwrap()
    }

    #[test]
    fn a_line_cut_off_by_a_kill_is_none_and_spoils_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        assert_eq!(numbers(&path, 0), (Vec::new(), 0));
        Lines::open(&path).unwrap().append(&11).unwrap();
        fs::write(&path, "11\n22").unwrap();
        assert_eq!(numbers(&path, 0), (vec![11], 3));
        let mut lines = Lines::open(&path).unwrap();
        lines.append(&33).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "11\n33\n");
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        let mut lines = Lines::open(&path).unwrap();
        lines.append(&1).unwrap();
        let (first, next) = numbers(&path, 0);
        assert_eq!((first, numbers(&path, next)), (vec![1], (vec![], next)));
        lines.append(&2).unwrap();
        assert_eq!(numbers(&path, next).0, [2]);
    }
}
