//! NNI's database as a file: opened so that nothing beside it changes, its rows as they are.

use super::database_in;
use rusqlite::{Connection, Error as Sql, ErrorCode, OpenFlags, Row};
use std::{
    io::Read,
    path::{Path, PathBuf},
};
use ts_core::{Error, ErrorKind, Result};

const MAGIC: &[u8] = b"SQLite format 3\0";
const TABLES: [&str; 3] = ["ExperimentProfile", "TrialJobEvent", "MetricData"];
/// Files that SQLite leaves beside a database whose writer was ended.
const COMPANIONS: [&str; 2] = ["-wal", "-journal"];

/// A row of `ExperimentProfile`.
#[derive(Debug)]
pub(super) struct ProfileRow {
    pub(super) params: String,
    pub(super) id: String,
    pub(super) exec_seconds: i64,
    pub(super) started: i64,
    pub(super) ended: Option<i64>,
}

/// A row of `TrialJobEvent`, in the order in which they were written.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) at: i64,
    pub(super) trial: String,
    pub(super) event: String,
    pub(super) data: Option<String>,
    pub(super) log_path: Option<String>,
    pub(super) sequence_id: Option<i64>,
    /// Since 2.1.
    pub(super) message: Option<String>,
}

/// A row of `MetricData`, in the order in which they were written.
#[derive(Debug)]
pub(super) struct MetricRow {
    pub(super) at: i64,
    pub(super) trial: String,
    pub(super) kind: String,
    pub(super) sequence: Option<i64>,
    pub(super) data: String,
    pub(super) parameter_id: Option<String>,
}

/// All rows that count.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) profile: Option<ProfileRow>,
    pub(super) events: Vec<EventRow>,
    pub(super) metrics: Vec<MetricRow>,
}

/// The open database.
pub(super) struct NniFile {
    db: Connection,
    path: PathBuf,
    copies: Vec<PathBuf>,
}

impl Drop for NniFile {
    fn drop(&mut self) {
        for copy in &self.copies {
            // A copy that stays is noticed by whoever made the directory.
            drop(std::fs::remove_file(copy));
        }
    }
}

impl NniFile {
    pub(super) fn open(folder: &Path, scratch: &Path) -> Result<Self> {
        let path = database_in(folder);
        check_header(folder, &path)?;
        let unfinished: Vec<PathBuf> = COMPANIONS
            .iter()
            .map(|suffix| beside(&path, suffix))
            .filter(|path| std::fs::metadata(path).is_ok_and(|m| m.len() > 0))
            .collect();
        let (db, copies) = if unfinished.is_empty() {
            (open(&immutable(&path), OpenFlags::SQLITE_OPEN_READ_ONLY), Vec::new())
        } else {
            // SQLite would finish what was begun, in the file.
            let copies = copy_all(&path, &unfinished, scratch)?;
            (
                open(&scratch.join("nni.sqlite"), OpenFlags::SQLITE_OPEN_READ_WRITE),
                copies,
            )
        };
        let db = db.map_err(|error| failed(&path, error))?;
        let file = Self { db, path, copies };
        file.check()?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn check(&self) -> Result<()> {
        let answer: rusqlite::Result<String> = self.db.query_row("PRAGMA quick_check(1)", (), |row| row.get(0));
        match answer {
            Ok(answer) if answer == "ok" => {}
            Ok(answer) => return Err(damaged(&self.path, &answer)),
            Err(error) => return Err(self.failed(error)),
        }
        for table in TABLES {
            let columns = self.columns(table).map_err(|error| self.failed(error))?;
            if columns.is_empty() {
                let message = format!(
                    "`{}` is a database of another program: it has no table `{table}`",
                    self.path.display()
                );
                return Err(Error::new(ErrorKind::Conflict, message)
                    .with_help("name the folder of an experiment of NNI 1.x to 3.x, such as `~/nni-experiments/ID`"));
            }
        }
        Ok(())
    }

    fn columns(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        let mut query = self.db.prepare("SELECT name FROM pragma_table_info(?1)")?;
        query.query_map((table,), |row| row.get(0))?.collect()
    }

    pub(super) fn failed(&self, error: Sql) -> Error {
        failed(&self.path, error)
    }

    pub(super) fn read(&self) -> rusqlite::Result<Rows> {
        let message = if self.columns("TrialJobEvent")?.iter().any(|name| name == "message") {
            "message"
        } else {
            "NULL"
        };
        Ok(Rows {
            profile: self
                .all(
                    "SELECT params, id, coalesce(execDuration, 0), coalesce(startTime, 0), endTime FROM ExperimentProfile
                     ORDER BY revision DESC, rowid DESC LIMIT 1",
                    |row| {
                        Ok(ProfileRow {
                            params: row.get(0)?,
                            id: row.get(1)?,
                            exec_seconds: row.get(2)?,
                            started: row.get(3)?,
                            ended: row.get(4)?,
                        })
                    },
                )?
                .pop(),
            events: self.all(
                &format!(
                    "SELECT timestamp, coalesce(trialJobId, ''), event, data, logPath, sequenceId, {message} FROM TrialJobEvent
                     ORDER BY rowid"
                ),
                |row| {
                    Ok(EventRow {
                        at: row.get::<_, Option<i64>>(0)?.unwrap_or_default(),
                        trial: row.get(1)?,
                        event: row.get(2)?,
                        data: row.get(3)?,
                        log_path: row.get(4)?,
                        sequence_id: row.get(5)?,
                        message: row.get(6)?,
                    })
                },
            )?,
            metrics: self.all(
                "SELECT timestamp, trialJobId, type, sequence, CAST(data AS TEXT), CAST(parameterId AS TEXT)
                 FROM MetricData ORDER BY rowid",
                |row| {
                    Ok(MetricRow {
                        at: row.get::<_, Option<i64>>(0)?.unwrap_or_default(),
                        trial: row.get(1)?,
                        kind: row.get(2)?,
                        sequence: row.get(3)?,
                        data: row.get(4)?,
                        parameter_id: row.get(5)?,
                    })
                },
            )?,
        })
    }

    fn all<T>(&self, sql: &str, map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Vec<T>> {
        let mut query = self.db.prepare(sql)?;
        query.query_map((), map)?.collect()
    }
}

fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(
        path,
        flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

fn copy_all(path: &Path, companions: &[PathBuf], scratch: &Path) -> Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    for (from, name) in std::iter::once((path, "nni.sqlite".to_owned())).chain(companions.iter().map(|path| {
        let suffix = if path.to_string_lossy().ends_with("-wal") {
            "-wal"
        } else {
            "-journal"
        };
        (path.as_path(), format!("nni.sqlite{suffix}"))
    })) {
        let to = scratch.join(name);
        std::fs::copy(from, &to).map_err(|e| Error::io("copy", from, e))?;
        copies.push(to);
    }
    copies.push(scratch.join("nni.sqlite-shm"));
    Ok(copies)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The file as a URI that promises SQLite that nobody changes it, so that it makes no file beside it.
fn immutable(path: &Path) -> PathBuf {
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    PathBuf::from(format!("file:{escaped}?mode=ro&immutable=1"))
}

fn check_header(folder: &Path, path: &Path) -> Result<()> {
    let mut header = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut header))
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                let message = format!(
                    "`{}` is no experiment folder of NNI: it has no `db/nni.sqlite`",
                    folder.display()
                );
                Error::new(ErrorKind::NotFound, message)
                    .with_help("name the folder with the experiment's id, such as `~/nni-experiments/ID`")
                    .with_source(e)
            }
            _ => Error::io("read", path, e),
        })?;
    if header != MAGIC {
        return Err(damaged(path, "it does not begin as a SQLite file"));
    }
    Ok(())
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("NNI's database `{}` is damaged: {what}", path.display()),
    )
    .with_help("it was left as it is; `sqlite3 nni.sqlite .recover` saves what can be read into a new file")
}

fn failed(path: &Path, error: Sql) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => Error::new(
            ErrorKind::Denied,
            format!("cannot read NNI's database `{}`: {error}", path.display()),
        )
        .with_help("check owner and mode of the file")
        .with_source(error),
        _ => damaged(path, &error.to_string()).with_source(error),
    }
}
