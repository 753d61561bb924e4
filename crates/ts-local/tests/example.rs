//! The example `alone.rs` does what it says: its trials succeed, their metrics arrive, nothing is left.

#[path = "../examples/alone.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod alone;

use alone::Outcome;
use ts_core::TrialStatus;

#[tokio::test]
async fn a_program_without_a_manager_runs_trials_and_reads_their_metrics() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let work = directory.path().join("work");
    let outcomes = alone::run(&work, directory.path(), &[0.1, 0.5])
        .await
        .expect("the example runs");
    let expected = [(r#"{"lr": 0.1}"#, 0.0), (r#"{"lr": 0.5}"#, 0.16)].map(|(parameters, loss)| Outcome {
        parameters: parameters.to_owned(),
        status: Some(TrialStatus::Succeeded),
        metrics: vec![loss],
    });
    assert_eq!(outcomes, expected);
    let left = std::fs::read_dir(work.join("trials")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "directories of trials after the cleanup");
}
