//! Processes as containers: starting one, and ending all that came from it.
//!
//! Nothing here needs privileges. What a process namespace does for a real container is done by a mark in the environment and by the
//! session: the end of the first process, or the order to kill the container, reaches every process that has one of them. Only one
//! that has thrown off both, with `env -i setsid`, escapes. There are no process numbers of its own either: what a container sends
//! to number 1 does not reach its first process, and a KILL from within does, which a real one never sees.

use super::clock;
use k8s_openapi::jiff::SignedDuration;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    thread,
};
use tokio::process::{Child, Command};

/// The variable that marks the processes of a container.
const MARK: &str = "TS_CONTAINER";

/// How long killing may take.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// What is needed to start a process in a container.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// Its environment.
    pub(super) env: Vec<(String, String)>,
    /// Its working directory.
    pub(super) directory: PathBuf,
    /// `POD UID/CONTAINER`.
    pub(super) mark: String,
}

impl Launch {
    /// Starts a command in a session of its own.
    ///
    /// # Errors
    /// What runc says when it cannot. Source: Go `os/exec` for the words, observed with containerd 1.6 and runc 1.1.
    pub(super) fn start(&self, command: &[String], input: bool) -> Result<Child, String> {
        let program = command.first().map_or("", String::as_str);
        let path = self.find(program).map_err(|why| {
            format!(
                "OCI runtime create failed: runc create failed: unable to start container process: exec: {why}: unknown"
            )
        })?;
        // The wrapper makes the session and becomes the command; it makes no process of its own, as it leads no group.
        let wrapper = ["/usr/bin/setsid", "/bin/setsid"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let mut process = Command::new(wrapper.ok_or("this node lacks the program setsid")?);
        process
            .arg(path)
            .args(&command[1..])
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env(MARK, &self.mark)
            .current_dir(&self.directory)
            .stdin(if input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        process
            .spawn()
            .map_err(|error| format!("cannot start {program:?} in {}: {error}", self.directory.display()))
    }

    /// Finds the program as `execvp` would in the container.
    fn find(&self, program: &str) -> Result<PathBuf, String> {
        if program.contains('/') {
            let path = self.directory.join(program);
            return match fs::metadata(&path) {
                Ok(found) if is_executable(&found) => Ok(path),
                Ok(_) => Err(format!("{program:?}: permission denied")),
                Err(_) => Err(format!("{program:?}: stat {program}: no such file or directory")),
            };
        }
        let search = self
            .env
            .iter()
            .rfind(|(name, _)| name == "PATH")
            .map_or("", |(_, value)| value.as_str());
        let mut places = search.split(':').map(|place| self.directory.join(place).join(program));
        places
            .find(|path| !program.is_empty() && fs::metadata(path).is_ok_and(|found| is_executable(&found)))
            .ok_or_else(|| format!("{program:?}: executable file not found in $PATH"))
    }
}

fn is_executable(found: &fs::Metadata) -> bool {
    found.is_file() && found.permissions().mode() & 0o111 != 0
}

/// The exit code as the runtime reports it: 128 and the signal for a process that one has ended.
pub(super) fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Asks the first process of a container to end.
///
/// As for the first process of a process namespace, the signal is lost unless the process has a handler for it: `pid_namespaces(7)`.
pub(super) fn terminate(pid: u32, is_first: bool) {
    if !is_first || catches(pid, Signal::SIGTERM) {
        send(pid, Signal::SIGTERM);
    }
}

/// Sends a signal to one process. One that is gone is no error.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    caught & (1 << (signal as i32 - 1)) != 0
}

/// Whose processes to end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Victim {
    /// The mark of the container, if all of it is meant.
    pub(super) mark: Option<String>,
    /// Its first process, which leads its session.
    pub(super) session: Option<u32>,
}

/// Kills all processes of the containers, and looks again until there are none: one may be making another at this moment.
///
/// Gives up after some seconds, for those that even the kernel cannot end at once.
pub(super) fn kill_all(victims: &[Victim]) {
    let begun = clock::now();
    let mut quiet = 0;
    while quiet < 2 && !victims.is_empty() && clock::now().duration_since(begun) < PATIENCE {
        let found = processes(victims);
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        for pid in found {
            send(pid, Signal::SIGKILL);
        }
        thread::yield_now();
    }
}

/// All processes of the containers that live.
pub(super) fn processes(victims: &[Victim]) -> Vec<u32> {
    let marks = victims.iter().filter_map(|victim| victim.mark.as_ref());
    let marks: Vec<Vec<u8>> = marks.map(|mark| format!("{MARK}={mark}").into_bytes()).collect();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let session = live_session(*pid);
        session.is_some()
            && (victims
                .iter()
                .any(|victim| victim.session.is_some() && victim.session == session)
                || environment(*pid).is_ok_and(|all| {
                    all.split(|byte| *byte == 0)
                        .any(|one| marks.iter().any(|mark| one == mark))
                }))
    })
    .collect()
}

fn environment(pid: u32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ"))
}

/// The session of a process that has not ended. Source: `proc(5)`, fields 3 and 6 of `stat`.
fn live_session(pid: u32) -> Option<u32> {
    let stat = fs::read(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let mut fields = OsStr::from_bytes(&stat[after_name..]).to_str()?.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(2)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Launch, Victim, exit_code, kill_all, processes, terminate};
    use std::{path::PathBuf, time::Duration};
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        time::timeout,
    };

    fn launch(mark: &str) -> Launch {
        Launch {
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            directory: PathBuf::from("/"),
            mark: format!("{}-{mark}/c", std::process::id()),
        }
    }

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn exit_codes() {
        for (script, expected) in [
            ("exit 0", 0),
            ("exit 3", 3),
            ("kill -9 $$", 137),
            ("kill -TERM $$", 143),
        ] {
            let mut child = launch("codes").start(&shell(script), false).expect("started");
            let status = child.wait().await.expect("an end");
            assert_eq!(exit_code(status), expected, "{script}");
        }
    }

    #[test]
    fn programs_that_are_not_there() {
        for (program, why) in [
            (
                "no-such-program",
                r#"exec: "no-such-program": executable file not found in $PATH: unknown"#,
            ),
            (
                "/no/such",
                r#"exec: "/no/such": stat /no/such: no such file or directory: unknown"#,
            ),
            ("/etc/passwd", r#"exec: "/etc/passwd": permission denied: unknown"#),
            ("", r#"exec: "": executable file not found in $PATH: unknown"#),
        ] {
            let error = launch("missing")
                .start(&[program.to_owned()], false)
                .expect_err(program);
            assert!(error.ends_with(why), "{error}");
        }
    }

    #[tokio::test]
    async fn killing_reaches_processes_in_other_sessions_and_those_without_the_mark() {
        let launch = launch("escape");
        let script = "setsid sleep 600 & env -i sleep 600 & sleep 600 & echo ready; wait";
        let mut child = launch.start(&shell(script), false).expect("started");
        let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
        assert_eq!(output.next_line().await.expect("a line").as_deref(), Some("ready"));
        let victims = [Victim {
            mark: Some(launch.mark.clone()),
            session: child.id(),
        }];
        // One that is just becoming another program has no environment for a moment.
        let all_seen = async {
            while processes(&victims).len() != 4 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_mins(2), all_seen).await.expect("four processes");
        kill_all(&victims);
        assert_eq!(processes(&victims), Vec::<u32>::new());
        assert_eq!(exit_code(child.wait().await.expect("an end")), 137);
        assert_eq!(
            output.next_line().await.expect("the end of its output"),
            None,
            "all have closed it"
        );
    }

    #[tokio::test]
    async fn the_first_process_gets_only_signals_that_it_handles() {
        let script = shell("echo ready; read -r x; echo alive; read -r x");
        let mut deaf = launch("deaf").start(&script, true).expect("started");
        let mut input = deaf.stdin.take().expect("its input");
        let mut output = BufReader::new(deaf.stdout.take().expect("its output")).lines();
        output.next_line().await.expect("a line");
        terminate(deaf.id().expect("a process"), true);
        input.write_all(b"x\n").await.expect("written");
        assert_eq!(output.next_line().await.expect("a line").as_deref(), Some("alive"));
        terminate(deaf.id().expect("a process"), false);
        assert_eq!(exit_code(deaf.wait().await.expect("an end")), 143);

        let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let mut handles = launch("handles").start(&shell(script), false).expect("started");
        let mut output = BufReader::new(handles.stdout.take().expect("its output")).lines();
        output.next_line().await.expect("a line");
        terminate(handles.id().expect("a process"), true);
        assert_eq!(exit_code(handles.wait().await.expect("an end")), 7);
    }
}
