//! Why a trial is not running, and why it ended: reasons that unblock and verdicts that name the culprit.

use crate::Timestamp;
use std::fmt;

/// Why a trial waits, is unknown, or ended the way it did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people: what is so.
    pub message: String,
    /// For people: what would change it.
    pub unblock: Option<String>,
    /// Since when it is so.
    pub since: Timestamp,
}

impl Reason {
    /// A reason without advice.
    pub fn new(code: ReasonCode, message: impl Into<String>, since: Timestamp) -> Self {
        Self {
            code,
            message: message.into(),
            unblock: None,
            since,
        }
    }
    /// Adds what would change it.
    #[must_use]
    pub fn unblocked_by(mut self, what: impl Into<String>) -> Self {
        self.unblock = Some(what.into());
        self
    }
}

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $verdict:expr,)*) => {
        /// Machine-readable reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub enum ReasonCode { $($(#[$doc])* $name,)* }
        impl ReasonCode {
            /// All codes, for documents and tests.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// Stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
            /// Who or what ended the trial, for codes of an end.
            pub const fn verdict(self) -> Option<Verdict> {
                match self { $(Self::$name => $verdict),* }
            }
        }
    };
}

/// Who or what ended a trial that did not succeed. The retry policy is per verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Verdict {
    /// The user's code: it exited with an error. Trying again gives the same.
    UserCode,
    /// Memory of the host or the GPU ran out.
    Memory,
    /// The platform: node lost, preempted, disk full, unreachable. Trying again may succeed.
    Platform,
    /// The configuration: command not found, image missing. The user edits something.
    Configuration,
    /// Somebody asked for it.
    Canceled,
}

reason_codes! {
    // Waiting.
    /// In the manager's or the platform's queue, next in line.
    Queued = None,
    /// Every fitting GPU is in use.
    GpuBusy = None,
    /// No machine of the experiment can ever hold the trial.
    NoMachine = None,
    /// The GPUs cannot be asked.
    GpuUnknown = None,
    /// A quota is used up.
    Quota = None,
    /// The container image cannot be pulled.
    ImagePull = None,
    /// The other side cannot be reached.
    Unreachable = None,
    /// The cluster does not know the kind of object.
    CrdMissing = None,
    /// The platform starts the job.
    Starting = None,
    /// The disk is full; the trial starts when there is room.
    DiskFull = None,
    // Ended.
    /// The command ended with a code other than 0.
    ExitCode = Some(Verdict::UserCode),
    /// The command was ended by a signal that nobody of us sent.
    Signal = Some(Verdict::UserCode),
    /// The shell does not find the command.
    CommandNotFound = Some(Verdict::Configuration),
    /// The command is there but cannot be executed.
    NotExecutable = Some(Verdict::Configuration),
    /// Host memory ran out.
    OutOfMemory = Some(Verdict::Memory),
    /// GPU memory ran out.
    GpuOutOfMemory = Some(Verdict::Memory),
    /// The job is gone and left no exit code: machine restarted, directory lost, killed from outside.
    Lost = Some(Verdict::Platform),
    /// The platform took the resources back.
    Preempted = Some(Verdict::Platform),
    /// The platform refused or could not start the job.
    StartFailed = Some(Verdict::Platform),
    /// The platform cannot do what the configuration asks for: no such image, no such volume, a name that it refuses.
    StartRefused = Some(Verdict::Configuration),
    /// Cancelled by the user or at the end of the experiment.
    Canceled = Some(Verdict::Canceled),
    /// Stopped early for poor results.
    EarlyStopped = Some(Verdict::Canceled),
    /// Stopped because `maxTrialDuration` is over.
    TimeLimit = Some(Verdict::Canceled),
    /// Processes of the trial survived the forced end; the message lists their pids.
    Leaked = Some(Verdict::Canceled),
}

impl ReasonCode {
    /// The code of this name, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.as_str() == text)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Verdict {
    /// Stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserCode => "userCode",
            Self::Memory => "memory",
            Self::Platform => "platform",
            Self::Configuration => "configuration",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Judges an end from exit code and the last lines of standard error.
///
/// Codes above 128 are signals as a shell reports them (128 + number); 126 and 127 are POSIX's for commands that cannot
/// be run. 137 is what the kernel's out-of-memory killer leaves; without a message of CUDA it counts as host memory.
pub fn judge(exit_code: i32, stderr_tail: &str, at: Timestamp) -> Option<Reason> {
    const GPU_MEMORY: [&str; 4] = [
        "CUDA out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY",
        "cudaErrorMemoryAllocation",
        "OutOfMemoryError: CUDA",
    ];
    if exit_code == 0 {
        return None;
    }
    if GPU_MEMORY.iter().any(|needle| stderr_tail.contains(needle)) {
        return Some(
            Reason::new(
                ReasonCode::GpuOutOfMemory,
                format!("GPU memory ran out (exit code {exit_code})"),
                at,
            )
            .unblocked_by("use a smaller batch or model, or lower `maxTrialNumPerGpu`"),
        );
    }
    let last = stderr_tail.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let said = last
        .map(|line| format!(": {}", line.chars().take(200).collect::<String>()))
        .unwrap_or_default();
    let reason = match exit_code {
        126 => Reason::new(
            ReasonCode::NotExecutable,
            format!("the command cannot be executed (exit code 126){said}"),
            at,
        )
        .unblocked_by("give the file its execute permission, or name the interpreter in the command"),
        127 => Reason::new(
            ReasonCode::CommandNotFound,
            format!("the command was not found (exit code 127){said}"),
            at,
        )
        .unblocked_by("check the command and `PATH` where the trial runs"),
        137 => Reason::new(
            ReasonCode::OutOfMemory,
            "killed by signal 9, most often because host memory ran out",
            at,
        )
        .unblocked_by("lower the trial's memory use or `trialConcurrency`"),
        code if (129..=192).contains(&code) => {
            Reason::new(ReasonCode::Signal, format!("killed by signal {}{said}", code - 128), at)
        }
        code if stderr_tail.contains("MemoryError") => Reason::new(
            ReasonCode::OutOfMemory,
            format!("host memory ran out (exit code {code}){said}"),
            at,
        )
        .unblocked_by("lower the trial's memory use or `trialConcurrency`"),
        code => Reason::new(
            ReasonCode::ExitCode,
            format!("the command ended with exit code {code}{said}"),
            at,
        ),
    };
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::parse(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
    }

    #[test]
    fn ends_are_judged() {
        let cases = [
            (1, "Traceback\nValueError: x\n", ReasonCode::ExitCode),
            (127, "sh: 1: nope: not found", ReasonCode::CommandNotFound),
            (126, "", ReasonCode::NotExecutable),
            (137, "", ReasonCode::OutOfMemory),
            (
                137,
                "RuntimeError: CUDA out of memory. Tried",
                ReasonCode::GpuOutOfMemory,
            ),
            (139, "", ReasonCode::Signal),
            (1, "MemoryError", ReasonCode::OutOfMemory),
            (255, "", ReasonCode::ExitCode),
        ];
        for (code, stderr, expected) in cases {
            let reason = judge(code, stderr, Timestamp(0)).expect("not a success");
            assert_eq!(reason.code, expected, "{code} {stderr}");
            assert!(reason.code.verdict().is_some());
        }
        assert_eq!(judge(0, "MemoryError", Timestamp(0)), None);
    }
}
