//! NNI's experiment folders of three versions become the same history in our store; what is no such folder is refused.

use std::path::{Path, PathBuf};
use ts_core::{CodeDirectory, ErrorKind, ExperimentSpec, SystemClock, Timestamp, TrialStatus};
use ts_manager::{
    nni_folder::{NniExperiment, database_in},
    store::{ExperimentStatus, Limits, MetricKind, NewExperiment, Optimize, Store, StoreReader, TrialFilter},
};

const VERSIONS: [&str; 3] = [
    include_str!("fixtures/nni_v1_9.sql"),
    include_str!("fixtures/nni_v2_10.sql"),
    include_str!("fixtures/nni_v3_0.sql"),
];

struct Lab {
    _directory: tempfile::TempDir,
    folder: PathBuf,
    scratch: PathBuf,
}

impl Lab {
    fn new(sql: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (folder, scratch) = (directory.path().join("a?b #1%"), directory.path().join("scratch"));
        std::fs::create_dir_all(folder.join("db")).expect("made");
        std::fs::create_dir(&scratch).expect("made");
        let sql = sql.replace("FOLDER", &folder.display().to_string());
        let db = rusqlite::Connection::open(database_in(&folder)).expect("a database");
        db.execute_batch(&sql).expect("the fixture's SQL");
        Self {
            _directory: directory,
            folder,
            scratch,
        }
    }

    fn read(&self) -> ts_core::Result<NniExperiment> {
        NniExperiment::read(&self.folder, &self.scratch)
    }

    /// Every file of the folder with its content.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.join("db")).expect("a directory");
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("readable")))
            .collect();
        files.sort();
        files
    }
}

async fn stored(experiment: &NniExperiment, directory: &Path) -> StoreReader {
    let path = directory.join("experiment.db");
    let new = NewExperiment::new(experiment.id.clone(), experiment.started, "", Limits::new(1));
    let store = Store::create(&path, &new, std::sync::Arc::new(SystemClock::new())).expect("a store");
    let spec = ExperimentSpec::new(experiment.id.clone(), CodeDirectory::new("/code"), "true");
    let changes = experiment.changes(&spec, Optimize::Maximize, Timestamp(1_700_000_000_000), |trial| {
        trial.log_path.clone()
    });
    store.apply(changes).await.expect("stored");
    StoreReader::open(&path).expect("readable")
}

#[tokio::test]
async fn every_version_becomes_the_same_history() {
    for sql in VERSIONS {
        let lab = Lab::new(sql);
        let before = lab.files();
        let experiment = lab.read().expect("a folder of NNI");
        assert_eq!(lab.files(), before, "nothing is written");
        assert_eq!(experiment.params["trialConcurrency"], 1, "the newest profile counts");
        assert!(experiment.left_out.is_empty(), "{:?}", experiment.left_out);
        let reader = stored(&experiment, &lab.scratch).await;
        let row = reader.experiment().expect("there");
        assert_eq!(
            (row.status, row.started),
            (ExperimentStatus::Stopped, Some(Timestamp(1_600_000_000_000)))
        );
        assert_eq!((row.duration.as_secs(), row.next_sequence_id), (77, 3));
        let trials = reader.trials(&TrialFilter::all()).expect("there");
        let [good, failed, lost] = trials.as_slice() else {
            panic!("{trials:#?}")
        };
        assert_eq!(
            &*good.spec.parameters.text,
            r#"{"parameter_id": 0, "parameter_source": "algorithm", "parameters": {"x": 0.25}, "parameter_index": 0}"#
        );
        assert_eq!(
            (good.status, good.started_at, good.ended_at),
            (
                TrialStatus::Succeeded,
                Some(Timestamp(1_600_000_002_000)),
                Some(Timestamp(1_600_000_009_000))
            )
        );
        assert_eq!(
            good.final_value.as_deref(),
            Some(r#"{"default": 0.875, "other": "a \"b\""}"#)
        );
        assert_eq!(good.final_number, Some(0.875));
        let metrics = reader
            .metrics(&good.spec.id, Some(MetricKind::Intermediate))
            .expect("there");
        let metrics: Vec<_> = metrics
            .iter()
            .map(|m| (m.sequence, m.value.as_str(), m.number))
            .collect();
        assert_eq!(metrics, [(0, "0.5", Some(0.5)), (1, "NaN", None)]);
        assert!(
            good.url.as_deref().is_some_and(|url| url.ends_with("trials/aaaaa")),
            "{good:?}"
        );
        // The request to cancel came after the end.
        assert_eq!(failed.status, TrialStatus::Failed);
        assert_eq!(lost.status, TrialStatus::SysCanceled);
        assert!(
            lost.reason
                .as_ref()
                .is_some_and(|why| why.message.contains("had not ended")),
            "{lost:?}"
        );
        assert_eq!(lost.n_metrics, 1);
        assert!(reader.unfinished().expect("there").is_empty());
        let imported = reader.imports().expect("there");
        assert_eq!(imported[0][0].parameter["x"], 1, "{imported:?}");
    }
}

#[test]
fn what_the_platform_said_is_kept() {
    let experiment = Lab::new(VERSIONS[1]).read().expect("a folder of NNI");
    assert_eq!(experiment.trials[1].message.as_deref(), Some("exit code 3"));
}

#[tokio::test]
async fn phases_odd_rows_and_doubled_numbers() {
    let sql = format!(
        "{}{}",
        VERSIONS[0],
        r#"
        insert into TrialJobEvent values (1600000030000, 'ddddd', 'WAITING', '"{\"parameter_id\": 3, \"parameters\": {\"x\": NaN}, \"parameter_index\": 0}"', null, 2);
        insert into TrialJobEvent values (1600000031000, 'ddddd', 'ADD_HYPERPARAMETER', '{"parameter_id": 4, "parameters": {"x": 2}, "parameter_index": 1}', null, -1);
        insert into TrialJobEvent values (1600000032000, 'ddddd', 'USER_TO_CANCEL', null, null, null);
        insert into TrialJobEvent values (1600000033000, 'ddddd', 'USER_CANCELED', null, null, null);
        insert into TrialJobEvent values (1600000034000, '../etc', 'WAITING', '{}', null, 9);
        insert into TrialJobEvent values (1600000034000, '', 'IMPORT_DATA', 'no JSON', null, null);
        insert into MetricData values (1600000035000, 'ddddd', null, 'FINAL', null, '0.5');
        insert into MetricData values (1600000034000, 'ddddd', '3', 'FINAL', 0, '"0.75"');
        insert into MetricData values (1600000035000, 'nobody', null, 'FINAL', 0, '"1"');
        insert into MetricData values (1600000035000, 'ddddd', null, 'REQUEST_PARAMETER', 0, '""');
        "#
    );
    let lab = Lab::new(&sql);
    let experiment = lab.read().expect("a folder of NNI");
    let trial = experiment.trials.last().expect("four trials");
    assert_eq!((trial.id.as_str(), trial.sequence_id), ("ddddd", 3));
    assert_eq!(trial.parameters.len(), 2, "{trial:?}");
    assert!(trial.parameters[0].starts_with(r#"{"parameter_id": 3"#), "{trial:?}");
    assert_eq!(trial.status, TrialStatus::UserCanceled);
    let metrics: Vec<_> = trial
        .metrics
        .iter()
        .map(|m| (m.value.as_str(), m.parameter_index))
        .collect();
    assert_eq!(
        metrics,
        [("0.75", 0), ("0.5", 1)],
        "without an id of the newest parameters"
    );
    assert_eq!(experiment.left_out.len(), 4, "{:?}", experiment.left_out);

    let reader = stored(&experiment, &lab.scratch).await;
    let row = reader.trial(&trial.id).expect("readable").expect("there");
    let phases: Vec<_> = row
        .phases
        .iter()
        .map(|phase| (phase.index, phase.delivered, phase.final_number))
        .collect();
    assert_eq!(phases, [(0, true, Some(0.75)), (1, true, Some(0.5))]);
    assert!(
        row.phases[1]
            .parameters
            .as_deref()
            .is_some_and(|text| text.starts_with(r#"{"parameter_id": 4"#)),
        "{row:?}"
    );
    assert_eq!(row.final_number, Some(0.75), "the best of both, not the last");
}

/// A writer that is ended in the middle leaves a log beside the file; what it holds counts, and stays.
#[test]
fn a_log_beside_the_file_is_read_and_left() {
    let lab = Lab::new(VERSIONS[1]);
    let db = rusqlite::Connection::open(database_in(&lab.folder)).expect("opened");
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .expect("set");
    db.execute("UPDATE ExperimentProfile SET execDuration = 99", ())
        .expect("written");
    let before = lab.files();
    assert!(
        before
            .iter()
            .any(|(path, bytes)| path.to_string_lossy().ends_with("-wal") && !bytes.is_empty())
    );
    assert_eq!(lab.read().expect("readable").exec_seconds, 99);
    assert_eq!(lab.files(), before);
    assert_eq!(
        std::fs::read_dir(&lab.scratch).expect("there").count(),
        0,
        "the copy is removed"
    );
    drop(db);
}

#[test]
fn what_is_no_folder_of_nni_is_refused_with_a_remedy() {
    let lab = Lab::new(VERSIONS[0]);
    let refused = |sql_or_bytes: Option<&[u8]>, kind, expected: &str| {
        if let Some(bytes) = sql_or_bytes {
            std::fs::write(database_in(&lab.folder), bytes).expect("written");
        }
        let error = lab.read().expect_err(expected);
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(expected), "{error:?}");
        assert!(error.help().is_some(), "{error:?}");
    };
    let db = rusqlite::Connection::open(database_in(&lab.folder)).expect("opened");
    db.execute("DELETE FROM ExperimentProfile", ()).expect("deleted");
    refused(None, ErrorKind::Conflict, "holds no experiment");
    db.execute("DROP TABLE MetricData", ()).expect("dropped");
    drop(db);
    refused(None, ErrorKind::Conflict, "no table `MetricData`");
    let whole = std::fs::read(database_in(&lab.folder)).expect("there");
    refused(Some(&whole[..whole.len() / 2]), ErrorKind::Io, "damaged");
    refused(Some(b"no database"), ErrorKind::Io, "does not begin as a SQLite file");
    std::fs::remove_file(database_in(&lab.folder)).expect("removed");
    refused(None, ErrorKind::NotFound, "has no `db/nni.sqlite`");
}
