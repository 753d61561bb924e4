//! Exit codes: public, listed here and in `docs/exit-codes.md`, never given another meaning.
//!
//! What a code is chosen for an error is decided here too, by its kind.

use ts_core::{Error, ErrorKind};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Success = 0,
    /// A defect of ours, or an answer that nobody foresaw.
    Failure = 1,
    /// The command line or the configuration is wrong; nothing was started.
    Usage = 2,
    /// The code directory cannot be used.
    CodeDirectory = 3,
    /// The named experiment, trial or file does not exist.
    NotFound = 4,
    /// The state of the thing forbids it: another manager runs it, or it has ended.
    Conflict = 5,
    /// Credentials are missing or wrong, or do not allow this.
    Denied = 6,
    /// The platform cannot be reached, or is too busy to answer.
    Unreachable = 7,
    /// The platform refused for good, or cannot do it at all.
    Refused = 8,
    /// This machine failed: disk, permissions, a damaged store.
    Io = 9,
    /// The experiment ended with an error.
    ExperimentError = 10,
    /// The experiment ended, and none of its trials succeeded.
    NoTrialSucceeded = 11,
    /// The experiment was stopped before its end.
    Stopped = 12,
    /// A check found something bad.
    ChecksFailed = 13,
    /// Part of what was asked for could not be done.
    Partial = 14,
    /// Left by a second Ctrl-C; trials may still be ending.
    Interrupted = 130,
}

impl Exit {
    /// All codes with what they mean, for the manual.
    pub(crate) const ALL: [(Self, &str); 16] = [
        (Self::Success, "everything that was asked for is done"),
        (Self::Failure, "a defect of tsctl, or an answer that nobody foresaw"),
        (
            Self::Usage,
            "the command line or the configuration is wrong; nothing was started",
        ),
        (Self::CodeDirectory, "the code directory cannot be used"),
        (Self::NotFound, "the named experiment, trial or file does not exist"),
        (
            Self::Conflict,
            "the state forbids it: another manager runs the experiment, or it has ended",
        ),
        (
            Self::Denied,
            "credentials are missing or wrong, or permission is lacking",
        ),
        (
            Self::Unreachable,
            "the platform or the manager cannot be reached, or does not answer in time",
        ),
        (Self::Refused, "the platform refused for good, or cannot do it at all"),
        (Self::Io, "this machine failed: disk, file system, a damaged store"),
        (Self::ExperimentError, "the experiment ended with an error"),
        (
            Self::NoTrialSucceeded,
            "the experiment ended, and none of its trials succeeded",
        ),
        (Self::Stopped, "the experiment was stopped before its end"),
        (Self::ChecksFailed, "a check of `doctor` found something bad"),
        (Self::Partial, "part of what was asked for could not be done"),
        (Self::Interrupted, "left by a second Ctrl-C; trials may still be ending"),
    ];

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The code for an error.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Config => Self::Usage,
            ErrorKind::CodeDir => Self::CodeDirectory,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Auth | ErrorKind::Denied => Self::Denied,
            ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::RateLimited | ErrorKind::NoCapacity => {
                Self::Unreachable
            }
            ErrorKind::Rejected | ErrorKind::Unsupported | ErrorKind::Protocol => Self::Refused,
            ErrorKind::Io => Self::Io,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_the_page_lists_them_all() {
        let page = include_str!("../../../docs/exit-codes.md");
        for (at, (exit, meaning)) in Exit::ALL.iter().enumerate() {
            assert!(Exit::ALL[..at].iter().all(|(other, _)| other.code() != exit.code()));
            let row = format!("| {} | {meaning} |", exit.code());
            assert!(page.contains(&row), "docs/exit-codes.md lacks: {row}");
        }
        let rows = page
            .lines()
            .filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit());
        assert_eq!(rows.count(), Exit::ALL.len());
    }
}
