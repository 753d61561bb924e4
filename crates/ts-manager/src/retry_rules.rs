//! Which failed trials run again, by verdict.

use ts_core::{Reason, TrialStatus, Verdict};

/// How often a trial may run again after an end of each kind. Nothing is retried silently: every attempt is a trial of its
/// own with its own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryRules {
    /// The platform ended it. Default 1.
    pub platform: u32,
    /// Memory ran out. Default 0.
    pub memory: u32,
    /// The user's code failed. Default 0.
    pub user_code: u32,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            platform: 1,
            memory: 0,
            user_code: 0,
        }
    }
}

impl RetryRules {
    /// Whether a trial that ended so runs again after `attempts` attempts.
    pub(crate) fn again(self, status: TrialStatus, why: Option<&Reason>, attempts: u32) -> bool {
        let allowed = match why.and_then(|reason| reason.code.verdict()) {
            Some(Verdict::Platform) => self.platform,
            Some(Verdict::Memory) => self.memory,
            Some(Verdict::UserCode) => self.user_code,
            _ => 0,
        };
        matches!(status, TrialStatus::Failed | TrialStatus::SysCanceled) && attempts <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ts_core::{ReasonCode, Timestamp};

    #[test]
    fn only_the_named_verdicts_run_again_and_only_so_often() {
        let rules = RetryRules {
            platform: 2,
            memory: 0,
            user_code: 1,
        };
        let why = |code| Some(Reason::new(code, "x", Timestamp(0)));
        let cases = [
            (TrialStatus::Failed, why(ReasonCode::Lost), 1, true),
            (TrialStatus::Failed, why(ReasonCode::Lost), 2, true),
            (TrialStatus::Failed, why(ReasonCode::Lost), 3, false),
            (TrialStatus::SysCanceled, why(ReasonCode::Preempted), 1, true),
            (TrialStatus::Failed, why(ReasonCode::OutOfMemory), 1, false),
            (TrialStatus::Failed, why(ReasonCode::ExitCode), 1, true),
            (TrialStatus::Failed, why(ReasonCode::ExitCode), 2, false),
            (TrialStatus::Failed, why(ReasonCode::CommandNotFound), 1, false),
            (TrialStatus::Failed, None, 1, false),
            (TrialStatus::UserCanceled, why(ReasonCode::Canceled), 1, false),
            (TrialStatus::Succeeded, None, 1, false),
        ];
        for (status, why, attempts, again) in cases {
            assert_eq!(
                rules.again(status, why.as_ref(), attempts),
                again,
                "{status} {why:?} {attempts}"
            );
        }
    }
}
