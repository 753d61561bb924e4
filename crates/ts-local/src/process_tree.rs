//! Which processes belong to which trial, read from `/proc` in one pass for any number of trials.
//!
//! A process belongs to a trial if its environment carries the trial's stamp, if it is in the process group or session of
//! the trial's shell, or if it descends from one that does. Signals go through a pidfd, so that a process that took over a
//! freed pid is never hit. Deciding when to signal is `cancel`'s business, not this module's.

use rustix::{
    fd::OwnedFd,
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
    time::{ClockId, clock_gettime},
};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Variables that every process of a trial inherits, by which it is found again.
pub(crate) const STAMP_EXPERIMENT: &str = "NNI_EXP_ID";
pub(crate) const STAMP_TRIAL: &str = "NNI_TRIAL_JOB_ID";
pub(crate) const STAMP_DIRECTORY: &str = "NNI_SYS_DIR";

/// Identity of a process: a pid alone is reused, together with its start time it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId {
    pub(crate) pid: Pid,
    /// Clock ticks after boot.
    pub(crate) start: u64,
}

/// One live process as `/proc` shows it; zombies are not live.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    parent: i32,
    group: i32,
    session: i32,
    /// `NNI_SYS_DIR` of its environment, if a trial's stamp is complete there.
    pub(crate) trial_dir: Option<PathBuf>,
}

impl Process {
    /// Whether it leads its process group, as the shell of a trial does.
    pub(crate) fn leads_group(&self) -> bool {
        self.group == self.id.pid.as_raw_nonzero().get()
    }
}

/// What to look for: the trial's directory (its stamp), and the process group of its shell while that is known to be its.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) dir: PathBuf,
    pub(crate) group: Option<Pid>,
}

/// How long ago a process was started; `None` if the clock of the machine does not tell.
pub(crate) fn age(process: ProcessId) -> Option<Duration> {
    let since_boot = Duration::try_from(clock_gettime(ClockId::Boottime)).ok()?;
    let millis = process.start.checked_mul(1000)? / rustix::param::clock_ticks_per_second();
    Some(since_boot.saturating_sub(Duration::from_millis(millis)))
}

/// Every live process that we may look into, but ourselves. Costs about 20 µs a process.
pub(crate) fn snapshot() -> io::Result<Vec<Process>> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let mut found = Vec::new();
    let mut buffer = Vec::with_capacity(8192);
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        if pid == me {
            continue;
        }
        if let Some(process) = inspect(pid, &mut buffer) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Looks at one process; `None` if it is gone, a zombie or a thread of the kernel.
pub(crate) fn inspect(pid: i32, buffer: &mut Vec<u8>) -> Option<Process> {
    read_into(&format!("/proc/{pid}/stat"), buffer).ok()?;
    let stat = parse_stat(buffer)?;
    if matches!(stat.state, b'Z' | b'X') || (stat.group == 0 && stat.session == 0) {
        return None;
    }
    // Processes of other users keep their environment to themselves; they are no trials of ours.
    let trial_dir = read_into(&format!("/proc/{pid}/environ"), buffer)
        .ok()
        .and_then(|()| stamp_of(buffer));
    Some(Process {
        id: ProcessId {
            pid: Pid::from_raw(pid)?,
            start: stat.start,
        },
        parent: stat.parent,
        group: stat.group,
        session: stat.session,
        trial_dir,
    })
}

/// Whether a process is just becoming another program, which shows in that its environment is empty; for one whose environment never
/// is.
///
/// Source: Linux, `environ_read` in `fs/proc/base.c`, which finds nothing before `mm->env_end` is set, and `load_elf_binary` in
/// `fs/binfmt_elf.c`, which sets it after `begin_new_exec` has let go whoever waits for a `vfork`.
pub(crate) fn is_becoming(pid: Pid) -> bool {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}"));
    let is_live = |stat: &[u8]| parse_stat(stat).is_some_and(|stat| !matches!(stat.state, b'Z' | b'X'));
    // In this order: one that ended in between had an environment, or is seen to have ended the next time.
    read("environ").is_ok_and(|environment| environment.is_empty()) && read("stat").is_ok_and(|stat| is_live(&stat))
}

/// For each wanted trial the live processes that belong to it.
pub(crate) fn members(processes: &[Process], wanted: &[Wanted]) -> Vec<Vec<ProcessId>> {
    let by_dir: HashMap<&Path, usize> = wanted.iter().enumerate().map(|(i, w)| (w.dir.as_path(), i)).collect();
    let by_group: HashMap<i32, usize> = wanted
        .iter()
        .enumerate()
        .filter_map(|(i, w)| Some((w.group?.as_raw_nonzero().get(), i)))
        .collect();
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (at, process) in processes.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let mut owner: Vec<Option<usize>> = vec![None; processes.len()];
    let mut open: Vec<usize> = Vec::new();
    for (at, process) in processes.iter().enumerate() {
        owner[at] = match &process.trial_dir {
            Some(dir) => by_dir.get(dir.as_path()).copied(),
            None => by_group
                .get(&process.group)
                .or_else(|| by_group.get(&process.session))
                .copied(),
        };
        if owner[at].is_some() {
            open.push(at);
        }
    }
    while let Some(at) = open.pop() {
        for &child in children
            .get(&processes[at].id.pid.as_raw_nonzero().get())
            .into_iter()
            .flatten()
        {
            // A stamp of another trial wins over descent: a trial may start another experiment.
            if owner[child].is_none() && processes[child].trial_dir.is_none() {
                owner[child] = owner[at];
                open.push(child);
            }
        }
    }
    let mut result = vec![Vec::new(); wanted.len()];
    for (process, owner) in processes.iter().zip(owner) {
        if let Some(owner) = owner {
            result[owner].push(process.id);
        }
    }
    result
}

/// A handle on exactly this process, or `None` if it is gone.
pub(crate) fn open(process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let fd = match pidfd_open(process.pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // The handle was made after the look; only now does a second look tell that it is the same process.
    let same = inspect(process.pid.as_raw_nonzero().get(), &mut Vec::new()).is_some_and(|now| now.id == process);
    Ok(same.then_some(fd))
}

/// Sends `signal`; a process that is gone counts as signaled.
pub(crate) fn signal(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(handle, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The distinct trial directories that live processes are stamped with.
pub(crate) fn stamped_dirs(processes: &[Process]) -> HashSet<&Path> {
    processes.iter().filter_map(|p| p.trial_dir.as_deref()).collect()
}

struct Stat {
    state: u8,
    parent: i32,
    group: i32,
    session: i32,
    start: u64,
}

/// Fields 3 to 6 and 22 of `/proc/PID/stat`; the name in parentheses may hold anything, parentheses too (proc(5)).
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let end = stat.iter().rposition(|&b| b == b')')?;
    let mut fields = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = || fields.next()?.parse::<i32>().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        state,
        parent,
        group,
        session,
        start: ticks,
    })
}

/// The trial directory of a complete stamp.
fn stamp_of(environ: &[u8]) -> Option<PathBuf> {
    let (mut dir, mut has_trial) = (None, false);
    for variable in environ.split(|&b| b == 0) {
        let Some(at) = variable.iter().position(|&b| b == b'=') else {
            continue;
        };
        let (name, value) = (&variable[..at], &variable[at + 1..]);
        if name == STAMP_DIRECTORY.as_bytes() {
            dir = Some(PathBuf::from(OsStr::from_bytes(value)));
        } else if name == STAMP_TRIAL.as_bytes() {
            has_trial = !value.is_empty();
        }
    }
    dir.filter(|_| has_trial)
}

fn read_into(path: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    fs::File::open(path)?.read_to_end(buffer)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = b"42 (a) b) S 7 42 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        let stat = parse_stat(stat).expect("well-formed");
        assert_eq!(
            (stat.state, stat.parent, stat.group, stat.session, stat.start),
            (b'S', 7, 42, 40, 12345)
        );
    }

    #[test]
    fn half_a_stamp_is_none() {
        assert_eq!(stamp_of(b"NNI_SYS_DIR=/t\0PATH=/bin\0"), None);
        assert_eq!(
            stamp_of(b"NNI_TRIAL_JOB_ID=a\0NNI_SYS_DIR=/t\0"),
            Some(PathBuf::from("/t"))
        );
    }

    fn process(pid: i32, parent: i32, group: i32, session: i32, dir: Option<&str>) -> Process {
        Process {
            id: ProcessId {
                pid: Pid::from_raw(pid).expect("positive"),
                start: 1,
            },
            parent,
            group,
            session,
            trial_dir: dir.map(PathBuf::from),
        }
    }

    #[test]
    fn stamp_group_session_and_descent_make_a_member() {
        let processes = [
            process(10, 1, 10, 5, Some("/t/a")),   // the shell
            process(11, 10, 10, 5, None),          // in its group, environment scrubbed
            process(12, 1, 12, 12, Some("/t/a")),  // detached, found by stamp
            process(13, 12, 13, 13, None),         // child of the detached one, scrubbed
            process(14, 1, 14, 14, None),          // foreign
            process(15, 10, 15, 15, Some("/t/b")), // another trial, started by this one
        ];
        let wanted = |dir: &str, group| Wanted {
            dir: dir.into(),
            group: Pid::from_raw(group),
        };
        let found = members(&processes, &[wanted("/t/a", 10), wanted("/t/b", 15)]);
        let pids = |ids: &[ProcessId]| ids.iter().map(|id| id.pid.as_raw_nonzero().get()).collect::<Vec<_>>();
        assert_eq!(pids(&found[0]), [10, 11, 12, 13]);
        assert_eq!(pids(&found[1]), [15]);
    }

    #[test]
    fn a_child_of_ours_is_seen_and_a_stranger_on_its_pid_is_not_hit() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep is there");
        let pid = i32::try_from(child.id()).expect("a pid");
        let seen = inspect(pid, &mut Vec::new()).expect("it runs");
        let stranger = ProcessId {
            start: seen.id.start + 1,
            ..seen.id
        };
        assert!(open(stranger).expect("no failure").is_none());
        let handle = open(seen.id).expect("no failure").expect("it runs");
        signal(&handle, Signal::KILL).expect("allowed");
        child.wait().expect("it was ours");
        signal(&handle, Signal::KILL).expect("gone counts as signaled");
    }
}
