//! Rows of datasets.

use rusqlite::{Row, params};

use super::{Store, is_taken, now};
use crate::api::Dataset;
use crate::error::Result;
use crate::files::{PendingFolder, remove_folder};
use crate::home::Home;
use crate::naming::{Named, resolve, slug, unique};

impl Named for Dataset {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// Datasets, newest first.
    pub(crate) fn datasets(&self, home: &Home) -> Result<Vec<Dataset>> {
        let connection = self.connection();
        let mut query =
            connection.prepare("SELECT * FROM datasets ORDER BY created_at DESC, rowid DESC")?;
        let rows = query.query_map([], |row| read(row, home))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The dataset that `reference` means.
    pub(crate) fn dataset(&self, reference: &str, home: &Home) -> Result<Dataset> {
        resolve("dataset", reference, self.datasets(home)?)
    }

    /// Adds datasets whose ids are made from their names and gives their folders those names: all
    /// of it or nothing.
    pub(crate) fn add_datasets(
        &self,
        datasets: Vec<(Dataset, PendingFolder)>,
        home: &Home,
    ) -> Result<Vec<Dataset>> {
        let mut placed = Vec::new();
        let added = self.change(|transaction| {
            for (mut dataset, pending) in datasets {
                dataset.id = unique(&slug(&dataset.name), |id| {
                    is_taken(transaction, "datasets", id) || home.dataset(id).exists()
                });
                dataset.folder = home.dataset(&dataset.id);
                dataset.created_at = now();
                transaction.execute(
                    "INSERT INTO datasets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        dataset.id,
                        dataset.name,
                        dataset.conversations as i64,
                        dataset.shape,
                        dataset.file,
                        dataset.sha256,
                        dataset.bytes as i64,
                        dataset.created_at,
                    ],
                )?;
                pending.finish_as(&dataset.folder)?;
                placed.push(dataset);
            }
            Ok(())
        });
        if let Err(error) = added {
            // The rows are gone with the transaction; their folders go too.
            for dataset in &placed {
                let _ = remove_folder(&dataset.folder);
            }
            return Err(error);
        }
        Ok(placed)
    }

    /// Forgets a dataset.
    pub(crate) fn remove_dataset(&self, id: &str) -> Result<()> {
        self.connection()
            .execute("DELETE FROM datasets WHERE id = ?1", [id])?;
        Ok(())
    }
}

fn read(row: &Row<'_>, home: &Home) -> rusqlite::Result<Dataset> {
    let id: String = row.get("id")?;
    Ok(Dataset {
        folder: home.dataset(&id),
        id,
        name: row.get("name")?,
        conversations: row.get::<_, i64>("conversations")? as u64,
        shape: row.get("shape")?,
        file: row.get("file")?,
        sha256: row.get("sha256")?,
        bytes: row.get::<_, i64>("bytes")? as u64,
        created_at: row.get("created_at")?,
    })
}
