//! Failures of the operating system in our own words: one row per error number that has advice of its own.

use rustix::io::Errno;
use std::io;
use ts_core::{Error, ErrorKind, Retry};

/// The shell of a trial could not be started.
pub(crate) fn of_spawn(e: io::Error) -> Error {
    let again = Retry::NotApplied { after: None };
    let (kind, retry, help) = match Errno::from_io_error(&e) {
        Some(Errno::AGAIN | Errno::NOMEM) => (
            ErrorKind::NoCapacity,
            again,
            "the machine is out of processes or memory; lower `trialConcurrency` or raise `ulimit -u`",
        ),
        Some(Errno::MFILE | Errno::NFILE) => (
            ErrorKind::NoCapacity,
            again,
            "too many files are open; lower `trialConcurrency` or raise `ulimit -n`",
        ),
        Some(Errno::NOENT | Errno::ACCESS) => (
            ErrorKind::Config,
            Retry::Never,
            "trials need `/bin/sh`; install a POSIX shell",
        ),
        Some(Errno::TOOBIG) => (
            ErrorKind::Config,
            Retry::Never,
            "the environment is too large; remove variables",
        ),
        _ => (ErrorKind::Io, Retry::Never, "see the cause"),
    };
    Error::new(kind, "cannot start the shell of a trial")
        .with_retry(retry)
        .with_help(help)
        .with_source(e)
}

/// The kernel refused an epoll or inotify instance.
pub(crate) fn of_observer(e: io::Error) -> Error {
    let help = match Errno::from_io_error(&e) {
        Some(Errno::MFILE | Errno::NFILE) => "raise `fs.inotify.max_user_instances` (sysctl) or `ulimit -n`",
        Some(Errno::NOSYS) => "trials on this machine need Linux 5.3 or later",
        _ => "see the cause",
    };
    Error::new(
        ErrorKind::Io,
        "cannot have the kernel report ends of processes and changes of files",
    )
    .with_help(help)
    .with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_kind_and_advice() {
        let rows = [
            (Errno::AGAIN, ErrorKind::NoCapacity, "ulimit -u", true),
            (Errno::MFILE, ErrorKind::NoCapacity, "ulimit -n", true),
            (Errno::NOENT, ErrorKind::Config, "/bin/sh", false),
            (Errno::TOOBIG, ErrorKind::Config, "environment", false),
            (Errno::IO, ErrorKind::Io, "cause", false),
        ];
        for (errno, kind, advice, retryable) in rows {
            let error = of_spawn(errno.into());
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{errno}");
            assert!(error.help().is_some_and(|help| help.contains(advice)), "{errno}");
        }
        let refused = of_observer(Errno::MFILE.into());
        assert!(refused.help().is_some_and(|help| help.contains("max_user_instances")));
    }
}
