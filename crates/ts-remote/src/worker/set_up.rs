//! The first request on a machine: chooses and makes the experiment's folders, installs the scripts, and says what it is like.

use super::Shell;
use std::fmt::Write as _;
use ts_core::{Error, ErrorKind, ExperimentId, Result, Retry, TrialId, launch::quote};

const SCRIPT: &str = include_str!("set_up.sh");
const LIBRARY: &str = include_str!("library.sh");
const LAUNCH: &str = include_str!("launch.sh");
const WATCH: &str = include_str!("watch.sh");
const KILL: &str = include_str!("kill.sh");
const RECEIVE: &str = include_str!("receive.sh");

/// The key that the script names where shared storage is missing.
const MOUNT_POINT: &str = "sharedStorage.remoteMountPoint";

/// What a machine is to be set up for.
#[derive(Debug, Clone)]
pub(crate) struct SetUp {
    pub(crate) experiment: ExperimentId,
    /// Tells this entry of the list of machines from others that share its home directory.
    pub(crate) machine_key: String,
    /// Folder below which experiments live; `None` for the default.
    pub(crate) directory: Option<String>,
    /// Where trials and code live on storage that all machines share.
    pub(crate) shared_root: Option<String>,
    /// Folder in front of a trial's `PATH`.
    pub(crate) python_path: Option<String>,
}

/// What a machine is like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Folder with the trials.
    pub(crate) root: String,
    /// Folder with the code, which experiments of the same user share.
    pub(crate) code: String,
    /// Folder of the scripts and of this machine's own state.
    pub(crate) run: String,
    /// The machine's clock when it answered, in milliseconds since the epoch.
    pub(crate) now_ms: i64,
    pub(crate) n_cores: u32,
    /// Room on the file system of `root`.
    pub(crate) free_kib: u64,
    /// Where the file system of `root` is mounted.
    pub(crate) mount: String,
    /// Name and release of its kernel.
    pub(crate) system: String,
    /// Programs that were found.
    pub(crate) tools: Vec<String>,
}

impl Facts {
    /// Directory of a trial on the machine.
    pub(crate) fn trial_dir(&self, trial: &TrialId) -> String {
        format!("{}/trials/{trial}", self.root)
    }

    /// Directory of the code of this digest on the machine.
    pub(crate) fn package_dir(&self, digest: &str) -> String {
        format!("{}/{}", self.code, package_name(digest))
    }

    pub(crate) fn has(&self, tool: &str) -> bool {
        self.tools.iter().any(|t| t == tool)
    }
}

/// Name of the directory of the code of this digest.
pub(crate) fn package_name(digest: &str) -> String {
    digest.replace(':', "-")
}

/// Sets the machine up. One round trip; repeating it changes nothing.
///
/// # Errors
/// `Denied` if no folder can be written, with the machine's own words; `Io`, retryable, if its disk is full.
pub(crate) async fn set_up(shell: &Shell, plan: &SetUp) -> Result<Facts> {
    let mut snippet = String::with_capacity(24 * 1024);
    for (name, value) in [
        ("ts_exp", plan.experiment.as_str()),
        ("ts_key", &plan.machine_key),
        ("ts_dir", plan.directory.as_deref().unwrap_or_default()),
        ("ts_shared", plan.shared_root.as_deref().unwrap_or_default()),
        ("ts_python", plan.python_path.as_deref().unwrap_or_default()),
        ("ts_launch", LAUNCH),
        ("ts_watch", WATCH),
        ("ts_kill", KILL),
        ("ts_receive", RECEIVE),
    ] {
        let _ = writeln!(snippet, "{name}={}", quote(value));
    }
    snippet.push_str(SCRIPT);
    snippet.push_str(LIBRARY);
    let reply = shell.run(&snippet).await?;
    parse(&reply.text())
}

fn parse(text: &str) -> Result<Facts> {
    let mut facts = Facts::default();
    for line in text.lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "refused" => {
                let is_full = value.contains("No space left") || value.contains("quota exceeded");
                let (kind, retry) = if is_full {
                    (ErrorKind::Io, Retry::NotApplied { after: None })
                } else {
                    (ErrorKind::Denied, Retry::Never)
                };
                let (key, help) = if value.contains(MOUNT_POINT) {
                    (
                        MOUNT_POINT,
                        "mount it on this machine, so that this account can write to it; we never do",
                    )
                } else {
                    (
                        "machineList[].directory",
                        "free space or mend its permissions, or name a folder on the machine with `directory`",
                    )
                };
                return Err(Error::new(kind, value.to_owned())
                    .with_retry(retry)
                    .with_key(key)
                    .with_help(help));
            }
            "unsupported" => {
                return Err(Error::new(ErrorKind::Unsupported, value.to_owned())
                    .with_help("use a Linux machine; `hidepid` does no harm"));
            }
            "root" => value.clone_into(&mut facts.root),
            "code" => value.clone_into(&mut facts.code),
            "run" => value.clone_into(&mut facts.run),
            "now" => facts.now_ms = value.parse().unwrap_or_default(),
            "cores" => facts.n_cores = value.parse().unwrap_or(1),
            "free_kib" => facts.free_kib = value.parse().unwrap_or_default(),
            "mount" => value.clone_into(&mut facts.mount),
            "system" => value.clone_into(&mut facts.system),
            "tool" => facts.tools.push(value.to_owned()),
            _ => {}
        }
    }
    if [&facts.root, &facts.run, &facts.code]
        .iter()
        .any(|path| !path.starts_with('/'))
    {
        return Err(Error::new(
            ErrorKind::Protocol,
            format!("the machine could not be set up; it says: {}", text.trim()),
        ));
    }
    Ok(facts)
}
