//! What the kernel tells us: ends of processes (pidfd) and growth of files (inotify), all behind one wake-up.
//!
//! One epoll instance holds every pidfd and the inotify instance, so that a thousand trials cost the runtime one registered
//! descriptor and no task of their own. What a signal means is decided by `supervise`.

use rustix::{
    event::epoll,
    fd::OwnedFd,
    fs::inotify,
    io::Errno,
    process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid},
};
use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::io::{Interest, unix::AsyncFd};
use ts_core::TrialId;

/// Token of the inotify instance; those of processes count from 0.
const FILES: u64 = u64::MAX;

/// Something to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// The shell of this trial has ended; reaped if it was a child of ours.
    ShellEnded(TrialId, Option<i32>),
    /// Some other process that was waited for has ended.
    ProcessEnded,
    /// A file of this trial has grown, shrunk or gone.
    FileChanged(TrialId),
    /// The kernel dropped notifications: any file may have changed.
    Overflow,
}

/// Watches processes and files on behalf of one experiment.
#[derive(Debug)]
pub(crate) struct Observer {
    epoll: AsyncFd<OwnedFd>,
    inotify: OwnedFd,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    next_token: u64,
    processes: HashMap<u64, (OwnedFd, Option<TrialId>)>,
    files: HashMap<i32, TrialId>,
    files_of: HashMap<TrialId, Vec<i32>>,
}

impl Observer {
    /// Needs a runtime with I/O enabled.
    #[expect(
        deprecated,
        reason = "its successor is unsafe for sake of other types; an `OwnedFd` keeps the promise"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        epoll::add(
            &epoll,
            &inotify,
            epoll::EventData::new_u64(FILES),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            epoll: AsyncFd::with_interest(epoll, Interest::READABLE)?,
            inotify,
            watched: Mutex::default(),
        })
    }

    /// Reports the end of the process behind `pidfd`, as that of a trial's shell if `shell_of` is given.
    pub(crate) fn await_end(&self, pidfd: OwnedFd, shell_of: Option<TrialId>) -> io::Result<()> {
        let mut watched = self.watched();
        let token = watched.next_token;
        watched.next_token += 1;
        // Once only: an ended process stays readable for ever.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        epoll::add(self.epoll.get_ref(), &pidfd, epoll::EventData::new_u64(token), flags)?;
        watched.processes.insert(token, (pidfd, shell_of));
        Ok(())
    }

    /// Reports changes of `path` as those of `trial`. Asking again for the same file is free of effect.
    pub(crate) fn await_change(&self, path: &Path, trial: &TrialId) -> io::Result<()> {
        let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::MOVE_SELF;
        let mut watched = self.watched();
        let file = inotify::add_watch(&self.inotify, path, what)?;
        if watched.files.insert(file, trial.clone()).is_none() {
            watched.files_of.entry(trial.clone()).or_default().push(file);
        }
        Ok(())
    }

    /// Stops watching the files of a trial that has ended.
    pub(crate) fn forget_files(&self, trial: &TrialId) {
        let mut watched = self.watched();
        for file in watched.files_of.remove(trial).unwrap_or_default() {
            watched.files.remove(&file);
            // Fails only if the file is gone, which ended the watch already.
            let _gone = inotify::remove_watch(&self.inotify, file);
        }
    }

    /// Waits until something has happened and appends it to `out`, each file's trial once.
    ///
    /// # Cancel safety
    /// Safe: what was taken from the kernel is in `out`.
    pub(crate) async fn next(&self, out: &mut Vec<Sighting>) -> io::Result<()> {
        loop {
            let mut ready = self.epoll.readable().await?;
            self.take(out)?;
            if !out.is_empty() {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    fn take(&self, out: &mut Vec<Sighting>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); 64];
        let now = rustix::event::Timespec::default();
        let events = match epoll::wait(self.epoll.get_ref(), &mut buffer, Some(&now)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for event in events {
            match event.data.u64() {
                FILES => self.take_files(out)?,
                token => {
                    let Some((pidfd, shell_of)) = self.watched().processes.remove(&token) else {
                        continue;
                    };
                    let signal = reap(&pidfd);
                    out.push(match shell_of {
                        Some(trial) => Sighting::ShellEnded(trial, signal),
                        None => Sighting::ProcessEnded,
                    });
                }
            }
        }
        Ok(())
    }

    fn take_files(&self, out: &mut Vec<Sighting>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut last = None;
        let mut watched = self.watched();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            };
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                out.push(Sighting::Overflow);
            } else if event.events().contains(inotify::ReadFlags::IGNORED) {
                watched.files.remove(&event.wd());
            } else if last != Some(event.wd()) {
                last = Some(event.wd());
                if let Some(trial) = watched.files.get(&event.wd()) {
                    out.push(Sighting::FileChanged(trial.clone()));
                }
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on the process that has this pid now; `None` if there is none.
pub(crate) fn handle_on(pid: Pid) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::SRCH) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Collects an ended child of ours, so that no zombie stays, and gives the signal that ended it.
///
/// A process that an earlier manager started is not our child; its parent, or init, collects it.
fn reap(pidfd: &OwnedFd) -> Option<i32> {
    use std::os::fd::AsFd as _;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    waitid(WaitId::PidFd(pidfd.as_fd()), options)
        .ok()??
        .terminating_signal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write as _, process::Command};

    #[tokio::test]
    #[expect(clippy::zombie_processes, reason = "the observer waits for it")]
    async fn the_end_of_a_child_is_reported_once_and_leaves_no_zombie() {
        let observer = Observer::new().expect("a kernel with pidfd and inotify");
        let trial = TrialId::new("a").expect("legal");
        let child = Command::new("sh")
            .args(["-c", "kill -KILL $$"])
            .spawn()
            .expect("sh is there");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
        let handle = handle_on(pid).expect("allowed").expect("unreaped");
        observer.await_end(handle, Some(trial.clone())).expect("room");
        let mut out = Vec::new();
        observer.next(&mut out).await.expect("readable");
        assert_eq!(out, [Sighting::ShellEnded(trial, Some(9))]);
        assert!(handle_on(pid).expect("allowed").is_none(), "still a zombie");
    }

    #[tokio::test]
    async fn growth_of_a_file_is_reported_until_it_is_forgotten() {
        let observer = Observer::new().expect("a kernel with pidfd and inotify");
        let (a, b) = (TrialId::new("a").expect("legal"), TrialId::new("b").expect("legal"));
        let mut files = [
            tempfile::NamedTempFile::new().expect("room"),
            tempfile::NamedTempFile::new().expect("room"),
        ];
        observer.await_change(files[0].path(), &a).expect("room");
        observer.await_change(files[1].path(), &b).expect("room");
        observer.forget_files(&a);
        for file in &mut files {
            file.write_all(b"x").expect("room");
        }
        let mut out = Vec::new();
        observer.next(&mut out).await.expect("readable");
        assert_eq!(out, [Sighting::FileChanged(b)]);
    }
}
