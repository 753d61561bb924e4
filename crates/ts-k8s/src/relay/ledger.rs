//! The mirror: what all pods of a trial have said, as files on this machine, and the ledger that makes it exactly once.
//!
//! A trial has one journal here, however many pods write one. Before anything is added, the ledger says what will be, so a
//! mirror that was left in the middle is put back to the last line of the ledger that is whole, and reading goes on from there.

use super::Mark;
use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use ts_core::{Error, ErrorKind, LogKind, Result, Retry, TrialId, follow::TrialDirs, launch::TrialPaths};

/// Name of the ledger in a trial's `.nni`.
const LEDGER: &str = "ledger";
/// What stands for a pod, and for the journal of logs that were read without one, in the ledger.
pub(crate) const VOLUME: &str = "volume";
/// Most bytes of journal and logs that are kept here. What of a log comes behind is left in the pod.
const LONGEST: Lens = [u64::MAX, 1 << 30, 1 << 30];

/// Who said something: a pod, and the journal that it writes. Several pods may write one, each after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Uid of the pod.
    pub(crate) pod: String,
    pub(crate) journal: String,
}

/// How far a pod was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the last line of its journal that is here, by whichever pod.
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

/// The rest of a trial's logs, which no pod has told.
#[derive(Debug)]
pub(crate) struct Logs {
    /// How many pods had been heard, and how much was here of standard output and standard error when they were read.
    pub(crate) behind: (usize, [u64; 2]),
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// The mirrored files of all trials of an experiment.
#[derive(Debug)]
pub(crate) struct Mirror {
    dirs: TrialDirs,
    trials: Mutex<HashMap<TrialId, Files>>,
}

#[derive(Debug, Default)]
struct Files {
    lens: Lens,
    /// How far the log of each pod was read.
    pods: HashMap<String, Mark>,
    /// Number of the last line of each journal.
    journals: HashMap<String, u64>,
}

/// Lengths of journal, standard output and standard error.
type Lens = [u64; 3];

impl Mirror {
    /// The mirror below this directory.
    pub(crate) fn new(work_dir: &Path) -> Self {
        Self {
            dirs: TrialDirs::new(work_dir.join("trials")),
            trials: Mutex::default(),
        }
    }

    /// Where the mirrored files are.
    pub(crate) fn dirs(&self) -> &TrialDirs {
        &self.dirs
    }

    pub(crate) fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.dirs.paths(trial)
    }

    /// Begins with what another mirror, which may grow meanwhile, has of a trial.
    pub(crate) fn copy(&self, theirs: &TrialPaths, trial: &TrialId) -> Result<()> {
        self.dirs.claim(trial)?;
        let ours = self.paths(trial);
        // The ledger first: files that are ahead of it are cut back.
        copy_file(&theirs.exchange().join(LEDGER), &ours.exchange().join(LEDGER))?;
        for (from, to) in paths_of(theirs).iter().zip(paths_of(&ours)) {
            copy_file(from, &to)?;
        }
        Ok(())
    }

    /// How far a pod was heard; the beginning if it never was.
    pub(crate) fn position(&self, trial: &TrialId, source: &Source) -> Result<Position> {
        self.with(trial, |files| {
            let mark = files.pods.get(&source.pod).cloned().unwrap_or_default();
            let n = files.journals.get(&source.journal).copied().unwrap_or_default();
            Position { n, mark }
        })
    }

    /// How many pods of a trial were heard, and how many bytes of its standard output and standard error are here.
    pub(crate) fn heard(&self, trial: &TrialId) -> Result<(usize, [u64; 2])> {
        self.with(trial, |files| (files.pods.len(), [files.lens[1], files.lens[2]]))
    }

    /// Uids of the pods of a trial that were heard.
    pub(crate) fn pods_heard(&self, trial: &TrialId) -> Result<Vec<String>> {
        self.with(trial, |files| files.pods.keys().cloned().collect())
    }

    /// Adds what a pod has said, and how far it is heard with that. All of it is here afterwards, or nothing counts.
    ///
    /// # Errors
    /// `Conflict` if the journal is not at `from` any more: another pod of it was heard meanwhile. `Io`.
    pub(crate) fn add(&self, trial: &TrialId, source: &Source, batch: &Batch, from: u64, to: Position) -> Result<()> {
        let mut trials = self.opened(trial)?;
        let files = trials.entry(trial.clone()).or_default();
        if files.journals.get(&source.journal).copied().unwrap_or_default() != from {
            return Err(
                Error::new(ErrorKind::Conflict, "the journal was read by another pod meanwhile")
                    .with_retry(Retry::NotApplied { after: None }),
            );
        }
        let paths = paths_of(&self.paths(trial));
        let pieces = [&batch.journal, &batch.stdout, &batch.stderr];
        let mut lens = files.lens;
        for (len, piece) in lens.iter_mut().zip(pieces) {
            *len += piece.len() as u64;
        }
        let ledger = self.paths(trial).exchange().join(LEDGER);
        let line = line_of(source, &to, lens);
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
        files.enter(source.clone(), to);
        Ok(())
    }

    /// Adds the rest of a trial's logs; `false` if something was added by a pod since they were read.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn add_logs(&self, trial: &TrialId, logs: Logs) -> Result<bool> {
        if self.heard(trial)? != logs.behind {
            return Ok(false);
        }
        let source = Source {
            pod: VOLUME.to_owned(),
            journal: VOLUME.to_owned(),
        };
        let batch = Batch {
            stdout: logs.stdout,
            stderr: logs.stderr,
            ..Batch::default()
        };
        self.add(trial, &source, &batch, 0, Position::default())?;
        Ok(true)
    }

    /// Forgets how far an ended trial is; its files stay.
    pub(crate) fn forget(&self, trial: &TrialId) {
        self.lock().remove(trial);
    }

    /// Removes everything of a trial; `false` if there was nothing.
    pub(crate) fn remove(&self, trial: &TrialId) -> Result<bool> {
        self.forget(trial);
        self.dirs.remove(trial)
    }

    fn with<T>(&self, trial: &TrialId, look: impl FnOnce(&Files) -> T) -> Result<T> {
        Ok(look(self.opened(trial)?.entry(trial.clone()).or_default()))
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

impl Files {
    fn enter(&mut self, source: Source, to: Position) {
        if to.mark != Mark::default() {
            self.pods.insert(source.pod, to.mark);
        }
        self.journals.insert(source.journal, to.n);
    }
}

/// Copies a file that may be absent.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    match fs::copy(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("copy", from, e)),
        _ => Ok(()),
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
        let Some((source, position, lens)) = parse(line) else {
            break;
        };
        let reached = (0..lens.len()).all(|i| lens[i] <= present[i] || present[i] >= LONGEST[i]);
        if !reached {
            break;
        }
        whole += line.len();
        files.lens = lens;
        files.enter(source, position);
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

fn line_of(source: &Source, at: &Position, lens: Lens) -> String {
    let Mark {
        time,
        count,
        within,
        open,
    } = &at.mark;
    let mut line = format!(
        "{} {} {} {} {count} ",
        source.pod,
        source.journal,
        at.n,
        if time.is_empty() { "-" } else { time }
    );
    let _ = match within {
        Some(within) => write!(line, "{within}"),
        None => write!(line, "-"),
    };
    let [stdout, stderr] = open.map(u8::from);
    let _ = writeln!(line, " {stdout} {stderr} {} {} {}", lens[0], lens[1], lens[2]);
    line
}

fn parse(line: &str) -> Option<(Source, Position, Lens)> {
    let mut fields = line.strip_suffix('\n')?.split(' ');
    let pod = fields.next()?.to_owned();
    let journal = fields.next()?.to_owned();
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
    let source = Source { pod, journal };
    fields.next().is_none().then_some((source, Position { n, mark }, lens))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> (tempfile::TempDir, Mirror, TrialId) {
        let dir = tempfile::tempdir().expect("a directory");
        let mirror = Mirror::new(dir.path());
        let trial = TrialId::new("a-1").expect("legal");
        mirror.dirs().claim(&trial).expect("room");
        (dir, mirror, trial)
    }

    fn batch(journal: &str, stdout: &str) -> Batch {
        Batch {
            journal: journal.into(),
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    fn of(pod: &str) -> Source {
        Source {
            pod: pod.to_owned(),
            journal: pod.to_owned(),
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
        mirror
            .add(&trial, &of("p"), &batch("a\n", "out"), 0, at(1))
            .expect("room");
        mirror.add(&trial, &of("q"), &batch("b\n", ""), 0, at(1)).expect("room");
        mirror.add(&trial, &of("p"), &batch("c\n", ""), 1, at(2)).expect("room");
        mirror.forget(&trial);
        assert_eq!(mirror.position(&trial, &of("p")).expect("readable"), at(2));
        assert_eq!(mirror.position(&trial, &of("q")).expect("readable"), at(1));
        assert_eq!(
            mirror.position(&trial, &of("r")).expect("readable"),
            Position::default()
        );
        assert_eq!(fs::read(mirror.paths(&trial).metrics()).expect("there"), b"a\nb\nc\n");
    }

    #[test]
    fn a_pod_goes_on_with_the_journal_of_another_one() {
        let (_dir, mirror, trial) = mirror();
        let of = |pod: &str| Source {
            pod: pod.to_owned(),
            journal: "-".to_owned(),
        };
        mirror
            .add(&trial, &of("p"), &batch("a\nb\n", ""), 0, at(2))
            .expect("room");
        mirror.forget(&trial);
        let late = mirror
            .add(&trial, &of("q"), &batch("b\n", ""), 1, at(2))
            .expect_err("it is here");
        assert_eq!(late.kind(), ErrorKind::Conflict);
        let position = mirror.position(&trial, &of("q")).expect("readable");
        assert_eq!((position.n, position.mark.time.as_str()), (2, ""));
        let rest = Position { n: 3, ..position };
        mirror
            .add(&trial, &of("volume"), &batch("c\n", ""), 2, rest)
            .expect("room");
        mirror.forget(&trial);
        assert_eq!(
            mirror.position(&trial, &of("p")).expect("readable"),
            Position { n: 3, ..at(2) }
        );
        assert_eq!(
            mirror.heard(&trial).expect("readable"),
            (1, [0, 0]),
            "a volume is no pod"
        );
    }

    #[test]
    fn logs_that_were_read_from_the_storage_count_only_if_no_pod_was_heard_meanwhile() {
        let (_dir, mirror, trial) = mirror();
        let logs = || Logs {
            behind: (0, [0, 0]),
            stdout: b"out".to_vec(),
            stderr: Vec::new(),
        };
        assert!(mirror.add_logs(&trial, logs()).expect("room"));
        assert!(!mirror.add_logs(&trial, logs()).expect("readable"), "they are here");
        mirror
            .add(&trial, &of("p"), &batch("", " and more"), 0, at(1))
            .expect("room");
        let behind = (1, [12, 0]);
        let fewer = Logs {
            behind: (0, [12, 0]),
            ..logs()
        };
        assert!(!mirror.add_logs(&trial, fewer).expect("readable"), "a pod was heard");
        assert!(mirror.add_logs(&trial, Logs { behind, ..logs() }).expect("room"));
        mirror.forget(&trial);
        let stdout = mirror.paths(&trial).log(LogKind::Stdout);
        assert_eq!(mirror.heard(&trial).expect("readable"), (1, [15, 0]));
        assert_eq!(fs::read(stdout).expect("there"), b"out and moreout");
    }

    #[test]
    fn a_copy_of_a_mirror_that_grows_is_whole_up_to_some_line_of_its_ledger() {
        let (_dir, mirror, trial) = mirror();
        mirror
            .add(&trial, &of("p"), &batch("first\n", "one"), 0, at(1))
            .expect("room");
        // What a copy finds while the second line is being added.
        mirror
            .add(&trial, &of("p"), &batch("second\n", "two"), 1, at(2))
            .expect("room");
        fs::write(mirror.paths(&trial).metrics(), "first\nsec").expect("room");
        let other = tempfile::tempdir().expect("a directory");
        let copy = Mirror::new(other.path());
        copy.copy(&mirror.paths(&trial), &trial).expect("room");
        assert_eq!(copy.position(&trial, &of("p")).expect("readable"), at(1));
        assert_eq!(
            fs::read(copy.paths(&trial).log(LogKind::Stdout)).expect("there"),
            b"one"
        );
        let nobody = TrialId::new("b").expect("legal");
        copy.copy(&mirror.paths(&nobody), &nobody).expect("nothing to copy");
        assert_eq!(copy.position(&nobody, &of("p")).expect("readable"), Position::default());
    }

    #[test]
    fn a_mirror_left_in_the_middle_is_put_back_wherever_that_was() {
        let (_dir, mirror, trial) = mirror();
        mirror
            .add(&trial, &of("p"), &batch("first\n", "one"), 0, at(1))
            .expect("room");
        mirror
            .add(&trial, &of("p"), &batch("second\n", "two"), 1, at(2))
            .expect("room");
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
                let n = mirror.position(&trial, &of("p")).expect("readable").n;
                let expected = if journal_len == 13 { 2 } else { 1 };
                assert_eq!(n, expected, "ledger {ledger_len}, journal {journal_len}");
                let journal = fs::read(paths.metrics()).expect("there");
                assert_eq!(journal.len(), if expected == 2 { 13 } else { 6 });
                if n == 1 {
                    mirror
                        .add(&trial, &of("p"), &batch("second\n", "two"), 1, at(2))
                        .expect("room");
                }
                assert_eq!(fs::read(paths.metrics()).expect("there"), b"first\nsecond\n");
                assert_eq!(fs::read(paths.log(LogKind::Stdout)).expect("there"), b"onetwo");
            }
        }
    }
}
