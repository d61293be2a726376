//! What an optimiser remembers in a file, as bitsandbytes pages it (`QLoRA`, Dettmers et al., 2023):
//! each parameter's share is read for its step and written back. The program's own memory holds one
//! share at a time; of the file the system keeps in memory what it has room for, and writes the rest
//! to disk. An error of the disk is an error here, which through a memory map would be a signal.

use super::{OptimizerKind, State};
use crate::files::at;
use crate::{Result, weights};
use candle_core::{DType, Device, Tensor};
use nix::sys::statvfs::statvfs;
use safetensors::View;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a failure of the file is told to have been about.
const ACTION: &str = "used for what the optimiser remembers";

/// The file and where in it each parameter's share lies.
pub(super) struct Pages {
    /// Has no name: it is gone with the program, however that ends.
    file: File,
    /// For errors.
    folder: PathBuf,
    kind: OptimizerKind,
    device: Device,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    /// Of the parameter.
    shape: Vec<usize>,
    parts: Vec<Part>,
}

/// One tensor in the file.
struct Part {
    name: &'static str,
    offset: u64,
    bytes: usize,
    dtype: DType,
    shape: Vec<usize>,
}

impl Pages {
    /// Makes the file in `folder`, with room for `fresh` on the disk: the states of parameters, of
    /// a shape each, before the first step. Those are zeros, and so is the file.
    pub(super) fn new(
        folder: &Path,
        kind: OptimizerKind,
        device: &Device,
        fresh: impl Iterator<Item = Result<(String, (Vec<usize>, State))>>,
    ) -> Result<Self> {
        let (mut entries, mut end) = (BTreeMap::new(), 0);
        for entry in fresh {
            let (name, (shape, state)) = entry?;
            let mut parts = Vec::new();
            for (name, tensor) in state.parts()? {
                let bytes = tensor.elem_count() * tensor.dtype().size_in_bytes();
                parts.push(Part {
                    name,
                    offset: end,
                    bytes,
                    dtype: tensor.dtype(),
                    shape: tensor.dims().to_vec(),
                });
                end += bytes as u64;
            }
            entries.insert(name, Entry { shape, parts });
        }
        std::fs::create_dir_all(folder).map_err(at(folder, "created"))?;
        let file = reserved(folder, end).map_err(at(folder, ACTION))?;
        Ok(Self {
            file,
            folder: folder.to_owned(),
            kind,
            device: device.clone(),
            entries,
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Reads the share of `name`, lets `work` change it, and writes it back; nothing where the name
    /// is unknown.
    pub(super) fn with(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut State) -> Result<()>,
    ) -> Result<()> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(());
        };
        let tensors = entry.parts.iter().map(|part| self.tensor(part));
        let mut state = State::new(self.kind, &entry.shape, &self.device)?;
        state.restore(tensors.collect::<Result<_>>()?)?;
        work(&mut state)?;
        for (part, (_, tensor)) in entry.parts.iter().zip(state.parts()?) {
            let written = self.file.write_all_at(&tensor.data(), part.offset);
            written.map_err(at(&self.folder, ACTION))?;
        }
        Ok(())
    }

    /// Writes all of it as tensors of a file, one at a time.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let failure = RefCell::new(None);
        let mut tensors = Vec::new();
        for (name, entry) in &self.entries {
            for part in &entry.parts {
                let stored = Stored {
                    pages: self,
                    part,
                    failure: &failure,
                };
                tensors.push((format!("{name}{}", part.name), stored));
            }
        }
        weights::save(path, tensors)?;
        match failure.into_inner() {
            Some(error) => Err(at(&self.folder, ACTION)(error)),
            None => Ok(()),
        }
    }

    fn tensor(&self, part: &Part) -> Result<Tensor> {
        let bytes = self.read(part).map_err(at(&self.folder, ACTION))?;
        let tensor = Tensor::from_raw_buffer(&bytes, part.dtype, &part.shape, &self.device);
        Ok(tensor?)
    }

    fn read(&self, part: &Part) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; part.bytes];
        self.file.read_exact_at(&mut bytes, part.offset)?;
        Ok(bytes)
    }
}

/// A tensor on its way from file to file. A reading that fails is told afterwards, and the file
/// written then counts for nothing.
struct Stored<'a> {
    pages: &'a Pages,
    part: &'a Part,
    failure: &'a RefCell<Option<io::Error>>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.part.dtype {
            DType::U8 => safetensors::Dtype::U8,
            _ => safetensors::Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.part.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.pages.read(self.part).unwrap_or_else(|error| {
            self.failure.replace(Some(error));
            vec![0; self.part.bytes]
        }))
    }

    fn data_len(&self) -> usize {
        self.part.bytes
    }
}

/// A file of `bytes` zeros without a name, every block of which the disk has set aside: a write to
/// it can no longer meet a full disk.
fn reserved(folder: &Path, bytes: u64) -> io::Result<File> {
    // Asked first: setting aside what is not there would fill the disk before it fails.
    let system = statvfs(folder)?;
    let free = system.blocks_available() as u64 * system.fragment_size() as u64;
    if bytes > free {
        let giga = |bytes: u64| bytes as f64 / 1e9;
        let reason = format!(
            "{:.1} GB are needed, {:.1} GB are free",
            giga(bytes),
            giga(free)
        );
        return Err(io::Error::new(io::ErrorKind::StorageFull, reason));
    }
    let file = tempfile::tempfile_in(folder)?;
    set_aside(&file, bytes)?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    // The call refuses a length of zero.
    let length = bytes.max(1).try_into().map_err(io::Error::other)?;
    Ok(nix::fcntl::posix_fallocate(file, 0, length)?)
}

#[cfg(not(target_os = "linux"))]
fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let length = zeros.len().min((bytes - at) as usize);
        file.write_all_at(&zeros[..length], at)?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Error;

    #[test]
    fn a_full_disk_is_told_before_the_first_step() {
        let folder = tempfile::tempdir().unwrap();
        let source = reserved(folder.path(), 1 << 60).unwrap_err();
        let path = folder.path().to_owned();
        let action = ACTION;
        let error = Error::File {
            path,
            action,
            source,
        };
        assert_eq!(error.code(), "disk-full");
        assert!(error.to_string().contains("GB are free"), "{error}");
        assert!(error.remedy().unwrap().contains("Free some space"));
    }

    /// The blocks are there, and no name leads to them.
    #[test]
    fn the_file_has_its_blocks_and_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = reserved(folder.path(), 3 << 20).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 3 << 20);
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt;
            assert!(metadata.blocks() * 512 >= 3 << 20);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        reserved(folder.path(), 0).unwrap();
    }
}
