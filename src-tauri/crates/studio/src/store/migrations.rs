//! The schema, as the list of steps that made it. Steps are only ever added.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Result};

const STEPS: &[&str] = &[
    "
    CREATE TABLE datasets (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        conversations INTEGER NOT NULL,
        shape TEXT NOT NULL,
        file TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE TABLE models (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        folder TEXT NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE TABLE experiments (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        dataset TEXT NOT NULL,
        model TEXT NOT NULL,
        method TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        step INTEGER NOT NULL DEFAULT 0,
        total_steps INTEGER,
        epoch REAL NOT NULL DEFAULT 0,
        loss REAL,
        validation_loss REAL,
        best_validation_loss REAL,
        best_step INTEGER,
        tokens_per_second REAL,
        peak_memory INTEGER,
        seconds_left REAL,
        pid INTEGER,
        error TEXT
    );
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        device TEXT NOT NULL,
        state TEXT NOT NULL,
        request TEXT,
        lock TEXT NOT NULL,
        pid INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER,
        seconds_left REAL,
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        error TEXT
    );
    CREATE INDEX jobs_live ON jobs (device, state);
",
    "
    ALTER TABLE jobs ADD COLUMN what TEXT;
",
    "
    CREATE TABLE requests (
        time REAL NOT NULL,
        url TEXT NOT NULL,
        reason TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        outcome TEXT NOT NULL
    );
",
    "
    ALTER TABLE experiments ADD COLUMN predicted_memory INTEGER;
",
    "
    ALTER TABLE experiments ADD COLUMN device TEXT;
    UPDATE experiments SET device = (
        SELECT device FROM jobs
        WHERE kind = 'train' AND subject = experiments.id AND started_at IS NOT NULL
        ORDER BY jobs.id DESC LIMIT 1
    ) WHERE step > 0;
",
];

/// Brings the database to the newest schema; refuses one that a newer Attune wrote.
pub(super) fn run(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(missing) = STEPS.get(version.unsigned_abs() as usize..) else {
        return Err(Error::new(
            "store-too-new",
            "the library was written by a newer version of Attune",
        )
        .with_remedy("Update Attune, or set ATTUNE_HOME to another folder."));
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", STEPS.len() as i64)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        connection
            .execute("INSERT INTO models VALUES ('a', 'a', 'added', '/a', 0)", [])
            .unwrap();
        run(&mut connection).unwrap();
        let models: i64 = connection
            .query_row("SELECT count(*) FROM models", [], |row| row.get(0))
            .unwrap();
        assert_eq!(models, 1);
    }

    /// Experiments of before have the device of the job that trained them last.
    #[test]
    fn what_trained_an_experiment_is_known_from_its_jobs() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in &STEPS[..4] {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", 4).unwrap();
        connection
            .execute_batch(
                "
                INSERT INTO experiments (id, name, state, dataset, model, method, created_at, step)
                VALUES ('a', 'a', 'paused', 'd', 'm', 'lora', 0, 7),
                       ('b', 'b', 'queued', 'd', 'm', 'lora', 0, 0);
                INSERT INTO jobs (kind, subject, device, state, lock, pid, created_at, started_at)
                VALUES ('train', 'a', 'cpu', 'cancelled', '1', 1, 0, 1),
                       ('train', 'a', 'cuda', 'cancelled', '2', 1, 0, 2),
                       ('train', 'a', 'cpu', 'cancelled', '3', 1, 0, NULL),
                       ('train', 'b', 'cpu', 'failed', '4', 1, 0, 4);
                ",
            )
            .unwrap();
        run(&mut connection).unwrap();
        let device = |id: &str| -> Option<String> {
            let query = "SELECT device FROM experiments WHERE id = ?1";
            connection.query_row(query, [id], |row| row.get(0)).unwrap()
        };
        assert_eq!(device("a").as_deref(), Some("cuda"));
        assert_eq!(device("b"), None);
    }

    #[test]
    fn a_newer_library_is_refused_and_untouched() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .pragma_update(None, "user_version", STEPS.len() as i64 + 1)
            .unwrap();
        assert_eq!(run(&mut connection).unwrap_err().code, "store-too-new");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0);
    }
}
