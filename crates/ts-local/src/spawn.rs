//! Starts the shell of a trial in a session of its own, as cheaply as in a mere process group.
//!
//! The standard library cannot ask for a session without `unsafe` code between fork and exec; `posix_spawn` can, and it
//! copies no page tables (`docs/decisions/0004`). What is started, and when, is `submit`'s business.

use crate::process_tree;
use nix::{
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::signal::{SigSet, Signal},
};
use rustix::process::Pid;
use std::{
    ffi::{CString, OsStr, OsString},
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
    thread,
};

/// `POSIX_SPAWN_SETSID` of glibc 2.26 and musl, which nix does not name.
const OWN_SESSION: i32 = 0x80;

/// Runs `script` with `/bin/sh` in a new session, with this process's environment and `variables` instead of or beside it.
///
/// Standard input and output are `/dev/null`, standard error is `errors`; signals have their defaults. The process is a
/// child of ours that somebody has to reap, and it is found by its environment from now on.
pub(crate) fn shell(script: &Path, variables: &[(&str, &OsStr)], errors: &File) -> io::Result<Pid> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let mut files = PosixSpawnFileActions::init()?;
    for (file, descriptor) in [(&null, 0), (&null, 1), (errors, 2)] {
        files.add_dup2(file.as_raw_fd(), descriptor)?;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    // Rust programs ignore SIGPIPE; a trial must not inherit that, nor a signal that a thread of ours has blocked.
    let mut defaults = SigSet::empty();
    defaults.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&defaults)?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_flags(
        PosixSpawnFlags::from_bits_retain(OWN_SESSION)
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    let arguments = [c"/bin/sh".to_owned(), CString::new(script.as_os_str().as_bytes())?];
    let inherited = std::env::vars_os().filter(|(name, _)| !variables.iter().any(|(ours, _)| name == ours));
    let ours = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), (*value).to_owned()));
    let environment = inherited
        .chain(ours)
        .map(|(name, value)| CString::new([name.as_bytes(), value.as_bytes()].join(&b'=')))
        .collect::<Result<Vec<_>, _>>()?;
    let pid = posix_spawn(c"/bin/sh", &files, &attributes, &arguments, &environment)?;
    let pid = Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::other("the new process has no pid"))?;
    // It cannot fail any more, only end; for some microseconds it has no environment.
    while process_tree::is_becoming(pid) {
        thread::yield_now();
    }
    Ok(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal as Kill, WaitOptions, kill_process_group, waitpid};

    #[test]
    fn a_shell_leads_its_session_and_sees_the_environment_as_it_was_told() {
        let dir = tempfile::tempdir().expect("room");
        let script = dir.path().join("a script");
        let errors = File::create(dir.path().join("errors")).expect("room");
        // Session and group of /proc/PID/stat; a reader that is gone ends `yes` by SIGPIPE (128 + 13).
        std::fs::write(
            &script,
            "read -r pid name state parent group session rest </proc/$$/stat\n\
             echo \"$(($$ - group)) $(($$ - session)) $MINE ${HOME+home}\" >&2; { yes; echo $? >&2; } | true\n",
        )
        .expect("room");
        let pid = shell(&script, &[("MINE", OsStr::new("a=b c"))], &errors).expect("sh is there");
        let (_, status) = waitpid(Some(pid), WaitOptions::empty())
            .expect("a child of ours")
            .expect("it has ended");
        let told = std::fs::read_to_string(dir.path().join("errors")).expect("written");
        let home = if std::env::vars_os().any(|(name, _)| name == "HOME") {
            "home"
        } else {
            ""
        };
        assert_eq!(
            (status.exit_status(), told),
            (Some(0), format!("0 0 a=b c {home}\n141\n"))
        );
    }

    #[test]
    fn a_shell_is_known_by_its_environment_at_once() {
        let dir = tempfile::tempdir().expect("room");
        let errors = tempfile::tempfile().expect("room");
        let script = dir.path().join("script");
        std::fs::write(&script, "kill -STOP $$\n").expect("room");
        for n in 0..200 {
            let stamp = [
                (process_tree::STAMP_TRIAL, OsStr::new("a")),
                (process_tree::STAMP_DIRECTORY, dir.path().as_os_str()),
            ];
            let pid = shell(&script, &stamp, &errors).expect("sh is there");
            let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("ours");
            kill_process_group(pid, Kill::KILL).expect("ours");
            waitpid(Some(pid), WaitOptions::empty()).expect("a child of ours");
            assert!(!environment.is_empty(), "start {n}");
        }
    }

    #[test]
    fn a_nul_in_a_value_is_an_error() {
        let errors = tempfile::tempfile().expect("room");
        let error = shell(Path::new("/none"), &[("MINE", OsStr::new("a\0b"))], &errors).expect_err("no such value");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
