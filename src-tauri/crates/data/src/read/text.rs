//! A text file as UTF-8.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs_io::DecodeReaderBytesBuilder;

use super::encoding::Encoded;
use crate::{Error, Result};

/// A file, how its text is encoded, and who is told how much of it was read.
pub(super) struct TextFile {
    pub(super) name: PathBuf,
    pub(super) path: PathBuf,
    pub(super) encoding: Encoded,
    pub(super) done: Arc<AtomicU64>,
}

impl TextFile {
    /// The text from its beginning. Bytes that are no text become U+FFFD.
    pub(super) fn read(&self) -> Result<Box<dyn Read + Send>> {
        let mut file =
            File::open(&self.path).map_err(|error| Error::io(&self.name, "read", error))?;
        file.seek(SeekFrom::Start(self.encoding.mark))
            .map_err(|error| Error::io(&self.name, "read", error))?;
        let counted = Counted {
            inner: file,
            done: self.done.clone(),
        };
        let decoded = DecodeReaderBytesBuilder::new()
            .encoding(Some(self.encoding.encoding))
            .bom_sniffing(false)
            .build_with_buffer(counted, vec![0; 1 << 16])
            .map_err(|error| Error::io(&self.name, "read", error))?;
        Ok(Box::new(decoded))
    }
}

/// Counts what is read through it.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
