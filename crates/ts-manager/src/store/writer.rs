//! The writing side: a cheap handle to one thread that owns the connection and commits what callers hand over.
//!
//! A commit starts as soon as anything is there; what arrives meanwhile shares the next one. What a change means is in
//! `apply`.

use super::{
    Applied, Change, NewExperiment, StoreHealth, StoreReader,
    apply::apply_all,
    error::{Failure, from_sql, is_about_values, may_heal},
    store_file,
};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use ts_core::{Clock, Error, ErrorKind, Result};

/// Most calls in one commit, so that the first of them does not wait for ever.
const MAX_CALLS: usize = 512;
/// Waits of a stalled store: the first one, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Tries of a stalled store after its last handle is gone.
const LAST_TRIES: u32 = 4;

/// A handle to the store of one experiment; cheap to clone.
///
/// Dropping the last handle waits until everything handed over is on disk, and closes the file. If the disk is full then,
/// that takes up to 2 s, and what still cannot be written is lost, with an error in the log.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` only while dropping.
    calls: Option<Sender<Call>>,
    thread: Option<JoinHandle<()>>,
    health: watch::Receiver<StoreHealth>,
    path: PathBuf,
}

#[derive(Debug)]
struct Call {
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<Applied>>,
}

impl Store {
    /// Makes the store of a new experiment. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// `Conflict` if there is one at `path`; `NotFound`, `Denied` or `Io` if the directory takes no file.
    pub fn create(path: &Path, new: &NewExperiment, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::start(store_file::create(path, new)?, path, clock)
    }

    /// Opens the store of an experiment and migrates it to this version.
    ///
    /// Blocks: every page is checked first, about 20 ms for 100,000 metrics.
    ///
    /// # Errors
    /// `NotFound` if there is none. `Conflict` if a newer release or another program wrote it, or another process holds
    /// it. `Io` if it is damaged. The file is left untouched then.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::start(store_file::open(path)?, path, clock)
    }

    fn start(db: Connection, path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let (calls, inbox) = channel();
        let (publish, health) = watch::channel(StoreHealth::Healthy);
        let writer = Writer {
            db,
            inbox,
            health: publish,
            clock,
            path: path.to_owned(),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|e| Error::io("start the thread that writes", path, e))?;
        Ok(Self {
            inner: Arc::new(Inner {
                calls: Some(calls),
                thread: Some(thread),
                health,
                path: path.to_owned(),
            }),
        })
    }

    /// Stores all `changes` or, after an error, none. Handed over at once, in the order of the calls; the future ends
    /// when they are on disk. While the disk is full it waits.
    ///
    /// # Errors
    /// `Conflict` if a new trial's id or number is taken, `NotFound` if a trial is not stored, `Io` if the file is damaged.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the changes back.
    pub fn apply(&self, changes: Vec<Change>) -> impl Future<Output = Result<Applied>> + Send + 'static + use<> {
        let (answer, answered) = oneshot::channel();
        if let Some(calls) = &self.inner.calls {
            // If the thread is gone, the call and its answer are dropped here, and the caller is told by that.
            drop(calls.send(Call { changes, answer }));
        }
        async move { answered.await.unwrap_or_else(|_| Err(closed())) }
    }

    /// Whether the store can write at present, and every change of that.
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.inner.health.clone()
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A new reader of the same file.
    pub fn reader(&self) -> Result<StoreReader> {
        StoreReader::open(&self.inner.path)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the thread that writes the store panicked");
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Internal, "the thread that writes the store has ended")
}

/// What the thread owns.
struct Writer {
    db: Connection,
    inbox: Receiver<Call>,
    health: watch::Sender<StoreHealth>,
    clock: Arc<dyn Clock>,
    path: PathBuf,
}

impl Writer {
    /// Works until the last handle is gone.
    fn run(self) {
        while let Ok(first) = self.inbox.recv() {
            let mut calls = vec![first];
            let open = self.drain(&mut calls);
            self.store(calls, open);
        }
    }

    /// Takes what waits; false once all handles are gone.
    fn drain(&self, calls: &mut Vec<Call>) -> bool {
        while calls.len() < MAX_CALLS {
            match self.inbox.try_recv() {
                Ok(call) => calls.push(call),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Commits the calls and answers them; as long as that may heal, tries again.
    fn store(&self, mut calls: Vec<Call>, mut open: bool) {
        let mut wait = FIRST_WAIT;
        let mut last_tries = LAST_TRIES;
        let failed = loop {
            match self.commit(&calls) {
                Ok(results) => {
                    self.recovered();
                    for (call, result) in calls.into_iter().zip(results) {
                        drop(call.answer.send(result)); // a caller that is gone wants no answer
                    }
                    return;
                }
                Err(error) if may_heal(&error) && (open || last_tries > 0) => self.stalled(error),
                Err(error) => break error,
            }
            if !open {
                last_tries -= 1;
            }
            std::thread::park_timeout(wait);
            wait = (wait * 2).min(if open { LONGEST_WAIT } else { LONGEST_WAIT / LAST_TRIES });
            open = self.drain(&mut calls) && open;
        };
        let n_changes: usize = calls.iter().map(|c| c.changes.len()).sum();
        tracing::error!(path = %self.path.display(), error = %failed, n_changes, "changes are not stored");
        let text = failed.to_string();
        let mut cause = Some(failed);
        for call in calls {
            let error = match cause.take() {
                Some(cause) => from_sql("write", &self.path, cause),
                None => super::error::damaged(&self.path, &text),
            };
            drop(call.answer.send(Err(error)));
        }
    }

    /// All calls in one transaction, each in its savepoint. An error is about the file, not about a call.
    fn commit(&self, calls: &[Call]) -> rusqlite::Result<Vec<Result<Applied>>> {
        let results = self.db.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            let results = calls.iter().map(|call| self.attempt(call)).collect::<Result<_, _>>()?;
            self.db.execute_batch("COMMIT").map(|()| results)
        });
        if results.is_err() && !self.db.is_autocommit() {
            // Fails only if SQLite has rolled back already, which is what is wanted.
            drop(self.db.execute_batch("ROLLBACK"));
        }
        results
    }

    fn attempt(&self, call: &Call) -> rusqlite::Result<Result<Applied>> {
        self.db.execute_batch("SAVEPOINT call")?;
        let result = match apply_all(&self.db, &call.changes) {
            Ok(applied) => Ok(applied),
            Err(Failure::Sql(error)) if !is_about_values(&error) => return Err(error),
            Err(failure) => {
                self.db.execute_batch("ROLLBACK TO call")?;
                Err(match failure {
                    Failure::Refused(error) => error,
                    Failure::Sql(error) => from_sql("write", &self.path, error),
                })
            }
        };
        self.db.execute_batch("RELEASE call")?;
        Ok(result)
    }

    fn stalled(&self, error: rusqlite::Error) {
        let error = from_sql("write", &self.path, error);
        let text = match error.help() {
            Some(help) => format!("{error}; {help}"),
            None => error.to_string(),
        };
        let now = self.clock.now();
        self.health.send_if_modified(|health| {
            let (since, changed) = match health {
                StoreHealth::Stalled { since, error } => (*since, *error != text),
                StoreHealth::Healthy => (now, true),
            };
            if changed {
                tracing::warn!(error = text, "the store cannot write; changes wait");
                *health = StoreHealth::Stalled { since, error: text };
            }
            changed
        });
    }

    fn recovered(&self) {
        self.health.send_if_modified(|health| {
            let changed = *health != StoreHealth::Healthy;
            if changed {
                tracing::info!("the store writes again");
                *health = StoreHealth::Healthy;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Limits;
    use ts_core::{ExperimentId, SystemClock, Timestamp};

    /// A store on a disk that has room for so many pages of 4 KiB.
    fn store_with_room(n_pages: u32) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().expect("a directory");
        let id = ExperimentId::new("e").expect("legal");
        let new = NewExperiment::new(id, Timestamp(0), "", Limits::new(1));
        let path = store_file::file_in(directory.path());
        let db = store_file::create(&path, &new).expect("a new store");
        let mut room = 0;
        db.pragma_update_and_check(None, "max_page_count", n_pages, |row| row.get(0).map(|n| room = n))
            .expect("a limit");
        assert_eq!(room, n_pages);
        let store = Store::start(db, &path, Arc::new(SystemClock::new())).expect("a thread");
        (directory, store)
    }

    fn note(size: usize) -> Vec<Change> {
        vec![Change::Note {
            at: Timestamp(1),
            trial: None,
            kind: "note".into(),
            data: "x".repeat(size).into(),
        }]
    }

    /// The text of the stall, once there is one.
    async fn wait_for_stall(store: &Store) -> String {
        let mut health = store.health();
        let limit = Duration::from_mins(2);
        let stalled = tokio::time::timeout(limit, health.wait_for(|h| *h != StoreHealth::Healthy)).await;
        match &*stalled.expect("in time").expect("the store lives") {
            StoreHealth::Stalled { error, .. } => error.clone(),
            StoreHealth::Healthy => unreachable!("waited for the opposite"),
        }
    }

    fn n_events(store: &Store) -> usize {
        store.reader().and_then(|r| r.events(None)).expect("readable").len()
    }

    #[tokio::test]
    async fn a_full_disk_delays_changes_and_loses_none() {
        let (_directory, store) = store_with_room(50);
        store.apply(note(100_000)).await.expect("there is room");
        let waiting: Vec<_> = (0..5).map(|_| store.apply(note(20_000))).collect();
        let said = wait_for_stall(&store).await;
        assert!(said.contains("free space"), "{said}");
        let later = store.apply(note(1));
        assert!(n_events(&store) < 6, "readers work meanwhile, and something waits");
        let other = Connection::open(store.path()).expect("a second connection");
        other.busy_timeout(Duration::from_secs(5)).expect("a limit");
        other
            .execute("DELETE FROM event WHERE length(data) > 50000", ())
            .expect("space is freed");
        for call in waiting.into_iter().chain([later]) {
            assert_eq!(call.await.expect("stored at last").outcomes.len(), 1);
        }
        assert_eq!(*store.health().borrow(), StoreHealth::Healthy);
        assert_eq!(n_events(&store), 6);
    }

    #[tokio::test]
    async fn a_file_held_by_another_process_delays_changes_and_loses_none() {
        let (_directory, store) = store_with_room(1_000);
        let other = Connection::open(store.path()).expect("a second connection");
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let call = store.apply(note(1));
        let said = wait_for_stall(&store).await;
        assert!(said.contains("another process"), "{said}");
        other.execute_batch("ROLLBACK").expect("the lock is given back");
        assert!(call.await.is_ok());
        assert_eq!(n_events(&store), 1);
    }

    #[tokio::test]
    async fn a_disk_that_stays_full_does_not_keep_the_program_from_ending() {
        let (_directory, store) = store_with_room(30);
        let call = store.apply(note(200_000));
        wait_for_stall(&store).await;
        tokio::task::spawn_blocking(move || drop(store))
            .await
            .expect("no panic");
        let error = call.await.expect_err("not stored, and the caller is told");
        assert!(error.is_retryable(), "{error:?}");
    }

    #[tokio::test]
    async fn a_value_that_sqlite_cannot_hold_fails_its_call_alone() {
        let (_directory, store) = store_with_room(1_000);
        let mut limits = Limits::new(1);
        limits.max_duration_ms = Some(u64::MAX);
        let too_large = Change::LimitsChanged {
            at: Timestamp(1),
            limits,
        };
        let bad = store.apply(note(1).into_iter().chain([too_large]).collect());
        let good = store.apply(note(2));
        let (bad, good) = tokio::join!(bad, good);
        assert!(bad.is_err() && good.is_ok());
        assert_eq!(n_events(&store), 1);
    }
}
