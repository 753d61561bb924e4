//! An experiment of 100,000 trials on the simulated platform: everything that can be counted is right.

#[path = "../examples/simulated/experiment.rs"]
mod experiment;

use ts_core::TrialStatus;
use ts_manager::{
    ExperimentDirectory,
    store::{ExperimentStatus, StoreReader},
};

const TRIALS: u32 = 100_000;

#[tokio::test]
async fn a_hundred_thousand_trials_with_failures_lost_machines_and_late_metrics() {
    let tmp = tempfile::tempdir().unwrap();
    let directory = ExperimentDirectory::at(tmp.path().join("simulated"));
    directory.create().unwrap();
    let (manager, cluster) = experiment::manager(&directory, tmp.path(), TRIALS).unwrap();
    let outcome = manager.run().await.unwrap();
    assert_eq!(outcome.status, ExperimentStatus::Done, "{:?}", outcome.message);
    assert_eq!(outcome.snapshot.created, u64::from(TRIALS));

    let reader = StoreReader::open(&directory.store()).unwrap();
    let counts = reader.counts_by_status().unwrap();
    let lost = counts.of(TrialStatus::SysCanceled);
    assert_eq!(counts.ended(), counts.total());
    assert_eq!(
        counts.total(),
        u64::from(TRIALS) + lost,
        "every lost trial, and no other, ran again"
    );
    assert_eq!(
        counts.of(TrialStatus::Succeeded) + counts.of(TrialStatus::Failed),
        u64::from(TRIALS)
    );
    assert!((500..2_000).contains(&lost), "{lost}");
    assert_eq!(
        reader.latest_metrics().unwrap().len() as u64,
        counts.of(TrialStatus::Succeeded)
    );
    assert_eq!(cluster.n_live(), 0);
}
