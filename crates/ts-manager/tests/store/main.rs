//! The store as its callers see it: what is written is read again, once, in order, whatever happens in between.

mod damage;
mod facts;
mod files;
mod phases;
mod replay;

use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use ts_core::{
    CodeDirectory, ExperimentId, ExperimentSpec, JournalCursor, Parameters, SystemClock, Timestamp, TrialId, TrialSpec,
    TrialStatus,
};
use ts_manager::store::{Applied, Change, Limits, MetricKind, MetricPlace, NewExperiment, Store, StoreReader, file_in};

/// A directory of its own with a store in it.
struct Fixture {
    directory: TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::create(&file_in(directory.path()), &experiment(), clock()).expect("a new store");
        Self { directory, store }
    }

    fn path(&self) -> PathBuf {
        file_in(self.directory.path())
    }

    fn reader(&self) -> StoreReader {
        StoreReader::open(&self.path()).expect("a reader")
    }

    async fn apply(&self, changes: Vec<Change>) -> Applied {
        self.store.apply(changes).await.expect("stored")
    }

    /// Closes the store and gives the directory.
    fn close(self) -> TempDir {
        self.directory
    }
}

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::new())
}

fn experiment() -> NewExperiment {
    let id = ExperimentId::new("exp12345").expect("legal");
    NewExperiment::new(id, Timestamp(1_000), "trialConcurrency: 2\n", Limits::new(2))
        .with_config(serde_json::json!({"trialConcurrency": 2}))
}

fn id(number: u32) -> TrialId {
    TrialId::new(&format!("t{number}")).expect("legal")
}

fn spec(number: u32) -> TrialSpec {
    let code = CodeDirectory::new("/home/alice/code");
    let of = ExperimentSpec::new(ExperimentId::new("exp12345").expect("legal"), code, "./train --fast");
    let parameters = Parameters::new(format!(
        "{{\"parameter_id\": {number},  \"parameters\":{{\"x\":1e-7}}}}"
    ));
    TrialSpec::new(&of, id(number), number, parameters)
}

fn created(number: u32) -> Change {
    Change::created(spec(number), Timestamp(i64::from(number)))
}

fn status(number: u32, status: TrialStatus, at: i64) -> Change {
    Change::TrialStatus {
        trial: id(number),
        at: Timestamp(at),
        status,
        reason: None,
    }
}

fn cursor(offset: u64) -> JournalCursor {
    JournalCursor {
        base: 0,
        offset,
        check: 7,
    }
}

fn metric(number: u32, seq: u64, kind: MetricKind, value: f64) -> Change {
    Change::Metric {
        trial: id(number),
        at: Timestamp(i64::try_from(seq).expect("small")),
        place: MetricPlace::Journal(cursor(seq)),
        kind,
        sequence: u32::try_from(seq).expect("small"),
        value: value.to_string(),
        number: Some(value),
        parameter_index: 0,
    }
}
