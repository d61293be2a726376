//! Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::BATCH_ROWS;
use crate::{Error, Result};

fn open(name: &Path, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|error| Error::io(name, "read", error))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(name, &error))
}

fn broken(name: &Path, error: &dyn std::error::Error) -> Error {
    Error::BrokenParquet {
        path: name.to_owned(),
        reason: error.to_string(),
    }
}

/// The columns as the file names them.
pub(super) fn schema(name: &Path, path: &Path) -> Result<SchemaRef> {
    let builder = open(name, path)?;
    if builder.metadata().file_metadata().num_rows() == 0 {
        return Err(Error::Empty {
            path: name.to_owned(),
            reason: "it has columns and no rows",
        });
    }
    Ok(builder.schema().clone())
}

/// The rows, in batches. Opened with the first.
pub(super) struct Rows {
    name: PathBuf,
    file: Arc<super::File>,
    done: Arc<AtomicU64>,
    reader: Option<ParquetRecordBatchReader>,
    total: u64,
    read: u64,
}

impl Rows {
    pub(super) fn new(name: PathBuf, file: Arc<super::File>, done: Arc<AtomicU64>) -> Self {
        Self {
            name,
            file,
            done,
            reader: None,
            total: 0,
            read: 0,
        }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let builder = open(&self.name, &self.file.path)?.with_batch_size(BATCH_ROWS);
                self.total = builder.metadata().file_metadata().num_rows().unsigned_abs();
                none.insert(
                    builder
                        .build()
                        .map_err(|error| broken(&self.name, &error))?,
                )
            }
        };
        let batch = reader
            .next()
            .transpose()
            .map_err(|error| broken(&self.name, &error))?;
        self.read += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        // Rows stand for bytes: what is read of a column's chunk says little about the rows.
        let share = self.read as f64 / self.total.max(1) as f64;
        self.done
            .store((share * self.file.bytes as f64) as u64, Ordering::Relaxed);
        Ok(batch)
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
