//! Files, processes and crashes: what is on disk is whole at any moment, and readers see it while it is written.

use super::{Fixture, clock, created, experiment, id, metric, status};
use std::{fs, path::Path, process::Command};
use ts_core::{Error, ErrorKind, TrialStatus as S};
use ts_manager::store::{MetricKind as K, Store, StoreReader, TrialFilter, file_in};

fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = format!("experiment.db{suffix}");
        fs::copy(from.join(&name), to.join(&name)).expect("a file of a running store");
    }
}

#[tokio::test]
async fn a_copy_taken_at_any_moment_holds_every_answered_call() {
    let f = Fixture::new();
    for n in 0..20 {
        f.apply(vec![created(n), metric(n, 10, K::Final, 1.0)]).await;
        // As after `kill -9`: the files as they are, nothing closed.
        let crashed = tempfile::tempdir().unwrap();
        copy(f.directory.path(), crashed.path());
        let store = Store::open(&file_in(crashed.path()), clock()).expect("a crash leaves a whole store");
        let reader = store.reader().unwrap();
        assert_eq!(reader.counts_by_status().unwrap().total(), u64::from(n) + 1);
        assert_eq!(reader.metrics(&id(n), None).unwrap().len(), 1);
        let again = store.apply(vec![metric(n, 10, K::Final, 1.0)]).await.unwrap();
        assert!(!again.is_new(0), "read again after the crash, stored once");
    }
}

#[tokio::test]
async fn dropping_the_last_handle_writes_what_was_handed_over() {
    let f = Fixture::new();
    for n in 0..50 {
        drop(f.store.apply(vec![created(n)])); // nobody waits for the answer
    }
    let directory = f.close();
    let path = file_in(directory.path());
    assert!(
        !path.with_extension("db-wal").exists(),
        "closed: the log is in the file"
    );
    let reader = StoreReader::open(&path).unwrap();
    assert_eq!(reader.counts_by_status().unwrap().total(), 50);
}

#[tokio::test]
async fn two_readers_follow_the_writer() {
    let f = Fixture::new();
    let (a, b) = (f.reader(), f.reader());
    let mut seen = (a.data_version().unwrap(), a.revision().unwrap());
    for n in 0..10 {
        f.apply(vec![created(n), status(n, S::Running, 1)]).await;
        assert_eq!(a.counts_by_status().unwrap(), b.counts_by_status().unwrap());
        assert_eq!(a.counts_by_status().unwrap().of(S::Running), u64::from(n) + 1);
        let now = (a.data_version().unwrap(), a.revision().unwrap());
        assert!(now.0 != seen.0 && now.1 > seen.1);
        seen = now;
    }
    let repeated = f.apply(vec![status(3, S::Running, 1)]).await;
    assert_eq!(repeated.revision, seen.1, "nothing changed");
}

#[tokio::test]
async fn a_snapshot_stays_while_the_writer_goes_on() {
    let f = Fixture::new();
    f.apply(vec![created(0)]).await;
    let reader = f.reader();
    let before = reader.snapshot(StoreReader::counts_by_status).unwrap();
    let held = reader.snapshot(|r| {
        r.counts_by_status()?;
        std::thread::scope(|s| {
            let change = f.store.apply(vec![created(1)]);
            let write = s.spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap()
                    .block_on(change)
            });
            write.join().expect("no panic").map(drop)
        })?;
        r.counts_by_status()
    });
    assert_eq!(held.unwrap(), before);
    assert_eq!(reader.counts_by_status().unwrap().total(), 2);
}

/// Name of the variable that makes `reads_in_another_process` read instead of start a reader.
const READ_THIS: &str = "TS_STORE_TEST_READ";

#[tokio::test]
async fn reads_in_another_process() {
    #[expect(
        clippy::disallowed_methods,
        reason = "this test starts itself again with the path of a store"
    )]
    if let Ok(path) = std::env::var(READ_THIS) {
        let reader = StoreReader::open(Path::new(&path)).expect("a reader beside the writer");
        assert_eq!(reader.trials(&TrialFilter::all()).unwrap().len(), 2);
        return;
    }
    let f = Fixture::new();
    f.apply(vec![created(0), created(1)]).await;
    let read = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "files::reads_in_another_process"])
            .env(READ_THIS, f.path());
        command.output().expect("this program again")
    };
    let output = read();
    assert!(output.status.success(), "{output:?}");
    f.apply(vec![created(2)]).await;
    assert!(!read().status.success(), "the other process sees the third trial");
}

#[tokio::test]
async fn a_second_store_in_one_place_is_refused() {
    let f = Fixture::new();
    let error = Store::create(&f.path(), &experiment(), clock()).expect_err("there is one");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.help().is_some_and(|h| h.contains("resume")));
}

#[cfg(unix)]
#[test]
fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let f = Fixture::new();
    for entry in fs::read_dir(f.directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
    }
}

#[test]
fn a_directory_that_takes_no_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let absent = file_in(&directory.path().join("absent"));
    let kind = |r: Result<Store, Error>| r.expect_err("no directory").kind();
    assert_eq!(
        kind(Store::create(&absent, &experiment(), clock())),
        ErrorKind::NotFound
    );
    assert_eq!(kind(Store::open(&absent, clock())), ErrorKind::NotFound);
    // Nobody, not even root, makes files there.
    #[cfg(target_os = "linux")]
    {
        let error = Store::create(&file_in(Path::new("/proc/self")), &experiment(), clock()).expect_err("not a disk");
        assert!(error.message().contains("/proc/self/experiment.db"), "{error}");
    }
}

#[tokio::test]
async fn a_closed_store_is_read_where_nothing_can_be_written() {
    let f = Fixture::new();
    f.apply(vec![created(0)]).await;
    let directory = f.close();
    // A directory in the place of the shared index: SQLite cannot make it, as on a read-only disk.
    fs::create_dir(directory.path().join("experiment.db-shm")).unwrap();
    let reader = StoreReader::open(&file_in(directory.path())).expect("read as an unchanging file");
    assert_eq!(reader.counts_by_status().unwrap().total(), 1);
    let error = Store::open(&file_in(directory.path()), clock()).expect_err("nothing can be written");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.help().is_some_and(|h| h.contains("mode of the file")));
}
