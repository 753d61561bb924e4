//! `RemoteConfig`: the machines of an experiment and what can be set for them.
//!
//! Reading a value from a configuration file is `ts-core`'s; what OpenSSH's own files say about a machine is `ssh`'s.

mod read;

use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE, ExperimentId,
    config::{PlatformSection, Problems, SecretRef, SharedStorage},
};

/// Settings of the remote platform.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoteConfig {
    /// The machines, at least one.
    pub machines: Vec<MachineConfig>,
    /// Time between the request to end and the forced end of a trial's processes. Default 5 s.
    pub grace_period: Duration,
    /// The signal that asks a trial to end. Default SIGTERM.
    pub cancel_signal: CancelSignal,
    /// OpenSSH's client configuration. Default `~/.ssh/config` and `/etc/ssh/ssh_config`; absent files are empty ones.
    pub ssh_config: Option<PathBuf>,
    /// Storage that all machines have mounted; trials and code then live there.
    pub shared_storage: Option<SharedStorage>,
}

/// One machine of `machineList`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MachineConfig {
    /// Name or address as the user wrote it; looked up in OpenSSH's configuration as `ssh HOST` does.
    pub host: String,
    /// Port; `None` leaves it to OpenSSH's configuration, then 22.
    pub port: Option<u16>,
    /// Login name; `None` leaves it to OpenSSH's configuration, then the name of the local user.
    pub user: Option<String>,
    /// Password. If set, no key is tried (nni v2.6, `sshKeyFile`).
    pub password: Option<SecretRef>,
    /// Private key; `None` leaves it to OpenSSH's configuration, the agent and the default key files.
    pub ssh_key_file: Option<PathBuf>,
    /// Passphrase of the private key.
    pub ssh_passphrase: Option<SecretRef>,
    /// What to do with a host key that no known-hosts file lists. `None`: as OpenSSH's configuration says, then refuse.
    pub host_key_policy: Option<HostKeyPolicy>,
    /// Time until the machine must have answered and let us in. Default 20 s.
    pub connect_timeout: Duration,
    /// Time between two signs of life asked from the server; after three without answer the connection counts as lost.
    /// Default 5 s.
    pub keepalive: Duration,
    /// Indices of the GPUs that trials may use. Default: all.
    pub gpu_indices: Option<Vec<u32>>,
    /// Most trials of this experiment on one GPU at a time. Default 1.
    pub max_trials_per_gpu: u32,
    /// Whether GPUs with processes of others may be used. Default false.
    pub use_active_gpu: bool,
    /// The program that tells about GPUs. Default `nvidia-smi`.
    pub nvidia_smi: String,
    /// Shell command that runs before each trial's command, in the same shell (nni v1.9, `preCommand`).
    pub pre_command: Option<String>,
    /// Folder that is put in front of a trial's `PATH` (nni v2.1, `pythonPath`).
    pub python_path: Option<String>,
    /// Absolute folder on the machine below which experiments live. Default `nni-experiments` in the home directory, or in
    /// `/tmp`, named after the user's id, where the home directory cannot be written.
    pub directory: Option<String>,
}

impl MachineConfig {
    /// A machine of which all else is left to defaults and to OpenSSH's configuration.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: None,
            user: None,
            password: None,
            ssh_key_file: None,
            ssh_passphrase: None,
            host_key_policy: None,
            connect_timeout: Duration::from_secs(20),
            keepalive: Duration::from_secs(5),
            gpu_indices: None,
            max_trials_per_gpu: 1,
            use_active_gpu: false,
            nvidia_smi: "nvidia-smi".to_owned(),
            pre_command: None,
            python_path: None,
            directory: None,
        }
    }
}

impl RemoteConfig {
    /// These machines with default settings.
    pub fn new(machines: Vec<MachineConfig>) -> Self {
        Self {
            machines,
            grace_period: DEFAULT_GRACE,
            cancel_signal: CancelSignal::default(),
            ssh_config: None,
            shared_storage: None,
        }
    }
}

impl RemoteConfig {
    /// Reads the platform's section of an experiment file; all problems go to `problems`.
    ///
    /// Schema 1 has the keys in `machineList` and `remoteConfig`, schema 2 in `trainingService`. Keys that NNI does not know:
    /// of a machine `hostKeyPolicy`, `connectTimeout`, `keepalive`, `directory` and `nvidiaSmi`; of all of them
    /// `gracePeriod`, `cancelSignal`, `sshConfig` and `hostKeyPolicy` (in schema 1 in `remoteConfig`).
    pub fn read(section: &PlatformSection, problems: &mut Problems) -> Self {
        read::read(section, problems)
    }

    /// Where trials and code live on shared storage, as the machines see it. The folder below the mount point is NNI's.
    ///
    /// Source: nni v2.2, `reuse/shared_storages/nfsStorageService.ts`.
    pub(crate) fn shared_root(&self, experiment: &ExperimentId) -> Option<String> {
        let storage = self.shared_storage.as_ref()?;
        Some(format!(
            "{}/nni/{experiment}",
            storage.remote_mount_point.trim_end_matches('/')
        ))
    }
}

/// What to do with a host key on first contact. A changed key is refused by every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeyPolicy {
    /// Refuse it: the user looks at the fingerprint and adds it. `StrictHostKeyChecking yes`.
    Strict,
    /// Trust it and add it to the first known-hosts file. `StrictHostKeyChecking accept-new`.
    AcceptNew,
    /// Trust any key that is new, without a record of it. `StrictHostKeyChecking no` with `UserKnownHostsFile /dev/null`.
    Off,
}

/// The signal that asks a trial to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CancelSignal {
    /// SIGTERM, as nni 1.9 to 2.10 (`remote_machine`).
    #[default]
    Terminate,
    /// SIGINT, as nni 3.0 (`trial_keeper/process.ts`). Python turns it into `KeyboardInterrupt`.
    Interrupt,
}
