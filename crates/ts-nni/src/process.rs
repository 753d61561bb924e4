//! The process of a dispatcher: its start, its log, and that nothing of it outlives whoever holds it.
//!
//! The process leads a group of its own. A shell in that group reads from a pipe whose other end is the holder's: when the pipe
//! breaks, because it was dropped or because the holder was killed, the shell kills the group.

use crate::{experiment_parameters, python::Installation, release::Protocol, spec::NniSpec};
use std::{
    fs::{self, File},
    io::{self, PipeWriter, Read as _, Seek as _, SeekFrom},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::process::{Child, Command};
use ts_core::{Error, Result};

/// Makes descriptors 3 and 4 of the standard output, and leaves the watcher behind.
const WITH_FRAMES: &str = r#"exec 5<&0 3<&1 4>&1 </dev/null >&2
{ read -r _; kill -9 0; } <&5 3<&- 4>&- &
exec 5<&-
exec "$@""#;

/// The same without them. No proxy is asked for the loopback, whatever the environment says.
const WITH_WEB_SOCKET: &str = r#"exec 5<&0 </dev/null
{ read -r _; kill -9 0; } <&5 &
exec 5<&-
NO_PROXY="${NO_PROXY:+$NO_PROXY,}127.0.0.1" no_proxy="${no_proxy:+$no_proxy,}127.0.0.1"
export NO_PROXY no_proxy
exec "$@""#;

/// `python -m nni`, with a defect of it mended.
const DISPATCHER: &str = include_str!("run_dispatcher.py");

/// Most of a log that a message quotes, in bytes.
const EXCERPT: usize = 4000;

/// A running dispatcher. Dropping it kills whatever is left of it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Dropped with the rest: the watcher notices.
    _lifeline: PipeWriter,
    /// What it writes, and where its part begins.
    logs: Vec<(PathBuf, u64)>,
}

/// How it is started.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) spec: &'a NniSpec,
    /// Where it connects to, if it does.
    pub(crate) url: Option<&'a str>,
    /// Whether there were trials before.
    pub(crate) is_resumed: bool,
}

impl Process {
    /// Starts it; with frames, the second part is the channel.
    ///
    /// # Errors
    /// `Io` if a file or the process cannot be made.
    pub(crate) fn start(start: &Start<'_>) -> Result<(Self, Option<UnixStream>)> {
        let log_folder = start.spec.directory.join("log");
        let checkpoints = start.spec.directory.join("checkpoint");
        for folder in [&log_folder, &checkpoints] {
            fs::create_dir_all(folder).map_err(|e| Error::io("create the directory", folder, e))?;
        }
        let said = log_folder.join("dispatcher.stderr");
        let logs = [&said, &log_folder.join("dispatcher.log")]
            .map(|log| (log.clone(), fs::metadata(log).map_or(0, |m| m.len())))
            .to_vec();
        let failed = |e| Error::io("start NNI's dispatcher, which logs to", &said, e);
        let output = File::options().create(true).append(true).open(&said).map_err(failed)?;
        let (guard, lifeline) = io::pipe().map_err(failed)?;
        let has_frames = start.installation.release.protocol() == Protocol::Frames;
        let (ours, stdout, script) = if has_frames {
            let (ours, theirs) = UnixStream::pair().map_err(failed)?;
            (Some(ours), Stdio::from(OwnedFd::from(theirs)), WITH_FRAMES)
        } else {
            (None, Stdio::from(output.try_clone().map_err(failed)?), WITH_WEB_SOCKET)
        };
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                script,
                "sh",
                &start.installation.python,
                "-c",
                DISPATCHER,
                "--exp_params",
            ])
            .arg(experiment_parameters::encoded(start.spec, start.installation.release))
            .current_dir(&log_folder)
            .stdin(guard)
            .stdout(stdout)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        environment(&mut command, start, &log_folder, &checkpoints);
        let child = command.spawn().map_err(failed)?;
        let process = Self {
            child,
            _lifeline: lifeline,
            logs,
        };
        Ok((process, ours))
    }

    /// Waits for its end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// The last thing it said, for a message: the newest traceback if there is one.
    pub(crate) fn last_words(&self) -> Option<String> {
        let texts: Vec<_> = self
            .logs
            .iter()
            .filter_map(|(log, from)| tail(log, *from).ok())
            .collect();
        let traceback = texts
            .iter()
            .find_map(|text| Some(&text[text.rfind("Traceback (most recent call last)")?..]));
        let words = traceback.or_else(|| texts.iter().map(|text| text.trim()).find(|text| !text.is_empty()))?;
        // A line of the log begins with its time in brackets; a traceback goes on until the next one.
        let lines: Vec<_> = words.lines().take_while(|line| !line.starts_with('[')).collect();
        let words = if lines.is_empty() {
            words.to_owned()
        } else {
            lines.join("\n")
        };
        let from = words.len().saturating_sub(EXCERPT);
        let from = (from..words.len()).find(|at| words.is_char_boundary(*at))?;
        Some(words[from..].trim().to_owned())
    }
}

/// Source: nni v1.9, `src/nni_manager/core/nnimanager.ts`; v3.0, `ts/nni_manager/core/nnimanager.ts`, `setupTuner`.
fn environment(command: &mut Command, start: &Start<'_>, log_folder: &Path, checkpoints: &Path) {
    let spec = start.spec;
    let gpus: Vec<_> = spec.gpu_indices.iter().flatten().map(u32::to_string).collect();
    command
        // A manager that is itself part of a trial must not make the dispatcher take itself for one.
        .env_remove("NNI_PLATFORM")
        .env("SDK_PROCESS", "dispatcher")
        .env("NNI_MODE", if start.is_resumed { "resume" } else { "start" })
        .env("NNI_CHECKPOINT_DIRECTORY", checkpoints)
        .env("NNI_LOG_DIRECTORY", log_folder)
        .env("NNI_LOG_LEVEL", spec.log_level)
        .env(
            "NNI_INCLUDE_INTERMEDIATE_RESULTS",
            spec.include_intermediate_results.to_string(),
        )
        .env("CUDA_VISIBLE_DEVICES", gpus.join(","))
        .env("PYTHONUNBUFFERED", "1");
    if let Some(url) = start.url {
        command.env("NNI_TUNER_COMMAND_CHANNEL", url);
    }
}

/// The end of a file, from this position on at the earliest.
fn tail(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(size.saturating_sub(64 << 10))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
