//! The trial model: parameters, specification, statuses with their legal transitions, and the stored record.

use crate::{ExperimentId, GpuCount, JournalCursor, TrialId};
use std::{fmt, sync::Arc, time::Duration};

/// Hyper-parameters of a trial: the JSON text byte for byte as the parameter source gave it, and its phase.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parameters {
    /// Content of `parameter.cfg`. Never re-serialized.
    pub text: Arc<str>,
    /// Phase: 0 for the first, N for `parameter_N.cfg`.
    pub index: u32,
}

impl Parameters {
    /// The first (and for all but multi-phase trials the only) parameters.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            index: 0,
        }
    }
    /// Name of the file that the trial's SDK reads them from.
    ///
    /// Source: nni v1.9 to v2.10, `nni/runtime/platform/local.py`.
    pub fn file_name(&self) -> String {
        match self.index {
            0 => "parameter.cfg".into(),
            n => format!("parameter_{n}.cfg"),
        }
    }
}

/// What all trials of an experiment share.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ExperimentSpec {
    /// Stamped on every job.
    pub id: ExperimentId,
    /// Code directory, its limits and switches.
    pub code: CodeDirectory,
    /// Shell command of a trial, for platforms with one command per trial.
    pub command: String,
    /// GPUs per trial; unset, 0 and n differ.
    pub gpus: GpuCount,
    /// Most trials at a time.
    pub concurrency: u32,
    /// Whether a trial may ask for further parameters.
    pub multi_phase: bool,
}

impl ExperimentSpec {
    /// A specification with no GPU wish, one trial at a time, and one set of parameters for each.
    pub fn new(id: ExperimentId, code: CodeDirectory, command: impl Into<String>) -> Self {
        Self {
            id,
            code,
            command: command.into(),
            gpus: GpuCount::Unset,
            concurrency: 1,
            multi_phase: false,
        }
    }
}

/// A code directory before it is scanned. Scanning and packing live in `ts-codedir`, called by platforms that need them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct CodeDirectory {
    /// Absolute path.
    pub path: std::path::PathBuf,
    /// Most files and folders once `.nniignore` is applied. Default 2000.
    ///
    /// Source: nni v1.9, `src/nni_manager/training_service/common/util.ts`, `validateCodeDir`.
    pub max_entries: u32,
    /// Most bytes in total. Default 300 MiB; same source.
    pub max_bytes: u64,
    /// Whether ignore patterns match without regard to case, as NNI's do. Default true.
    pub ignore_case: bool,
}

impl CodeDirectory {
    /// A directory with NNI's limits and NNI's case-insensitive ignore rules.
    pub fn new(path: impl Into<std::path::PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_entries: 2000,
            max_bytes: 300 * 1024 * 1024,
            ignore_case: true,
        }
    }
}

/// One trial as a platform gets it. Stored before it is submitted.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct TrialSpec {
    /// Minted and stored by the caller; submitting the same id again is a no-op.
    pub id: TrialId,
    /// The experiment, for the stamp.
    pub experiment: ExperimentId,
    /// Number of the trial within the experiment, from 0.
    pub sequence_id: u32,
    /// First parameters.
    pub parameters: Parameters,
    /// Shell command.
    pub command: String,
    /// GPUs; unset, 0 and n differ.
    pub gpus: GpuCount,
    /// Whether it may ask for further parameters, which its SDK has to know (`MULTI_PHASE`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multi_phase: bool,
    /// Value of `TRACEPARENT` in the trial's environment (W3C trace context), if the trial is traced. Never stored: it is worked out anew.
    #[serde(skip)]
    pub traceparent: Option<String>,
}

impl TrialSpec {
    /// A trial of `experiment` with its command and GPU wish.
    pub fn new(experiment: &ExperimentSpec, id: TrialId, sequence_id: u32, parameters: Parameters) -> Self {
        Self {
            id,
            experiment: experiment.id.clone(),
            sequence_id,
            parameters,
            command: experiment.command.clone(),
            gpus: experiment.gpus,
            multi_phase: experiment.multi_phase,
            traceparent: None,
        }
    }
}

/// Status of a trial. The names are NNI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum TrialStatus {
    /// The platform cannot be asked at present. A gap in knowledge, never an end.
    Unknown,
    /// Queued.
    Waiting,
    /// The command runs.
    Running,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended otherwise and was not asked to.
    Failed,
    /// Ended because the user asked.
    UserCanceled,
    /// Ended by the platform: preempted, node lost, quota.
    SysCanceled,
    /// Ended because its results were poor or its time was over.
    EarlyStopped,
}

impl TrialStatus {
    /// All statuses, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::UserCanceled,
        Self::SysCanceled,
        Self::EarlyStopped,
    ];

    /// Whether it is an end.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Unknown | Self::Waiting | Self::Running)
    }

    /// NNI's spelling, as stored and served.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::UserCanceled => "USER_CANCELED",
            Self::SysCanceled => "SYS_CANCELED",
            Self::EarlyStopped => "EARLY_STOPPED",
        }
    }

    /// The status of this name, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Whether a trial may go from `self` to `next`: forward only, with `Unknown` as a gap that heals.
    ///
    /// Staying is not a transition. A gap hides what was before, so leaving it may go anywhere but to itself.
    pub const fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Unknown, Self::Unknown)
            | (Self::Waiting, Self::Waiting)
            | (Self::Running, Self::Running | Self::Waiting) => false,
            (Self::Unknown | Self::Waiting | Self::Running, _) => true,
            _ => false,
        }
    }
}

impl fmt::Display for TrialStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a trial is asked to end; decides the status of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum CancelReason {
    /// The user asked for it.
    User,
    /// Its results are poor, says the assessor.
    EarlyStop,
    /// `maxTrialDuration` is over.
    TimeLimit,
    /// The experiment is being stopped.
    Shutdown,
}

impl CancelReason {
    /// The status of a trial that ended for this reason.
    ///
    /// Source: nni v2.4, `nnimanager.ts`: the time limit cancels with `isEarlyStopped`.
    pub const fn status(self) -> TrialStatus {
        match self {
            Self::User | Self::Shutdown => TrialStatus::UserCanceled,
            Self::EarlyStop | Self::TimeLimit => TrialStatus::EarlyStopped,
        }
    }
    /// Stable name, as written to files and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::EarlyStop => "earlyStop",
            Self::TimeLimit => "timeLimit",
            Self::Shutdown => "shutdown",
        }
    }
    /// The reason of this name, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::EarlyStop, Self::TimeLimit, Self::Shutdown]
            .into_iter()
            .find(|r| r.as_str() == text)
    }
}

/// What the store knows of a trial that had not ended; input of `recover`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrialRecord {
    /// As stored before the submit.
    pub spec: TrialSpec,
    /// Whether the store holds the platform's receipt. Without it the submit may or may not have happened.
    pub submitted: bool,
    /// Last known status.
    pub status: TrialStatus,
    /// Where reading of the journal goes on.
    pub cursor: JournalCursor,
}

impl TrialRecord {
    /// A record of a trial.
    pub fn new(spec: TrialSpec, submitted: bool, status: TrialStatus, cursor: JournalCursor) -> Self {
        Self {
            spec,
            submitted,
            status,
            cursor,
        }
    }
}

/// Time between the request to end and the forced end: default 5 s, as NNI 2.x.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use TrialStatus as S;

    #[test]
    fn names_round_trip() {
        for s in S::ALL {
            assert_eq!(S::parse(s.as_str()), Some(s));
            assert_eq!(serde_json::to_string(&s).unwrap(), format!("\"{s}\""));
        }
    }

    #[test]
    fn transitions_are_forward_only() {
        for from in S::ALL {
            for to in S::ALL {
                let legal = match from {
                    S::Unknown => to != S::Unknown,
                    S::Waiting => to != S::Waiting,
                    S::Running => to.is_terminal() || to == S::Unknown,
                    _ => false,
                };
                assert_eq!(from.may_become(to), legal, "{from} → {to}");
            }
        }
    }

    #[test]
    fn parameter_files_are_named_as_nni_names_them() {
        assert_eq!(Parameters::new("{}").file_name(), "parameter.cfg");
        assert_eq!(
            Parameters {
                text: "{}".into(),
                index: 3
            }
            .file_name(),
            "parameter_3.cfg"
        );
    }
}
