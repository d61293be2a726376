//! Rows of experiments: what the list shows, so that it need not read every history.

use rusqlite::{Row, Transaction, params};

use super::{Store, is_taken, now};
use crate::api::{Experiment, ExperimentState, GpuBackendKind};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::naming::{Named, resolve, slug, unique};

impl Named for Experiment {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// Experiments, newest first.
    pub(crate) fn experiments(&self, home: &Home) -> Result<Vec<Experiment>> {
        let connection = self.connection();
        let mut query =
            connection.prepare("SELECT * FROM experiments ORDER BY created_at DESC, rowid DESC")?;
        let rows = query.query_map([], |row| read(row, home))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The experiment that `reference` means.
    pub(crate) fn experiment(&self, reference: &str, home: &Home) -> Result<Experiment> {
        resolve("experiment", reference, self.experiments(home)?)
    }

    /// Adds a queued experiment whose id is made from its name; `place` makes its folder and is
    /// undone with the row if either fails.
    pub(crate) fn add_experiment(
        &self,
        name: &str,
        (dataset, model, method): (&str, &str, &str),
        home: &Home,
        place: impl FnOnce(&str) -> Result<()>,
    ) -> Result<String> {
        self.change(|transaction| {
            let id = unique(&slug(name), |id| {
                is_taken(transaction, "experiments", id) || home.experiment(id).exists()
            });
            transaction.execute(
                "INSERT INTO experiments (id, name, state, dataset, model, method, created_at)
                 VALUES (?1, ?2, 'queued', ?3, ?4, ?5, ?6)",
                params![id, name, dataset, model, method, now()],
            )?;
            place(&id)?;
            Ok(id)
        })
    }

    /// Changes an experiment's state, and with it the times and the error that belong to it.
    pub(crate) fn set_experiment_state(
        &self,
        id: &str,
        state: ExperimentState,
        error: Option<&Error>,
    ) -> Result<()> {
        self.change(|transaction| set_state(transaction, id, state, error))
    }

    /// Gives an experiment another name.
    pub(crate) fn rename_experiment(&self, id: &str, name: &str) -> Result<()> {
        self.connection().execute(
            "UPDATE experiments SET name = ?2 WHERE id = ?1",
            params![id, name],
        )?;
        Ok(())
    }

    /// Writes the numbers of a running experiment.
    pub(crate) fn update_experiment(&self, experiment: &Experiment) -> Result<()> {
        self.connection().execute(
            "UPDATE experiments SET step = ?2, total_steps = ?3, epoch = ?4, loss = ?5, validation_loss = ?6,
             best_validation_loss = ?7, best_step = ?8, tokens_per_second = ?9, peak_memory = ?10, seconds_left = ?11,
             predicted_memory = ?12, device = ?13 WHERE id = ?1",
            params![
                experiment.id,
                experiment.step as i64,
                experiment.total_steps.map(|steps| steps as i64),
                experiment.epoch,
                experiment.loss,
                experiment.validation_loss,
                experiment.best_validation_loss,
                experiment.best_step.map(|step| step as i64),
                experiment.tokens_per_second,
                experiment.peak_memory.map(|bytes| bytes as i64),
                experiment.seconds_left,
                experiment.predicted_memory.map(|bytes| bytes as i64),
                experiment.device.map(GpuBackendKind::as_str),
            ],
        )?;
        Ok(())
    }

    /// Forgets an experiment and its jobs.
    pub(crate) fn remove_experiment(&self, id: &str) -> Result<()> {
        self.change(|transaction| {
            transaction.execute(
                "DELETE FROM jobs WHERE kind = 'train' AND subject = ?1",
                [id],
            )?;
            transaction.execute("DELETE FROM experiments WHERE id = ?1", [id])?;
            Ok(())
        })
    }
}

/// As [`Store::set_experiment_state`], within a transaction.
pub(super) fn set_state(
    transaction: &Transaction<'_>,
    id: &str,
    state: ExperimentState,
    error: Option<&Error>,
) -> Result<()> {
    let error = error.and_then(|error| serde_json::to_string(error).ok());
    transaction.execute(
        "UPDATE experiments SET state = ?2, error = ?3, seconds_left = NULL,
         started_at = CASE WHEN ?2 = 'running' THEN coalesce(started_at, ?4) ELSE started_at END,
         ended_at = CASE WHEN ?2 IN ('queued', 'running') THEN NULL ELSE ?4 END,
         pid = CASE WHEN ?2 IN ('queued', 'running') THEN ?5 ELSE pid END
         WHERE id = ?1",
        params![id, state.as_str(), error, now(), std::process::id()],
    )?;
    Ok(())
}

fn read(row: &Row<'_>, home: &Home) -> rusqlite::Result<Experiment> {
    let id: String = row.get("id")?;
    let unsigned = |name: &str| {
        row.get::<_, Option<i64>>(name)
            .map(|number| number.map(|number| number as u64))
    };
    Ok(Experiment {
        folder: home.experiment(&id),
        id,
        name: row.get("name")?,
        state: state(&row.get::<_, String>("state")?),
        dataset: row.get("dataset")?,
        model: row.get("model")?,
        method: row.get("method")?,
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        step: unsigned("step")?.unwrap_or_default(),
        total_steps: unsigned("total_steps")?,
        epoch: row.get("epoch")?,
        loss: row.get("loss")?,
        validation_loss: row.get("validation_loss")?,
        best_validation_loss: row.get("best_validation_loss")?,
        best_step: unsigned("best_step")?,
        tokens_per_second: row.get("tokens_per_second")?,
        device: device(row.get("device")?),
        peak_memory: unsigned("peak_memory")?,
        predicted_memory: unsigned("predicted_memory")?,
        seconds_left: row.get("seconds_left")?,
        pid: row.get("pid")?,
        error: row
            .get::<_, Option<String>>("error")?
            .and_then(|text| serde_json::from_str(&text).ok()),
    })
}

/// The kind of device that is stored by this word.
fn device(word: Option<String>) -> Option<GpuBackendKind> {
    let mut kinds = GpuBackendKind::ALL.into_iter();
    word.and_then(|word| kinds.find(|kind| kind.as_str() == word))
}

fn state(word: &str) -> ExperimentState {
    use ExperimentState::{Failed, Finished, Interrupted, Paused, Queued, Running, Stopped};
    [Queued, Running, Paused, Interrupted, Stopped, Finished]
        .into_iter()
        .find(|state| state.as_str() == word)
        .unwrap_or(Failed)
}
