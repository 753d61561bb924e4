//! Names of the files in a trial's directory, and the text of the state file. Reading them belongs to the platforms.

use crate::{LogKind, Parameters, Timestamp};
use std::path::{Path, PathBuf};

/// Where the files of one trial are. Pure names: nothing is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialPaths {
    dir: PathBuf,
}

impl TrialPaths {
    /// Name of the launch script.
    pub const SCRIPT: &str = "run.sh";
    /// Folder of the files that the trial and we exchange.
    pub const EXCHANGE: &str = ".nni";
    /// Name of the journal in [`Self::EXCHANGE`].
    pub const METRICS: &str = "metrics";
    /// Name of the state file in [`Self::EXCHANGE`].
    pub const STATE: &str = "state";
    /// Name of the file with the script's process id in [`Self::EXCHANGE`].
    pub const JOB_PID: &str = "jobpid";
    /// Name of the file that records a request to cancel in [`Self::EXCHANGE`].
    pub const CANCEL: &str = "cancel";

    /// The trial of this directory, which is `NNI_SYS_DIR`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The folder `.nni`.
    pub fn exchange(&self) -> PathBuf {
        self.dir.join(Self::EXCHANGE)
    }
    /// The file of these parameters: `parameter.cfg` or `parameter_N.cfg`.
    pub fn parameters(&self, parameters: &Parameters) -> PathBuf {
        self.dir.join(parameters.file_name())
    }
    /// The launch script.
    pub fn script(&self) -> PathBuf {
        self.dir.join(Self::SCRIPT)
    }
    /// The journal.
    pub fn metrics(&self) -> PathBuf {
        self.exchange().join(Self::METRICS)
    }
    /// The state file, written once the command has ended.
    pub fn state(&self) -> PathBuf {
        self.exchange().join(Self::STATE)
    }
    /// The file with the process id of the script's shell, which leads the process group where the platform made one.
    pub fn job_pid(&self) -> PathBuf {
        self.exchange().join(Self::JOB_PID)
    }
    /// The file that records a request to cancel and its reason.
    pub fn cancel(&self) -> PathBuf {
        self.exchange().join(Self::CANCEL)
    }
    /// A log.
    pub fn log(&self, log: LogKind) -> PathBuf {
        self.dir.join(log.file_name())
    }
}

/// How a trial's command ended, as its state file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrialExit {
    /// Exit code; 128 + n for signal n.
    pub code: i32,
    /// When; `None` if the file leaves it to its own modification time.
    pub at: Option<Timestamp>,
}

/// Reads the text of a state file: `<exit code> <epoch milliseconds>` and a newline.
///
/// A text without its newline is still being written and gives `None`, as does anything else. 0 milliseconds stand for
/// the file's modification time.
///
/// Source of the form: nni v1.9 to v2.10, `localTrainingService.ts`, and with a sign `remoteMachineTrainingService.ts`.
pub fn parse_state(text: &str) -> Option<TrialExit> {
    let line = text.strip_suffix('\n')?;
    let mut fields = line.split_ascii_whitespace();
    let code = fields.next()?.parse().ok()?;
    let millis: i64 = fields.next()?.parse().ok()?;
    if fields.next().is_some() || millis < 0 || line.contains('\n') {
        return None;
    }
    let at = (millis != 0).then_some(Timestamp(millis));
    Some(TrialExit { code, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_only_when_complete() {
        let exit = |code, at: i64| {
            Some(TrialExit {
                code,
                at: (at != 0).then_some(Timestamp(at)),
            })
        };
        let cases = [
            ("0 1700000000123\n", exit(0, 1_700_000_000_123)),
            ("137 0\n", exit(137, 0)),
            ("-1 5\n", exit(-1, 5)),
            ("1\t 5\r\n", exit(1, 5)),
            ("0 1700000000123", None),
            ("0 17000", None),
            ("", None),
            ("\n", None),
            ("0\n", None),
            ("x 1\n", None),
            ("0 1 2\n", None),
            ("0\n5\n", None),
            ("0 -5\n", None),
            ("99999999999 5\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_state(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_are_those_that_nni_uses() {
        let paths = TrialPaths::new("/t");
        assert_eq!(paths.state(), Path::new("/t/.nni/state"));
        assert_eq!(paths.metrics(), Path::new("/t/.nni/metrics"));
        assert_eq!(paths.job_pid(), Path::new("/t/.nni/jobpid"));
        assert_eq!(paths.cancel(), Path::new("/t/.nni/cancel"));
        assert_eq!(paths.script(), Path::new("/t/run.sh"));
        assert_eq!(paths.parameters(&Parameters::new("{}")), Path::new("/t/parameter.cfg"));
        assert_eq!(paths.log(LogKind::Trial), Path::new("/t/trial.log"));
    }
}
