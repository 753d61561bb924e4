//! From errors of SQLite to the workspace's error: one table.

use rusqlite::{Error as Sql, ErrorCode as Code};
use std::path::Path;
use ts_core::{Error, ErrorKind, Retry};

const DAMAGED: &str = "the file was left as it is; keep a copy, then `sqlite3 FILE .recover` saves what can be read";

/// What went wrong while a change was stored.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite failed.
    Sql(Sql),
    /// The change contradicts the store.
    Refused(Error),
}

impl From<Sql> for Failure {
    fn from(error: Sql) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Whether time or the user may heal it, so that the changes should wait instead of fail.
pub(super) fn may_heal(error: &Sql) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            Code::DiskFull
                | Code::SystemIoFailure
                | Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::ReadOnly
                | Code::CannotOpen
                | Code::OutOfMemory
        )
    )
}

/// Whether it comes from the values of one call, so that other calls may go on.
pub(super) fn is_about_values(error: &Sql) -> bool {
    matches!(error, Sql::ToSqlConversionFailure(_))
        || matches!(
            error.sqlite_error_code(),
            Some(Code::ConstraintViolation | Code::TooBig | Code::TypeMismatch)
        )
}

/// A store whose content cannot be right.
pub(super) fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("the store `{}` is damaged: {what}", path.display()),
    )
    .with_help(DAMAGED)
}

/// `what` was attempted on the store at `path`.
pub(super) fn from_sql(what: &str, path: &Path, error: Sql) -> Error {
    let shown = path.display();
    let said = |kind| Error::new(kind, format!("cannot {what} the store `{shown}`: {error}"));
    let mapped = match (error.sqlite_error_code(), &error) {
        (Some(Code::DatabaseCorrupt | Code::NotADatabase), _)
        | (
            _,
            Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::InvalidColumnType(..)
            | Sql::Utf8Error(..)
            | Sql::QueryReturnedNoRows,
        ) => damaged(path, &error),
        // A table or column that is missing.
        (_, Sql::SqlInputError { msg, .. }) => damaged(path, msg),
        (Some(Code::DiskFull), _) => said(ErrorKind::Io)
            .with_retry(Retry::NotApplied { after: None })
            .with_help("the disk is full; free space there and the work goes on"),
        (Some(Code::SystemIoFailure), _) => said(ErrorKind::Io)
            .with_retry(Retry::NotApplied { after: None })
            .with_help("the disk or its network mount fails; `dmesg` may say why"),
        (Some(Code::DatabaseBusy | Code::DatabaseLocked), _) => said(ErrorKind::Conflict)
            .with_retry(Retry::NotApplied { after: None })
            .with_help("another process holds the file; end it, a database browser for example"),
        (Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied), _) => said(ErrorKind::Denied).with_help(
            "check owner and mode of the file and its directory: SQLite makes a `-wal` and a `-shm` file beside it",
        ),
        (Some(Code::Unknown), _) => damaged(path, &error),
        _ => said(ErrorKind::Internal),
    };
    mapped.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn sqlite(code: i32) -> Sql {
        Sql::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn every_result_code_has_its_kind_and_advice() {
        let cases = [
            (ffi::SQLITE_CORRUPT, ErrorKind::Io, ".recover", false),
            (ffi::SQLITE_NOTADB, ErrorKind::Io, ".recover", false),
            (ffi::SQLITE_ERROR, ErrorKind::Io, ".recover", false),
            (ffi::SQLITE_FULL, ErrorKind::Io, "free space", true),
            (ffi::SQLITE_IOERR_WRITE, ErrorKind::Io, "dmesg", true),
            (ffi::SQLITE_BUSY, ErrorKind::Conflict, "another process", true),
            (ffi::SQLITE_READONLY, ErrorKind::Denied, "-wal", true),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Denied, "-wal", true),
            (ffi::SQLITE_PERM, ErrorKind::Denied, "-wal", false),
        ];
        for (code, kind, advice, heals) in cases {
            let error = from_sql("write", Path::new("/d/experiment.db"), sqlite(code));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.help().is_some_and(|h| h.contains(advice)), "{code}: {error:?}");
            assert!(error.message().contains("`/d/experiment.db`"));
            assert_eq!(may_heal(&sqlite(code)), heals, "{code}");
        }
    }
}
