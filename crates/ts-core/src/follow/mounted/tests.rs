//! The right to begin: taken once, by one container, and not when it was withdrawn.

use super::*;
use crate::{
    Timestamp, TrialId, TrialStatus,
    follow::{Known, Registry},
    launch::quote,
};
use std::{collections::BTreeSet, process::Command};

struct Place {
    dir: tempfile::TempDir,
    folders: Folders,
    paths: TrialPaths,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a directory");
    let folders = Folders::new(dir.path().join("root"), &["workers"]);
    let paths = folders.paths(&TrialId::new("a").expect("legal"));
    offer(paths.dir()).expect("room");
    // Code that needs no unpacking.
    fs::create_dir(paths.dir().join("code")).expect("room");
    Place { dir, folders, paths }
}

impl Place {
    /// Runs the container of the trial, whose command is this; gives its exit code.
    fn contain(&self, mark: &str, command: &str) -> Option<i32> {
        let trial = quote(&self.paths.dir().display().to_string());
        fs::write(self.paths.dir().join("run.sh"), command).expect("room");
        let script = start_script(&format!(
            "ts_dir={trial}\nts_seat={trial}\nts_code=/none\nts_output={trial}/out\nts_grace=1\nts_mark={mark}"
        ));
        let path = self.dir.path().join("start.sh");
        fs::write(&path, script).expect("room");
        let output = Command::new("sh").arg(path).output().expect("a shell");
        output.status.code()
    }

    fn traces(&self) -> Traces {
        traces(&self.paths, Timestamp(9))
    }
}

#[test]
fn a_trial_begins_once() {
    let place = place();
    assert_eq!((place.traces().begin, was_begun(&place.paths)), (Begin::Free, false));
    assert_eq!(place.contain("one", "exit 7"), Some(7));
    let left = place.traces();
    assert_eq!((left.begin, left.was_repeated), (Begin::Taken, false));
    assert_eq!(place.contain("two", "exit 0"), Some(113), "taken by another");
    assert!(place.traces().was_repeated);
    // A rename whose answer was lost: it is done, and told as failed.
    assert_eq!(place.contain("one", "exit 0"), Some(0));
    assert_eq!(
        place.contain("", "exit 0"),
        Some(113),
        "nothing tells this one from another"
    );
}

#[tokio::test]
async fn an_exit_code_that_is_seen_late_is_waited_for() {
    let place = place();
    assert_eq!(place.contain("one", "exit 0"), Some(0));
    let ctx = crate::Ctx::new(place.dir.path());
    let late = async {
        let looked = settled_traces(&ctx, &place.paths, true);
        let seen = async {
            ctx.clock.sleep(std::time::Duration::from_millis(50)).await;
            fs::write(place.paths.state(), "7 5\n").expect("room");
        };
        futures_util::join!(looked, seen).0.0
    };
    assert_eq!(settled_traces(&ctx, &place.paths, false).await.0.exit, None);
    assert_eq!(late.await.exit.map(|(exit, _)| exit.code), Some(7));
}

#[test]
fn what_was_withdrawn_never_begins() {
    let place = place();
    withdraw(&place.paths);
    assert_eq!(place.contain("one", "exit 0"), Some(113));
    let left = place.traces();
    assert_eq!((left.begin, left.was_repeated), (Begin::Withdrawn, false));
}

#[test]
fn a_trial_that_cannot_begin_says_why() {
    let place = place();
    fs::remove_dir(place.paths.dir().join("code")).expect("there");
    assert_eq!(place.contain("one", "exit 0"), Some(114));
    let left = place.traces();
    assert!(left.failure.is_some_and(|why| why.starts_with("cannot unpack /none")));
    assert_eq!(left.exit, None);
}

#[test]
fn folders_that_are_no_trials_are_passed_over_and_a_request_is_read_as_written() {
    let place = place();
    for name in ["code", "workers", "no trial"] {
        fs::create_dir(place.folders.root().join(name)).expect("room");
    }
    let found: BTreeSet<TrialId> = place.folders.trials().expect("readable").into_iter().collect();
    assert_eq!(found, BTreeSet::from([TrialId::new("a").expect("legal")]));
    assert!(
        place.folders.is_reserved("code") && place.folders.is_reserved("workers") && !place.folders.is_reserved("a")
    );
    let loaded = || load_request::<Vec<u32>>(&place.paths);
    assert_eq!(loaded().expect("none"), None);
    save_request(&place.paths, &[1, 2]).expect("room");
    assert_eq!(loaded().expect("good"), Some(vec![1, 2]));
    save_request(&place.paths, &"x").expect("room");
    loaded().expect_err("something else");
}

#[tokio::test]
async fn what_is_seen_on_the_storage_hastens_one_look() {
    let place = place();
    let trial = TrialId::new("a").expect("legal");
    let ctx = crate::Ctx::new(place.dir.path());
    let registry = Registry::default();
    registry.claim(&trial, Known::running(Timestamp(1), ()));
    let mut hints = Hints::default();
    let mut is_new = async |status| {
        registry.update(&trial, |known| known.status = status);
        hints
            .is_new(&ctx, &registry, &place.folders, |known| !known.status.is_terminal())
            .await
    };
    assert!(!is_new(TrialStatus::Waiting).await, "nothing is there");
    assert_eq!(place.contain("one", "exit 0"), Some(0));
    assert!(is_new(TrialStatus::Waiting).await, "it has begun");
    assert!(!is_new(TrialStatus::Waiting).await, "that was seen");
    assert!(!is_new(TrialStatus::Running).await, "it has not ended");
    fs::write(place.paths.state(), "0 5\n").expect("room");
    assert!(is_new(TrialStatus::Running).await, "it has ended");
    assert!(!is_new(TrialStatus::Running).await, "that was seen");
}
