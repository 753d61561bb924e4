//! The file of a store: where it lies, how it is made, and the checks before anything touches it.

use super::{
    NewExperiment,
    error::{damaged, from_sql},
    schema,
};
use rusqlite::{Connection, OpenFlags, params};
use std::{
    fs::{File, OpenOptions},
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};
use ts_core::{Error, ErrorKind, Result};

/// Name of the file in the experiment's directory.
pub const FILE_NAME: &str = "experiment.db";

/// The store of the experiment whose directory this is.
pub fn file_in(experiment_directory: &Path) -> PathBuf {
    experiment_directory.join(FILE_NAME)
}

/// Length of the header of a SQLite file. Source: <https://www.sqlite.org/fileformat2.html>, section 1.3.
const HEADER_LEN: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const USER_VERSION_AT: usize = 60;
const APPLICATION_ID_AT: usize = 68;

/// Pages in the log before they go into the file: 16 MiB, so that a page that changes often is copied seldom.
const LOG_PAGES: i64 = 4_096;
/// Length in bytes that the log is cut to once it is in the file.
const LOG_LEN: i64 = 16 << 20;

/// How long one statement waits for another process before it reports that the file is held.
const BUSY: Duration = Duration::from_millis(500);

/// Makes the file with its tables and the experiment.
pub(super) fn create(path: &Path, new: &NewExperiment) -> Result<Connection> {
    reserve(path)?;
    let failed = |e| from_sql("create", path, e);
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    schema::migrate(&mut db, path, schema::MIGRATIONS)?;
    let config = new.config.to_string();
    db.execute(
        "INSERT INTO experiment (only, id, created_ms, config_text, config_json, status, concurrency, max_trials,
             max_duration_ms) VALUES (1, ?1, ?2, ?3, ?4, 'INITIALIZED', ?5, ?6, ?7)",
        params![
            new.id.as_str(),
            new.created.0,
            new.config_text,
            config,
            new.limits.concurrency,
            new.limits.max_trials,
            new.limits.max_duration_ms
        ],
    )
    .map_err(failed)?;
    Ok(db)
}

/// Makes the empty file, readable by its owner only because configurations may hold secrets; SQLite gives the files
/// beside it the same mode.
fn reserve(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(|e| Error::io("create", path, e))?;
    let length = file.metadata().map_err(|e| Error::io("look at", path, e))?.len();
    if length > 0 {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("there is a store already: `{}`", path.display()),
        )
        .with_help("resume that experiment, or give the new one another id"));
    }
    Ok(())
}

/// Opens an existing file for writing, after checks that leave it untouched, and migrates it.
///
/// Checking reads the whole file: about 20 ms for 100,000 metrics.
pub(super) fn open(path: &Path) -> Result<Connection> {
    drop(open_read_only(path, true)?);
    let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| from_sql("open for writing", path, e))?;
    schema::migrate(&mut db, path, schema::MIGRATIONS)?;
    Ok(db)
}

/// Opens an existing file for reading only; with `thorough`, all its pages are checked.
///
/// A store on a file system that takes no writes, with no write-ahead log beside it, is read as the unchanging file it is.
pub(super) fn open_read_only(path: &Path, thorough: bool) -> Result<Connection> {
    check_header(path)?;
    let failed = |e| from_sql("read", path, e);
    let checked = |db: Connection| probe(&db, thorough).map(|found| (db, found));
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let (db, found) = match connect(path, read_only).and_then(checked) {
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) && !has_log(path) => {
            connect(&immutable(path), read_only | OpenFlags::SQLITE_OPEN_URI).and_then(checked)
        }
        other => other,
    }
    .map_err(failed)?;
    match found {
        Found::Store => Ok(db),
        Found::Newer(version) => Err(too_new(path, version)),
        // The writer migrates it; a reader cannot.
        Found::Older if thorough => Ok(db),
        Found::Older => Err(Error::new(
            ErrorKind::Conflict,
            format!("an earlier release wrote the store `{}`", path.display()),
        )
        .with_help("resume the experiment once, which brings it to this version")),
        Found::Unfinished => Err(damaged(path, "creating the experiment was interrupted")),
        Found::Damage(what) => Err(damaged(path, what)),
    }
}

/// What a file with a good header turned out to be.
enum Found {
    Store,
    Older,
    Newer(usize),
    Unfinished,
    Damage(String),
}

/// Reads something, which opens the files beside the store, and with `thorough` looks at every page.
fn probe(db: &Connection, thorough: bool) -> rusqlite::Result<Found> {
    let version: usize = db.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if version > schema::version() {
        return Ok(Found::Newer(version));
    }
    if version == 0 {
        return Ok(Found::Unfinished);
    }
    if thorough {
        let answer: String = db.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
        if answer != "ok" {
            return Ok(Found::Damage(answer));
        }
    }
    let n_experiments: u32 = db.query_row("SELECT count(*) FROM experiment", (), |row| row.get(0))?;
    Ok(match n_experiments {
        0 => Found::Unfinished,
        _ if version < schema::version() => Found::Older,
        _ => Found::Store,
    })
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(PathBuf::from(log)).is_ok_and(|m| m.len() > 0)
}

/// The file as a URI that promises SQLite that nobody changes it.
fn immutable(path: &Path) -> PathBuf {
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    PathBuf::from(format!("file:{escaped}?immutable=1"))
}

/// Looks at the header without SQLite, because SQLite may write while it opens: is it a store, ours, and not too new?
fn check_header(path: &Path) -> Result<()> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    File::open(path)
        .and_then(|file| file.take(HEADER_LEN as u64).read_to_end(&mut header))
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, format!("there is no store `{}`", path.display()))
                    .with_help("check the experiment's id; `tsctl ls` lists those on this machine")
                    .with_source(e)
            }
            _ => Error::io("read", path, e),
        })?;
    if header.is_empty() {
        return Err(damaged(path, "it is empty; creating the experiment was interrupted"));
    }
    if header.len() < HEADER_LEN || !header.starts_with(MAGIC) {
        return Err(damaged(path, "it does not begin as a SQLite file"));
    }
    let number = |at: usize| i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (id, version) = (number(APPLICATION_ID_AT), number(USER_VERSION_AT));
    let newest = schema::version();
    match (id, usize::try_from(version)) {
        // Both are 0 until the first checkpoint brings them from the log into the file.
        (0, Ok(0)) => Ok(()),
        (schema::APPLICATION_ID, Ok(v)) if v <= newest => Ok(()),
        (schema::APPLICATION_ID, Ok(v)) => Err(too_new(path, v)),
        _ => Err(Error::new(
            ErrorKind::Conflict,
            format!("`{}` is a database of another program", path.display()),
        )
        .with_help("move it away, or choose another directory for the experiment")),
    }
}

fn too_new(path: &Path, version: usize) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "the store `{}` has version {version}, and this program knows versions up to {}",
            path.display(),
            schema::version()
        ),
    )
    .with_help("a newer release wrote it; use that release or a later one")
}

/// Bytes of the file that readers see in the system's own cache: lists look up a row here and there for each trial.
const MAPPED: i64 = 1 << 30;

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(48);
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update_and_check(None, "journal_size_limit", LOG_LEN, |_| Ok(()))?;
        db.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    }
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        db.pragma_update_and_check(None, "mmap_size", MAPPED, |_| Ok(()))?;
    }
    db.pragma_update(None, "cache_size", -2000)?; // KiB, when negative
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}
