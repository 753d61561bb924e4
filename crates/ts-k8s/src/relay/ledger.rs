//! The mirror: what all pods of a trial have said, as files on this machine, and the ledger that makes it exactly once.
//!
//! A trial has one journal here, however many pods write one. Before anything is added, the ledger says what will be, so a
//! mirror that was left in the middle is put back to the last line of the ledger that is whole, and reading goes on from there.

use super::Mark;
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use ts_core::{Error, LogKind, Result, TrialId, launch::TrialPaths};

/// Name of the ledger in a trial's `.nni`.
const LEDGER: &str = "ledger";
/// Most bytes of journal and logs that are kept here. What of a log comes behind is left in the pod.
const LONGEST: Lens = [u64::MAX, 1 << 30, 1 << 30];

/// How far a pod was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the last line of its journal that is here.
    pub(crate) n: u64,
    /// How far its log was read.
    pub(crate) mark: Mark,
}

/// What is added at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) journal: Vec<u8>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// The mirrored files of all trials of an experiment.
#[derive(Debug)]
pub(crate) struct Mirror {
    dir: PathBuf,
    trials: Mutex<HashMap<TrialId, Files>>,
}

#[derive(Debug, Default)]
struct Files {
    lens: Lens,
    pods: HashMap<String, Position>,
}

/// Lengths of journal, standard output and standard error.
type Lens = [u64; 3];

impl Mirror {
    /// The mirror below this directory.
    pub(crate) fn new(work_dir: &Path) -> Self {
        Self {
            dir: work_dir.join("trials"),
            trials: Mutex::default(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.dir.join(trial.as_str()))
    }

    /// Makes the trial's place; `false` if it was there.
    pub(crate) fn claim(&self, trial: &TrialId) -> Result<bool> {
        let exchange = self.paths(trial).exchange();
        if exchange.is_dir() {
            return Ok(false);
        }
        fs::create_dir_all(&exchange)
            .map(|()| true)
            .map_err(|e| Error::io("make the trial's directory", &exchange, e))
    }

    /// How far a pod was heard; the beginning if it never was.
    pub(crate) fn position(&self, trial: &TrialId, pod: &str) -> Result<Position> {
        let mut trials = self.opened(trial)?;
        Ok(trials
            .entry(trial.clone())
            .or_default()
            .pods
            .get(pod)
            .cloned()
            .unwrap_or_default())
    }

    /// Adds what a pod has said, and how far it is heard with that. All of it is here afterwards, or nothing counts.
    pub(crate) fn add(&self, trial: &TrialId, pod: &str, batch: &Batch, to: Position) -> Result<()> {
        let mut trials = self.opened(trial)?;
        let files = trials.entry(trial.clone()).or_default();
        let paths = paths_of(&self.paths(trial));
        let pieces = [&batch.journal, &batch.stdout, &batch.stderr];
        let mut lens = files.lens;
        for (len, piece) in lens.iter_mut().zip(pieces) {
            *len += piece.len() as u64;
        }
        let ledger = self.paths(trial).exchange().join(LEDGER);
        let line = line_of(pod, &to, lens);
        let added = append(&ledger, line.as_bytes()).and_then(|()| {
            for ((path, piece), longest) in paths.iter().zip(pieces).zip(LONGEST) {
                let present = fs::metadata(path).map_or(0, |meta| meta.len());
                if !piece.is_empty() && present < longest {
                    append(path, piece)?;
                }
            }
            Ok(())
        });
        if let Err(error) = added {
            // Part of it may be there; it is put back when the trial is looked at next.
            trials.remove(trial);
            return Err(error);
        }
        files.lens = lens;
        files.pods.insert(pod.to_owned(), to);
        Ok(())
    }

    /// Forgets how far an ended trial is; its files stay.
    pub(crate) fn forget(&self, trial: &TrialId) {
        self.lock().remove(trial);
    }

    /// Removes everything of a trial; `false` if there was nothing.
    pub(crate) fn remove(&self, trial: &TrialId) -> Result<bool> {
        self.forget(trial);
        let dir = self.paths(trial).dir().to_owned();
        match fs::remove_dir_all(&dir) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("remove", &dir, e)),
        }
    }

    /// Trials that have a place here.
    pub(crate) fn trials(&self) -> Result<HashSet<TrialId>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            Err(e) => return Err(Error::io("list", &self.dir, e)),
        };
        let mut found = HashSet::new();
        for entry in entries {
            let name = entry.map_err(|e| Error::io("list", &self.dir, e))?.file_name();
            found.extend(name.to_str().and_then(|name| TrialId::new(name).ok()));
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TrialId, Files>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, trial: &TrialId) -> Result<MutexGuard<'_, HashMap<TrialId, Files>>> {
        let mut trials = self.lock();
        if !trials.contains_key(trial) {
            trials.insert(trial.clone(), load(&self.paths(trial))?);
        }
        Ok(trials)
    }
}

fn paths_of(paths: &TrialPaths) -> [PathBuf; 3] {
    [paths.metrics(), paths.log(LogKind::Stdout), paths.log(LogKind::Stderr)]
}

fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.map_err(|e| Error::io("open", path, e))?;
    file.write_all(bytes).map_err(|e| Error::io("write", path, e))
}

/// Reads the ledger, and puts ledger and files back to its last line that the files reach.
fn load(paths: &TrialPaths) -> Result<Files> {
    let ledger = paths.exchange().join(LEDGER);
    let text = match fs::read_to_string(&ledger) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::io("read", &ledger, e)),
    };
    let all = paths_of(paths);
    let present = all.clone().map(|path| fs::metadata(path).map_or(0, |meta| meta.len()));
    let mut files = Files::default();
    let mut whole = 0;
    for line in text.split_inclusive('\n') {
        let Some((pod, position, lens)) = parse(line) else {
            break;
        };
        let reached = (0..lens.len()).all(|i| lens[i] <= present[i] || present[i] >= LONGEST[i]);
        if !reached {
            break;
        }
        whole += line.len();
        files.lens = lens;
        files.pods.insert(pod, position);
    }
    cut(&ledger, text.len() as u64, whole as u64)?;
    for ((path, present), len) in all.iter().zip(present).zip(files.lens) {
        cut(path, present, len)?;
    }
    Ok(files)
}

fn cut(path: &Path, present: u64, to: u64) -> Result<()> {
    if present <= to {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path);
    let cut = file.and_then(|file: File| file.set_len(to));
    cut.map_err(|e| Error::io("cut back", path, e))
}

fn line_of(pod: &str, at: &Position, lens: Lens) -> String {
    let Mark {
        time,
        count,
        within,
        open,
    } = &at.mark;
    let mut line = format!("{pod} {} {} {count} ", at.n, if time.is_empty() { "-" } else { time });
    let _ = match within {
        Some(within) => write!(line, "{within}"),
        None => write!(line, "-"),
    };
    let [stdout, stderr] = open.map(u8::from);
    let _ = writeln!(line, " {stdout} {stderr} {} {} {}", lens[0], lens[1], lens[2]);
    line
}

fn parse(line: &str) -> Option<(String, Position, Lens)> {
    let mut fields = line.strip_suffix('\n')?.split(' ');
    let pod = fields.next()?.to_owned();
    let n = fields.next()?.parse().ok()?;
    let given = |field: &str| (field != "-").then(|| field.to_owned());
    let mark = Mark {
        time: given(fields.next()?).unwrap_or_default(),
        count: fields.next()?.parse().ok()?,
        within: match given(fields.next()?) {
            Some(within) => Some(within.parse().ok()?),
            None => None,
        },
        open: [fields.next()? == "1", fields.next()? == "1"],
    };
    let mut lens = Lens::default();
    for len in &mut lens {
        *len = fields.next()?.parse().ok()?;
    }
    fields.next().is_none().then_some((pod, Position { n, mark }, lens))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> (tempfile::TempDir, Mirror, TrialId) {
        let dir = tempfile::tempdir().expect("a directory");
        let mirror = Mirror::new(dir.path());
        let trial = TrialId::new("a-1").expect("legal");
        assert!(mirror.claim(&trial).expect("room"));
        assert!(!mirror.claim(&trial).expect("room"), "claimed twice");
        (dir, mirror, trial)
    }

    fn batch(journal: &str, stdout: &str) -> Batch {
        Batch {
            journal: journal.into(),
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    fn at(n: u64) -> Position {
        Position {
            n,
            mark: Mark {
                time: format!("2026-01-01T00:00:0{n}Z"),
                count: 1,
                within: (n > 1).then_some(n),
                open: [n > 1, false],
            },
        }
    }

    #[test]
    fn two_pods_share_a_journal_and_each_has_its_position() {
        let (_dir, mirror, trial) = mirror();
        mirror.add(&trial, "p", &batch("a\n", "out"), at(1)).expect("room");
        mirror.add(&trial, "q", &batch("b\n", ""), at(1)).expect("room");
        mirror.add(&trial, "p", &batch("c\n", ""), at(2)).expect("room");
        mirror.forget(&trial);
        assert_eq!(mirror.position(&trial, "p").expect("readable"), at(2));
        assert_eq!(mirror.position(&trial, "q").expect("readable"), at(1));
        assert_eq!(mirror.position(&trial, "r").expect("readable"), Position::default());
        assert_eq!(fs::read(mirror.paths(&trial).metrics()).expect("there"), b"a\nb\nc\n");
    }

    #[test]
    fn a_mirror_left_in_the_middle_is_put_back_wherever_that_was() {
        let (_dir, mirror, trial) = mirror();
        mirror.add(&trial, "p", &batch("first\n", "one"), at(1)).expect("room");
        mirror.add(&trial, "p", &batch("second\n", "two"), at(2)).expect("room");
        let paths = mirror.paths(&trial);
        let ledger = paths.exchange().join(LEDGER);
        let whole = fs::read(&ledger).expect("there");
        // What a crash leaves: any part of the last line of the ledger, then any part of the files.
        let first_line = whole.iter().position(|b| *b == b'\n').expect("two lines") + 1;
        for ledger_len in first_line..=whole.len() {
            for journal_len in 6..=13 {
                if ledger_len < whole.len() && journal_len > 6 {
                    continue; // the ledger goes first
                }
                fs::write(&ledger, &whole[..ledger_len]).expect("room");
                fs::write(paths.metrics(), &b"first\nsecond\n"[..journal_len]).expect("room");
                fs::write(
                    paths.log(LogKind::Stdout),
                    if journal_len < 13 { "one" } else { "onetwo" },
                )
                .expect("room");
                mirror.forget(&trial);
                let n = mirror.position(&trial, "p").expect("readable").n;
                let expected = if journal_len == 13 { 2 } else { 1 };
                assert_eq!(n, expected, "ledger {ledger_len}, journal {journal_len}");
                let journal = fs::read(paths.metrics()).expect("there");
                assert_eq!(journal.len(), if expected == 2 { 13 } else { 6 });
                if n == 1 {
                    mirror.add(&trial, "p", &batch("second\n", "two"), at(2)).expect("room");
                }
                assert_eq!(fs::read(paths.metrics()).expect("there"), b"first\nsecond\n");
                assert_eq!(fs::read(paths.log(LogKind::Stdout)).expect("there"), b"onetwo");
            }
        }
    }
}
