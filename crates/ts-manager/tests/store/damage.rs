//! Damaged, foreign and newer files: errors that say what to do, and a file that stays as it is.

use super::{Fixture, clock, created, experiment, metric};
use std::{fs, path::Path};
use ts_core::{Error, ErrorKind, TrialId};
use ts_manager::store::{MetricKind as K, Optimize, Store, StoreReader, TrialFilter, file_in};

async fn closed_store() -> tempfile::TempDir {
    let f = Fixture::new();
    for n in 0..40 {
        let metrics = (1..20).map(|i| metric(n, i * 50, K::Intermediate, 0.5));
        f.apply(std::iter::once(created(n)).chain(metrics).collect()).await;
    }
    f.close()
}

/// Reads everything there is to read.
fn read_all(path: &Path) -> Result<(), Error> {
    let reader = StoreReader::open(path)?;
    reader.experiment()?;
    reader.trials(&TrialFilter::all())?;
    reader.trial(&TrialId::new("t3")?)?;
    reader.latest_metrics()?;
    reader.counts_by_status()?;
    reader.best(Optimize::Minimize)?;
    reader.events(None)?;
    reader.unfinished()?;
    reader.history(|_| Ok(()))
}

fn assert_useful(error: &Error) {
    assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Conflict), "{error:?}");
    assert!(error.help().is_some_and(|help| !help.is_empty()), "{error:?}");
}

#[tokio::test]
async fn flipped_bytes_give_errors_not_panics() {
    let directory = closed_store().await;
    let path = file_in(directory.path());
    let whole = fs::read(&path).unwrap();
    let mut noticed = 0;
    for round in 0..60_usize {
        let mut bytes = whole.clone();
        for i in 0..16 {
            // Spread over the file, the same at every run.
            let at = (round * 7_919 + i * 104_729) % bytes.len();
            bytes[at] ^= 0xff;
        }
        fs::write(&path, &bytes).unwrap();
        let read = read_all(&path);
        let opened = Store::open(&path, clock());
        for error in [read.as_ref().err(), opened.as_ref().err()].into_iter().flatten() {
            assert_useful(error);
            noticed += 1;
        }
        if opened.is_err() {
            assert!(
                fs::read(&path).unwrap() == bytes,
                "round {round}: a refused file is left untouched"
            );
        }
        drop(opened);
        for suffix in ["-wal", "-shm"] {
            drop(fs::remove_file(path.with_extension(format!("db{suffix}"))));
        }
    }
    assert!(noticed > 20, "only {noticed} of 120 reads noticed");
}

#[tokio::test]
async fn truncated_files_give_errors_not_panics() {
    let directory = closed_store().await;
    let path = file_in(directory.path());
    let whole = fs::read(&path).unwrap();
    for length in [
        0,
        1,
        15,
        16,
        99,
        100,
        1_000,
        4_096,
        9_000,
        whole.len() / 2,
        whole.len() - 4_096,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_useful(&Store::open(&path, clock()).expect_err("pages are missing"));
        assert_useful(&read_all(&path).expect_err("pages are missing"));
        assert_eq!(fs::read(&path).unwrap().len(), length);
    }
}

#[tokio::test]
async fn an_interrupted_creation_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = file_in(directory.path());
    fs::write(&path, "").unwrap();
    let error = StoreReader::open(&path).expect_err("nothing in it");
    assert!(error.message().contains("interrupted"), "{error}");
    assert!(Store::create(&path, &experiment(), clock()).is_ok());
}

#[tokio::test]
async fn newer_and_foreign_files_are_refused_untouched() {
    let directory = closed_store().await;
    let path = file_in(directory.path());
    let whole = fs::read(&path).unwrap();
    let cases = [(60, "version 99"), (68, "another program")];
    for (at, expected) in cases {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&99_u32.to_be_bytes());
        fs::write(&path, &bytes).unwrap();
        for error in [
            Store::open(&path, clock()).map(drop),
            StoreReader::open(&path).map(drop),
        ] {
            let error = error.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.message().contains(expected), "{error}");
            assert!(error.help().is_some());
        }
        assert!(fs::read(&path).unwrap() == bytes);
    }
}
