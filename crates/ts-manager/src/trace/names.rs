//! The names of spans, attributes and events, which are stable. OpenTelemetry's own are used where there are any.

/// Name of the instrumentation scope of all spans.
pub const SCOPE: &str = "ts-manager";

/// Root span of a trial: from its creation to its end.
pub const TRIAL: &str = "trial";
/// Part of a trial until it runs, or ends without.
pub const WAITING: &str = "waiting";
/// Part of a trial from when it runs.
pub const RUNNING: &str = "running";
/// Root span of one run of an experiment's manager.
pub const EXPERIMENT: &str = "experiment";

/// Event: another status or reason, within the part of the trial that the span is.
pub const STATUS_EVENT: &str = "ts.status";
/// Event: somebody asked for the trial's end.
pub const CANCEL_EVENT: &str = "ts.cancel_requested";
/// Event: another manager took the trial up.
pub const RESUMED_EVENT: &str = "ts.resumed";

/// Id of the experiment.
pub const EXPERIMENT_ID: &str = "ts.experiment.id";
/// Id of the trial.
pub const TRIAL_ID: &str = "ts.trial.id";
/// Number of the trial within the experiment, from 0.
pub const SEQUENCE_ID: &str = "ts.trial.sequence_id";
/// Id of the trial that this one tries again.
pub const RETRY_OF: &str = "ts.trial.retry_of";
/// How many metrics the trial reported.
pub const METRICS: &str = "ts.trial.metrics";
/// Name of the platform.
pub const PLATFORM: &str = "ts.platform";
/// Status in NNI's spelling.
pub const STATUS: &str = "ts.status";
/// Code of the reason of a status.
pub const REASON: &str = "ts.reason";
/// What the reason says, of trials that have not ended.
pub const REASON_MESSAGE: &str = "ts.reason.message";
/// Who or what ended a trial that did not succeed.
pub const VERDICT: &str = "ts.verdict";
/// Why somebody asked for the trial's end.
pub const CANCEL_REASON: &str = "ts.cancel.reason";
/// Which of a trial's parameters: 1 for those that it asked for first.
pub const PARAMETERS_INDEX: &str = "ts.parameters.index";
/// How many trials ended during this run of the manager.
pub const TRIALS_ENDED: &str = "ts.trials.ended";
/// How many of them failed.
pub const TRIALS_FAILED: &str = "ts.trials.failed";
/// What went wrong, from a short list.
///
/// Source: <https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/>.
pub const ERROR_TYPE: &str = "error.type";

/// All of them, for documents and tests.
pub const ALL: &[&str] = &[
    SCOPE,
    TRIAL,
    WAITING,
    RUNNING,
    EXPERIMENT,
    STATUS_EVENT,
    CANCEL_EVENT,
    RESUMED_EVENT,
    EXPERIMENT_ID,
    TRIAL_ID,
    SEQUENCE_ID,
    RETRY_OF,
    METRICS,
    PLATFORM,
    STATUS,
    REASON,
    REASON_MESSAGE,
    VERDICT,
    CANCEL_REASON,
    PARAMETERS_INDEX,
    TRIALS_ENDED,
    TRIALS_FAILED,
    ERROR_TYPE,
];

#[cfg(test)]
mod tests {
    use super::ALL;
    use crate::Call;

    #[test]
    fn every_name_is_documented() {
        let page = include_str!("../../../../docs/telemetry.md");
        let calls = [Call::Submit, Call::Cancel, Call::SendParameters(1)].map(Call::as_str);
        for name in ALL.iter().chain(&calls) {
            assert!(page.contains(&format!("`{name}`")), "docs/telemetry.md lacks `{name}`");
        }
    }
}
