//! ts-local alone in a Rust program: runs three trials on this machine, reads their metrics, and leaves nothing behind.
//! Choosing parameters, limits on time and a store of results are `ts-manager`'s part, which is not used here.

#![expect(clippy::disallowed_macros, reason = "an example prints what it found")]

use futures_util::StreamExt as _;
use std::{collections::BTreeMap, path::Path};
use ts_core::{
    CleanupScope, CodeDirectory, Ctx, Error, ErrorKind, Event, ExperimentSpec, IdSource as _, Metric, Parameters,
    RandomIds, Result, TrainingService as _, TrialId, TrialSpec, TrialStatus, WatchRequest,
};
use ts_local::{LocalConfig, LocalService};

/// A trial without an SDK: reads `lr` and reports a loss, least at 0.1, as one frame of the journal.
const COMMAND: &str = r#"
lr=$(sed -n 's/.*"lr": *\([0-9.]*\).*/\1/p' "$NNI_SYS_DIR/parameter.cfg")
loss=$(awk -v lr="$lr" 'BEGIN { printf "%.4f", (lr - 0.1) * (lr - 0.1) }')
json=$(printf '{"parameter_id": 0, "trial_job_id": "%s", "type": "FINAL", "sequence": 0, "value": "%s"}' \
    "$NNI_TRIAL_JOB_ID" "$loss")
printf 'ME%06d%s\n' $((${#json} + 1)) "$json" >>"$NNI_SYS_DIR/.nni/metrics"
"#;

/// What became of one trial.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Its parameters.
    pub(crate) parameters: String,
    /// How it ended; `None` while it runs.
    pub(crate) status: Option<TrialStatus>,
    /// Its metrics, in order.
    pub(crate) metrics: Vec<f64>,
}

/// Runs one trial for each learning rate, all at once; their files live in `work_dir` until the last has ended.
pub(crate) async fn run(work_dir: &Path, code_dir: &Path, rates: &[f64]) -> Result<Vec<Outcome>> {
    let ctx = Ctx::new(work_dir);
    let service = LocalService::new(ctx.clone(), LocalConfig::default());
    let spec = ExperimentSpec::new(RandomIds.experiment(), CodeDirectory::new(code_dir), COMMAND);
    service.validate(&spec).await?;
    let code = service.prepare(&spec.code).await?;

    let mut events = service.watch(WatchRequest::new());
    let mut outcomes: BTreeMap<TrialId, Outcome> = BTreeMap::new();
    for (sequence_id, rate) in (0..).zip(rates) {
        let parameters = format!(r#"{{"lr": {rate}}}"#);
        let trial = TrialSpec::new(&spec, RandomIds.trial(), sequence_id, Parameters::new(&*parameters));
        service.submit(&code, &trial).await?;
        let outcome = Outcome {
            parameters,
            status: None,
            metrics: Vec::new(),
        };
        outcomes.insert(trial.id, outcome);
    }

    // The end of a trial is its last event, behind all of its metrics.
    while outcomes.values().any(|outcome| outcome.status.is_none()) {
        let event = events.next().await;
        let event = event.ok_or_else(|| Error::new(ErrorKind::Internal, "the watch ended before the trials"))?;
        match event {
            Ok(Event::Metric { trial, body, .. }) => {
                if let Some(outcome) = outcomes.get_mut(&trial) {
                    outcome.metrics.extend(Metric::parse(&body)?.number());
                }
            }
            Ok(Event::Status { trial, status, .. }) if status.is_terminal() => {
                if let Some(outcome) = outcomes.get_mut(&trial) {
                    outcome.status = Some(status);
                }
            }
            Err(error) if !error.is_retryable() => return Err(error),
            _ => {}
        }
    }

    drop(events);
    for (what, error) in service.cleanup(&CleanupScope::Experiment).await.failures {
        println!("left behind: {what}: {error}");
    }
    ctx.tasks.close().await;
    let mut outcomes: Vec<Outcome> = outcomes.into_values().collect();
    outcomes.sort_by(|a, b| a.parameters.cmp(&b.parameters));
    Ok(outcomes)
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = tempfile::tempdir().map_err(|e| Error::io("make a directory in", &std::env::temp_dir(), e))?;
    let outcomes = run(&directory.path().join("work"), directory.path(), &[0.01, 0.1, 0.5]).await?;
    for outcome in outcomes {
        let status = outcome.status.unwrap_or(TrialStatus::Unknown);
        println!("{}: {status}, loss {:?}", outcome.parameters, outcome.metrics);
    }
    Ok(())
}
