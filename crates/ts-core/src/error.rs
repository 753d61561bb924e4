//! The one error type of the workspace: what happened, which key, what to do, and whether to try again.
//!
//! Mapping platform answers to errors belongs to each platform's own `error.rs`; printing belongs to the command line.

use std::{error::Error as StdError, fmt, time::Duration};

/// Result with the workspace's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; decides exit codes and who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; the user edits a file.
    Config,
    /// The code directory cannot be scanned, packed or unpacked.
    CodeDir,
    /// Credentials are missing, wrong or expired.
    Auth,
    /// Credentials are right but do not allow this.
    Denied,
    /// The named thing does not exist.
    NotFound,
    /// The state of the thing forbids the action: it exists, is locked, or has ended.
    Conflict,
    /// The platform understood the request and refused it for good.
    Rejected,
    /// The platform has no room now.
    NoCapacity,
    /// The platform asked to slow down.
    RateLimited,
    /// The other side cannot be reached.
    Unreachable,
    /// The other side did not answer in time.
    TimedOut,
    /// The other side answered in a way our notes do not explain.
    Protocol,
    /// This platform cannot do it; the message carries the capability's reason.
    Unsupported,
    /// The local machine failed: disk full, permission, broken store.
    Io,
    /// A defect of ours.
    Internal,
}

/// Whether the request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Sending it again gives the same answer.
    Never,
    /// The other side never got it: send it again, not before `after` if given.
    NotApplied {
        /// Least time to wait, as the other side asked for.
        after: Option<Duration>,
    },
    /// It may have been applied: look first, by stamp, not before `after` if given.
    MaybeApplied {
        /// Least time to wait, as the other side asked for.
        after: Option<Duration>,
    },
}

/// An error: kind, retry advice, the operation, the message, and optionally key, help, context and source.
///
/// `Display` is the message alone: lowercase start, no final stop, values in backticks. The cause is [`StdError::source`].
/// Boxed, so that `Result<T>` stays one word wide.
pub struct Error(Box<ErrorInner>);

struct ErrorInner {
    kind: ErrorKind,
    retry: Retry,
    op: &'static str,
    message: String,
    key: Option<String>,
    help: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A final error of `kind` with a finished message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorInner {
            kind,
            retry: Retry::Never,
            op: "",
            message: message.into(),
            key: None,
            help: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// A capability refusal with the reason that [`crate::Support::No`] carries.
    pub fn unsupported(reason: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, reason)
    }

    /// A failed file operation: `what` was attempted on `path`.
    ///
    /// A full disk and a read-only file system get their own advice.
    pub fn io(what: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Io,
        };
        let error = Self::new(kind, format!("cannot {what} `{}`", path.display()));
        let error = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded => error
                .with_retry(Retry::NotApplied { after: None })
                .with_help("the disk is full; free space there and the work goes on"),
            Io::ReadOnlyFilesystem => error.with_help("the file system is read-only; choose another directory"),
            Io::PermissionDenied => error.with_help("check owner and mode of the path"),
            _ => error,
        };
        error.with_source(source)
    }

    /// An address of this machine at which nothing can listen.
    pub fn listen(address: std::net::SocketAddr, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, what, help) = match source.kind() {
            Io::AddrInUse => (
                ErrorKind::Conflict,
                "another program has the port",
                "name another port, or 0 for any that is free; one experiment has one port",
            ),
            Io::AddrNotAvailable => (
                ErrorKind::Config,
                "the address is none of this machine's",
                "name an address of this machine, or `0.0.0.0` for all of them",
            ),
            Io::PermissionDenied => (
                ErrorKind::Denied,
                "the system does not allow it",
                "name a port above 1023",
            ),
            _ => (ErrorKind::Io, "the system refuses it", "name another address or port"),
        };
        Self::new(kind, format!("cannot listen at `{address}`: {what}"))
            .with_source(source)
            .with_help(help)
    }

    /// Sets the retry advice; the default is [`Retry::Never`].
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Names the operation that failed, such as `submit`.
    #[must_use]
    pub fn with_op(mut self, op: &'static str) -> Self {
        self.0.op = op;
        self
    }

    /// Names the configuration key to look at, such as `trial.codeDir`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds a named value for logs. Never a secret.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// Whether the request may be sent again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
    /// The operation that failed, empty if not named.
    pub fn op(&self) -> &'static str {
        self.0.op
    }
    /// The message alone, as `Display` prints it.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// The configuration key to look at.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }
    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
    /// Named values for logs, in the order they were added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }
    /// Whether trying again (perhaps after looking first) can help.
    pub fn is_retryable(&self) -> bool {
        self.0.retry != Retry::Never
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut d = f.debug_struct("Error");
        d.field("kind", &inner.kind).field("message", &inner.message);
        if inner.retry != Retry::Never {
            d.field("retry", &inner.retry);
        }
        if !inner.op.is_empty() {
            d.field("op", &inner.op);
        }
        for (name, value) in [("key", &inner.key), ("help", &inner.help)] {
            if let Some(value) = value {
                d.field(name, value);
            }
        }
        for (name, value) in &inner.context {
            d.field(name, value);
        }
        if let Some(source) = &inner.source {
            d.field("source", source);
        }
        d.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_the_message_alone_and_the_cause_is_the_source() {
        let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Error::io("write", std::path::Path::new("/d/f"), cause).with_key("trial.codeDir");
        assert_eq!(error.to_string(), "cannot write `/d/f`");
        assert_eq!(error.key(), Some("trial.codeDir"));
        assert!(error.help().is_some_and(|h| h.contains("disk is full")));
        assert!(error.is_retryable());
        assert!(StdError::source(&error).is_some());
    }

    #[test]
    fn an_error_is_one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
