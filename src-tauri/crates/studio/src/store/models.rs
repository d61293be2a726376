//! Rows of models: the bundled and the added. Those of the cache are found, not stored.

use std::path::PathBuf;

use rusqlite::params;

use super::{Store, is_taken, now};
use crate::api::ModelOrigin;
use crate::error::Result;
use crate::naming::{slug, unique};

/// A model the library remembers.
#[derive(Debug, Clone)]
pub(crate) struct StoredModel {
    /// Unique id.
    pub(crate) id: String,
    /// The name its owner gave it.
    pub(crate) name: String,
    /// Bundled or added.
    pub(crate) origin: ModelOrigin,
    /// Where it lies.
    pub(crate) folder: PathBuf,
}

impl Store {
    /// Models of the library, newest first.
    pub(crate) fn models(&self) -> Result<Vec<StoredModel>> {
        let connection = self.connection();
        let mut query =
            connection.prepare("SELECT * FROM models ORDER BY created_at DESC, rowid DESC")?;
        let rows = query.query_map([], |row| {
            let bundled = row.get::<_, String>("origin")? == "bundled";
            Ok(StoredModel {
                id: row.get("id")?,
                name: row.get("name")?,
                origin: if bundled {
                    ModelOrigin::Bundled
                } else {
                    ModelOrigin::Added
                },
                folder: PathBuf::from(row.get::<_, String>("folder")?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Remembers a model folder; one that is known keeps its row.
    pub(crate) fn add_model(
        &self,
        name: &str,
        origin: ModelOrigin,
        folder: &std::path::Path,
    ) -> Result<StoredModel> {
        if let Some(known) = self
            .models()?
            .into_iter()
            .find(|model| model.folder == folder)
        {
            return Ok(known);
        }
        self.change(|transaction| {
            let id = unique(&slug(name), |id| is_taken(transaction, "models", id));
            let word = if origin == ModelOrigin::Bundled {
                "bundled"
            } else {
                "added"
            };
            transaction.execute(
                "INSERT INTO models VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, name, word, folder.to_string_lossy(), now()],
            )?;
            Ok(StoredModel {
                id,
                name: name.to_owned(),
                origin,
                folder: folder.to_owned(),
            })
        })
    }

    /// Forgets a model.
    pub(crate) fn remove_model(&self, id: &str) -> Result<()> {
        self.connection()
            .execute("DELETE FROM models WHERE id = ?1", [id])?;
        Ok(())
    }
}
