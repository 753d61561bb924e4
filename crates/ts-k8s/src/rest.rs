//! What trials have left on the storage: read through a pod where the pods of a trial, and their logs, are gone before all was heard.
//!
//! Exactly once with what the logs told: both go by the numbers of the journal's lines, which the mirror's ledger keeps.

use crate::{
    access::Cluster,
    core::{Core, News},
    exec,
    object::trial_dir,
    relay::{Batch, Exit, Logs, Mirror, Source, VOLUME, print},
    volume,
};
use std::{future, sync::Arc, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;
use ts_core::{Error, ErrorKind, LogKind, Result, RetryPolicy, TrialId, launch::parse_state};

/// Reads lines of a journal; see its head.
const JOURNAL: &str = include_str!("pod/journal.sh");
/// Names the parts of a trial that has several pods.
const PARTS: &str = r#"for ts_part in "$1"/*/.nni; do
  ts_part=${ts_part%/.nni}
  [ ! -d "$ts_part/.nni" ] || printf '%s\n' "${ts_part##*/}"
done"#;
/// Lines that are read at a time.
const LINES: u64 = 20_000;
/// Most bytes that are read of a log.
const MOST_LOG: u32 = 64 << 20;
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// What a trial has left on the storage. Lines of its journal are in the mirror already: their numbers tell repeats.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// How the command ended, if that is there.
    pub(crate) exit: Option<Exit>,
    pub(crate) logs: Option<Logs>,
}

/// A trial whose rest is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) trial: TrialId,
    /// Whether for the files of a service that only looks on.
    pub(crate) is_apart: bool,
    /// Number of the request.
    pub(crate) request: u64,
}

/// Lines of a journal.
pub(crate) struct Piece {
    /// Number of the line before the first one.
    pub(crate) before: u64,
    pub(crate) lines: Vec<u8>,
    /// How the command ended, if it has.
    exit: Option<Exit>,
}

/// Reads for whoever asks. Those who ask while a pod is there share it.
pub(crate) async fn serve(core: Arc<Core>, mut inbox: UnboundedReceiver<Wanted>) {
    while let Some(first) = inbox.recv().await {
        let mut wanted = vec![first];
        let (policy, mut failures) = (RetryPolicy::new(), 0);
        let began = core.ctx.clock.monotonic();
        while !wanted.is_empty() {
            let Err(error) = read_all(&core, &mut wanted, &mut inbox).await else {
                continue;
            };
            let elapsed = core.ctx.clock.monotonic().saturating_sub(began);
            // A pod that did not run here and now, for its image or a node, may a little later; nothing else has what is read by it.
            let may_run = error.kind() == ErrorKind::Rejected && elapsed < core.config.start_timeout;
            if !error.is_retryable() && !may_run {
                let of = wanted.remove(0);
                tracing::warn!(trial = %of.trial, %error, "what the trial left on the storage cannot be read; it stays there");
                core.tell(News::Rest(of, Left::default()));
                continue;
            }
            failures += 1;
            tracing::debug!(%error, "the storage cannot be read now");
            core.ctx.clock.sleep(policy.wait(failures, 0.0).min(LONGEST_WAIT)).await;
        }
    }
}

/// Reads what the wanted trials left, first come first served, until nobody wants any more or one fails.
async fn read_all(core: &Core, wanted: &mut Vec<Wanted>, inbox: &mut UnboundedReceiver<Wanted>) -> Result<()> {
    let ready = core.ready().await;
    let Some(storage) = &core.config.storage else {
        for of in wanted.drain(..) {
            core.tell(News::Rest(of, Left::default()));
        }
        return Ok(());
    };
    volume::with_pod(core, storage, &ready.cluster, future::ready(Ok(())), async |pod, ()| {
        loop {
            while let Ok(of) = inbox.try_recv() {
                wanted.push(of);
            }
            let Some(of) = wanted.first().cloned() else {
                return Ok(());
            };
            let left = read(core, &ready.cluster, pod, &of.trial).await?;
            wanted.remove(0);
            core.tell(News::Rest(of, left));
        }
    })
    .await
}

/// Brings the rest of a trial's journals into its mirror, and reads that of its logs.
async fn read(core: &Core, cluster: &Cluster, pod: &str, trial: &TrialId) -> Result<Left> {
    let Some(storage) = &core.config.storage else {
        return Ok(Left::default());
    };
    let mirror = core.mirror_of(trial);
    let dir = trial_dir(storage, &core.experiment, trial);
    let journals = match n_pods(core) {
        1 => vec![ONLY.to_owned()],
        _ => parts(core, cluster, pod, &dir).await?,
    };
    let behind = mirror.heard(trial)?;
    let (n_heard, here) = behind;
    // What several pods have printed cannot be told apart any more; of one, or of none, the rest is what is behind.
    let is_only = journals.first().is_some_and(|journal| journal == ONLY);
    let has_rest = match n_heard {
        0 => is_only || here == [0, 0],
        n => n == 1 && is_only,
    };
    let mut exit = None;
    let mut logs = has_rest.then(|| Logs {
        behind,
        stdout: Vec::new(),
        stderr: Vec::new(),
    });
    for journal in &journals {
        let home = match journal.as_str() {
            ONLY => dir.clone(),
            part => format!("{dir}/{part}"),
        };
        let at = Home {
            core,
            cluster,
            pod,
            trial,
            mirror: &mirror,
            dir: &home,
        };
        exit = at.journal(journal).await?;
        if let Some(logs) = &mut logs {
            let prefix = prefix_of(core, journal);
            for (log, offset, out) in [
                (LogKind::Stdout, here[0], &mut logs.stdout),
                (LogKind::Stderr, here[1], &mut logs.stderr),
            ] {
                print(out, &at.log(log, offset).await?, prefix.as_deref(), &mut true);
            }
        }
    }
    core.registry.tell(trial);
    Ok(Left {
        exit: exit.filter(|_| is_only),
        logs,
    })
}

/// The journal of a trial that has one pod.
const ONLY: &str = "-";

/// What the journal is called that the pod of this role and index writes; as `pod/trial.sh` has it.
pub(crate) fn journal_of(core: &Core, role: &str, index: &str) -> String {
    if n_pods(core) > 1 {
        format!("{role}-{index}")
    } else {
        ONLY.to_owned()
    }
}

/// What is put in front of the lines that the writer of this journal prints: nothing for the trial's first one, whose output reads
/// like that of a trial of one pod; else role and index.
pub(crate) fn prefix_of(core: &Core, journal: &str) -> Option<String> {
    let first = core.config.first_role().map(|role| format!("{}-0", role.name));
    (n_pods(core) > 1 && first.as_deref() != Some(journal)).then(|| format!("[{journal}] "))
}

/// All journals of a trial that has several pods. Which there are is known on the storage only: not every cluster numbers its pods.
async fn parts(core: &Core, cluster: &Cluster, pod: &str, dir: &str) -> Result<Vec<String>> {
    let command = ["/bin/sh", "-c", PARTS, "tsctl", dir];
    let done = exec::run(&*core.ctx.clock, cluster, pod, volume::CONTAINER, &command).await?;
    let said = done.into_stdout("list what the trial has left")?;
    let is_name = |name: &&str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().filter(is_name).map(str::to_owned).collect())
}

/// How many pods a trial has.
pub(crate) fn n_pods(core: &Core) -> usize {
    core.config.roles.iter().map(|role| role.replicas as usize).sum()
}

/// The directory of one pod's part of a trial.
struct Home<'a> {
    core: &'a Core,
    cluster: &'a Cluster,
    pod: &'a str,
    trial: &'a TrialId,
    mirror: &'a Mirror,
    dir: &'a str,
}

impl Home<'_> {
    async fn journal(&self, name: &str) -> Result<Option<Exit>> {
        let source = Source {
            pod: VOLUME.to_owned(),
            journal: name.to_owned(),
        };
        let dir = format!("{}/.nni", self.dir);
        loop {
            let mut position = self.mirror.position(self.trial, &source)?;
            let from = position.n;
            let container = (self.pod, volume::CONTAINER);
            let piece = journal(self.core, self.cluster, container, &dir, from + 1, from + LINES).await?;
            let Some(mut piece) = piece else { return Ok(None) };
            // A last line without its end is no record, and would come again.
            let end = piece
                .lines
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            piece.lines.truncate(end);
            let n_lines = piece.lines.split_inclusive(|byte| *byte == b'\n').count() as u64;
            if n_lines == 0 {
                return Ok(piece.exit);
            }
            position.n = from.max(piece.before) + n_lines;
            let batch = Batch {
                journal: piece.lines,
                ..Batch::default()
            };
            self.mirror.add(self.trial, &source, &batch, from, position)?;
        }
    }

    /// What is behind `offset` of a log.
    async fn log(&self, log: LogKind, offset: u64) -> Result<Vec<u8>> {
        let path = format!("{}/{}", self.dir, log.file_name());
        let script = format!(
            "[ ! -r \"$1\" ] || tail -c +{} -- \"$1\" | head -c {MOST_LOG}",
            offset + 1
        );
        let command = ["/bin/sh", "-c", &script, "tsctl", &path];
        let clock = &*self.core.ctx.clock;
        let done = exec::run(clock, self.cluster, self.pod, volume::CONTAINER, &command).await?;
        done.into_stdout("read a log")
    }
}

/// Lines `first` to `last` of the journal in `dir`, by a container that sees it; `None` if there is none.
pub(crate) async fn journal(
    core: &Core,
    cluster: &Cluster,
    (pod, container): (&str, &str),
    dir: &str,
    first: u64,
    last: u64,
) -> Result<Option<Piece>> {
    let (first, last) = (first.to_string(), last.to_string());
    let command = ["/bin/sh", "-c", JOURNAL, "tsctl", dir, &first, &last];
    let done = exec::run(&*core.ctx.clock, cluster, pod, container, &command).await?;
    let said = done.into_stdout("read the journal")?;
    if said.is_empty() {
        return Ok(None);
    }
    parse(&said).map(Some).ok_or_else(|| {
        let said = String::from_utf8_lossy(&said[..said.len().min(500)]).into_owned();
        Error::new(
            ErrorKind::Protocol,
            format!("the journal was answered with something else: {said}"),
        )
    })
}

fn parse(said: &[u8]) -> Option<Piece> {
    let end = said.iter().position(|byte| *byte == b'\n')? + 1;
    let head = std::str::from_utf8(&said[..end]).ok()?;
    let (before, state) = head.split_once(' ')?;
    let exit = parse_state(state).map(|exit| Exit {
        code: exit.code,
        at: exit.at.map_or(0, |at| at.0),
    });
    Some(Piece {
        before: before.parse().ok()?,
        lines: said[end..].to_vec(),
        exit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    /// What the script gives of lines `first` to `last`: the number before them, and them.
    fn lines(relayed: Option<&str>, metrics: &str, first: u64, last: u64) -> (u64, String) {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("metrics"), metrics).expect("room");
        if let Some(relayed) = relayed {
            fs::write(dir.path().join("relayed"), relayed).expect("room");
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", JOURNAL, "tsctl"]).arg(dir.path());
        let output = command.args([first.to_string(), last.to_string()]).output();
        let said = output.expect("a shell").stdout;
        let piece = parse(&said).expect("a first line");
        assert_eq!(piece.exit, None);
        (piece.before, String::from_utf8(piece.lines).expect("text"))
    }

    #[test]
    fn lines_have_the_numbers_that_the_relay_gives_them() {
        for (relayed, metrics, first, last, before, expected) in [
            (None, "a\nb\nc\n", 1, 9, 0, "a\nb\nc\n"),
            (Some("2 0\n"), "a\nb\nc\n", 3, 9, 2, "c\n"),
            (Some("2 0\n"), "a\nb\nc\n", 1, 2, 0, "a\nb\n"),
            (Some("3 0\n"), "a\nb\nc\n", 4, 9, 3, ""),
            (None, "", 1, 9, 0, ""),
            // Emptied behind line 5, and line 7 was said.
            (Some("7 5\n"), "f\ng\nh\n", 7, 9, 6, "g\nh\n"),
            (Some("7 5\n"), "f\ng\nh\n", 3, 9, 5, "f\ng\nh\n"),
            (Some("7 5\n"), "f\ng\nh\n", 2, 4, 5, ""),
            // Emptied, and nobody has seen that.
            (Some("7 0\n"), "h\n", 8, 9, 7, "h\n"),
        ] {
            let (n, text) = lines(relayed, metrics, first, last);
            assert_eq!(
                (n, text.as_str()),
                (before, expected),
                "{relayed:?} {metrics:?} {first}..{last}"
            );
        }
    }

    #[test]
    fn the_end_of_the_command_is_read_with_them_and_nothing_where_there_is_no_journal() {
        let dir = tempfile::tempdir().expect("a directory");
        let run = || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", JOURNAL, "tsctl"]).arg(dir.path()).args(["1", "9"]);
            command.output().expect("a shell").stdout
        };
        assert_eq!(run(), b"");
        fs::write(dir.path().join("metrics"), "a\n").expect("room");
        fs::write(dir.path().join("state"), "3 1700000000000\n").expect("room");
        let piece = parse(&run()).expect("a first line");
        let exit = Exit {
            code: 3,
            at: 1_700_000_000_000,
        };
        assert_eq!((piece.lines.as_slice(), piece.exit), (&b"a\n"[..], Some(exit)));
    }
}
