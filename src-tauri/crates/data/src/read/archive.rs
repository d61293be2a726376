//! Zip archives. They come from anywhere, so nothing in them decides where a byte is written or
//! how many: one member is copied to a temporary file of our own name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};
use zip::ZipArchive;

use crate::{Error, Result};

/// A member may grow by this factor once it is larger than [`SMALL`]. Text rarely shrinks to a
/// tenth; a bomb shrinks to a thousandth.
const RATIO: u64 = 200;
const SMALL: u64 = 64 << 20;

const EXTENSIONS: [&str; 7] = ["csv", "tsv", "json", "jsonl", "ndjson", "parquet", "pq"];

/// A member, unpacked.
pub(super) struct Unpacked {
    pub(super) member: String,
    pub(super) members: Vec<String>,
    pub(super) copy: TempPath,
}

/// Whether the file is a zip archive, by its first bytes or by its name.
pub(super) fn is_archive(path: &Path) -> Result<bool> {
    let io = |error| Error::io(path, "read", error);
    let mut magic = Vec::new();
    File::open(path)
        .map_err(io)?
        .take(4)
        .read_to_end(&mut magic)
        .map_err(io)?;
    let named = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    Ok(magic.starts_with(b"PK\x03\x04")
        || magic.starts_with(b"PK\x05\x06")
        || (named && !magic.is_empty()))
}

/// Unpacks `member`, or the one that looks like the training rows.
pub(super) fn unpack(path: &Path, member: Option<&str>) -> Result<Unpacked> {
    let broken = |reason: String| Error::BrokenZip {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(|error| Error::io(path, "read", error))?;
    let mut archive = ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
    let members = members(path, &archive)?;
    let first = || {
        members
            .iter()
            .find(|name| name.to_lowercase().contains("train"))
            .or(members.first())
    };
    let member = match member {
        None => first().ok_or_else(|| {
            broken("it holds no CSV, TSV, JSON, JSONL or Parquet file".to_owned())
        })?,
        Some(member) => {
            members
                .iter()
                .find(|name| *name == member)
                .ok_or_else(|| Error::UnknownMember {
                    path: path.to_owned(),
                    member: member.to_owned(),
                    members: members.clone(),
                })?
        }
    };
    let mut entry = archive
        .by_name(member)
        .map_err(|error| broken(error.to_string()))?;
    let copy = copy(path, &mut entry)?;
    Ok(Unpacked {
        member: member.clone(),
        copy,
        members,
    })
}

/// The members that can be read, by name. One member that is not safe condemns the archive.
fn members(path: &Path, archive: &ZipArchive<File>) -> Result<Vec<String>> {
    let broken = |reason: String| Error::BrokenZip {
        path: path.to_owned(),
        reason,
    };
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let entry = archive
            .by_index_data(index)
            .map_err(|error| broken(error.to_string()))?;
        let name = entry
            .name()
            .map_err(|error| broken(error.to_string()))?
            .into_owned();
        let refuse = |what: &str| Error::UnsafeZip {
            path: path.to_owned(),
            reason: format!("{name} {what}"),
        };
        if leaves(&name) {
            return Err(refuse("would be written outside its folder"));
        }
        if entry.is_symlink() {
            return Err(refuse("is a link"));
        }
        if entry.size() > SMALL && entry.size() / RATIO > entry.compressed_size() {
            return Err(refuse("would grow more than 200 times"));
        }
        if entry.is_dir() || !readable(&name) {
            continue;
        }
        if entry.encrypted() {
            return Err(broken(format!("{name} is encrypted")));
        }
        members.push(name);
    }
    members.sort();
    Ok(members)
}

fn leaves(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    drive
        || name.starts_with(['/', '\\'])
        || name.contains('\0')
        || name.split(['/', '\\']).any(|part| part == "..")
}

/// Data files, without those that macOS adds to every archive.
fn readable(name: &str) -> bool {
    let path = Path::new(name);
    let file = path
        .file_name()
        .map(|file| file.to_string_lossy())
        .unwrap_or_default();
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let junk = name.split('/').any(|part| part == "__MACOSX") || file.starts_with("._");
    !junk && EXTENSIONS.contains(&extension.as_str())
}

/// Copies no more than the archive announced: the announced size is what was judged.
fn copy(path: &Path, entry: &mut zip::read::ZipFile<'_, File>) -> Result<TempPath> {
    let announced = entry.size();
    let written = |error| Error::io(path, "written", error);
    let mut file = NamedTempFile::new().map_err(written)?;
    let mut buffer = vec![0; 1 << 16];
    let mut copied = 0u64;
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::BrokenZip {
                    path: path.to_owned(),
                    reason: error.to_string(),
                });
            }
        };
        copied += read as u64;
        if copied > announced {
            let reason = "a member is larger than it says".to_owned();
            return Err(Error::UnsafeZip {
                path: path.to_owned(),
                reason,
            });
        }
        file.write_all(&buffer[..read]).map_err(written)?;
    }
    Ok(file.into_temp_path())
}
