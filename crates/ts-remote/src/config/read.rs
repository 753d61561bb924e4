//! Reads `machineList` and its neighbours in both schemas, with every problem at its place.

use super::{CancelSignal, HostKeyPolicy, MachineConfig, RemoteConfig};
use std::{collections::HashSet, time::Duration};
use ts_core::{
    DEFAULT_GRACE, GpuCount,
    config::{LocalMounted, PlatformSection, Problems, Schema, SecretRef, Section},
};

const HOST: (&str, &str) = ("host", "ip");
const USER: (&str, &str) = ("user", "username");
const PASSWORD: (&str, &str) = ("password", "passwd");
const KEY_FILE: (&str, &str) = ("sshKeyFile", "sshKeyPath");
const PASSPHRASE: (&str, &str) = ("sshPassphrase", "passphrase");
const PER_GPU: (&str, &str) = ("maxTrialNumberPerGpu", "maxTrialNumPerGpu");
/// nni v2.0 named it `trialPrepareCommand`, v1.9 `preCommand`.
const PRE_COMMAND: (&str, &str) = ("trialPrepareCommand", "preCommand");
/// Longest wait for a machine that may be configured.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(10);

pub(super) fn read(section: &PlatformSection, problems: &mut Problems) -> RemoteConfig {
    let gpus = section.shortcuts().trial_gpu_number;
    let mut config = section.read(problems, |s| {
        let mut config = RemoteConfig::new(Vec::new());
        let policy = match s.schema() {
            Schema::V1 => s.section("remoteConfig", |s| common(s, &mut config)).flatten(),
            Schema::V2 => common(s, &mut config),
        };
        let mut seen = HashSet::new();
        config.machines = s.required_list("machineList", |s| machine(s, gpus, policy, &mut seen));
        if let Some(storage) = section.shared_storage()
            && storage.local_mounted != LocalMounted::UserMount
        {
            s.warn(
                "machineList",
                "shared storage is never mounted by us (`sharedStorage.localMounted`), neither here nor on the machines",
                "mount it on every machine and say `localMounted: usermount`; `tsctl doctor FILE` shows where it is missing",
            );
        }
        config
    });
    config.shared_storage = section.shared_storage().cloned();
    config
}

/// Keys of all machines; gives the policy for those that name none.
fn common(s: &mut Section<'_>, config: &mut RemoteConfig) -> Option<HostKeyPolicy> {
    // Accepted: its purpose, that a trial costs no set-up, is always met.
    s.bool(("reuseMode", "reuse"));
    config.grace_period = s.duration("gracePeriod").unwrap_or(DEFAULT_GRACE);
    config.cancel_signal = match s.choice("cancelSignal", &["SIGTERM", "SIGINT"]) {
        Some("SIGINT") => CancelSignal::Interrupt,
        _ => CancelSignal::Terminate,
    };
    config.ssh_config = s.path("sshConfig");
    policy(s)
}

fn policy(s: &mut Section<'_>) -> Option<HostKeyPolicy> {
    Some(match s.choice("hostKeyPolicy", &["strict", "acceptNew", "off"])? {
        "acceptNew" => HostKeyPolicy::AcceptNew,
        "off" => HostKeyPolicy::Off,
        _ => HostKeyPolicy::Strict,
    })
}

fn machine(
    s: &mut Section<'_>,
    gpus: GpuCount,
    default_policy: Option<HostKeyPolicy>,
    seen: &mut HashSet<(String, Option<u16>, Option<String>)>,
) -> MachineConfig {
    let mut machine = MachineConfig::new(s.required_string(HOST));
    check_name(s, HOST, &machine.host.clone());
    machine.port = s.u32("port", 1..=65535).and_then(|port| u16::try_from(port).ok());
    machine.user = s.string(USER);
    if machine.user.as_deref() == Some("") {
        s.problem(
            USER,
            "the name is empty",
            "write who logs in, or remove the key to log in as `ssh` would",
        );
        machine.user = None;
    }
    if let Some(user) = machine.user.clone() {
        check_name(s, USER, &user);
    }
    machine.password = s.secret(PASSWORD);
    if matches!(&machine.password, Some(SecretRef::Literal(password)) if password.expose().is_empty()) {
        s.problem(
            PASSWORD,
            "the password is empty",
            "write it, or remove the key to log in with a key",
        );
        machine.password = None;
    }
    machine.ssh_key_file = s.path(KEY_FILE);
    machine.ssh_passphrase = s.secret(PASSPHRASE);
    credentials(s, &machine);
    machine.host_key_policy = policy(s).or(default_policy);
    for (key, value) in [
        ("connectTimeout", &mut machine.connect_timeout),
        ("keepalive", &mut machine.keepalive),
    ] {
        if let Some(given) = s.duration(key) {
            if given < Duration::from_secs(1) || given > LONGEST_TIMEOUT {
                s.problem(key, "must be between 1 s and 600 s", "write a time such as `20s`");
            }
            *value = given;
        }
    }
    machine.gpu_indices = s.gpu_indices("gpuIndices");
    machine.max_trials_per_gpu = s.u32_or(PER_GPU, 1..=u32::MAX, 1);
    machine.use_active_gpu = s.bool_or("useActiveGpu", false);
    machine.nvidia_smi = s.string_or("nvidiaSmi", "nvidia-smi");
    machine.pre_command = s.string(PRE_COMMAND);
    machine.python_path = s.string("pythonPath");
    machine.directory = s.string("directory");
    for (key, value) in [("pythonPath", &machine.python_path), ("directory", &machine.directory)] {
        if value
            .as_ref()
            .is_some_and(|path| !path.starts_with('/') && !path.starts_with("~/") || path.contains(['\n', '\0']))
        {
            s.problem(
                key,
                "must be an absolute path on the machine",
                "begin it with `/`, or with `~/` for the user's home directory there",
            );
        }
    }
    if machine.max_trials_per_gpu != 1 && matches!(gpus, GpuCount::Unset | GpuCount::Exactly(0)) {
        s.warn(
            PER_GPU,
            "the trials of this experiment use no GPU",
            "set the number of GPUs of a trial, or remove the key",
        );
    }
    // OpenSSH's configuration may name another port in schema 2, where NNI had no default either.
    let port = match s.schema() {
        Schema::V1 => Some(machine.port.unwrap_or(22)),
        Schema::V2 => machine.port,
    };
    let is_named = !machine.host.is_empty();
    if is_named && !seen.insert((machine.host.to_lowercase(), port, machine.user.clone())) {
        s.problem(
            HOST,
            format!("machine `{}` is listed twice", machine.host),
            "remove one of the entries; how many trials run at once is `trialConcurrency`",
        );
    }
    machine
}

/// What a shell reads as more than text; OpenSSH refuses it too (`ssh.c`, `valid_hostname` and `valid_ruser`, since 9.6).
const OF_SHELLS: &[char] = &['\'', '"', '`', '$', ';', '&', '<', '>', '|', '(', ')', '{', '}'];

/// A name that goes to a resolver, into messages, and into a `ProxyCommand`, which a shell reads.
fn check_name(s: &mut Section<'_>, key: (&'static str, &'static str), name: &str) {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '@' || OF_SHELLS.contains(&c);
    if name.starts_with('-') || name.contains(is_bad) {
        s.problem(
            key,
            format!("`{}` cannot be a name here", name.escape_debug()),
            "write the bare name or address; port and user have keys of their own",
        );
    }
}

fn credentials(s: &mut Section<'_>, machine: &MachineConfig) {
    if machine.password.is_some() && machine.ssh_key_file.is_some() {
        match s.schema() {
            // nni v1.9, `config_schema.py`: the two forms of an entry exclude each other.
            Schema::V1 => s.problem(
                PASSWORD,
                "a password and a key file are given for the same machine",
                "remove one of them",
            ),
            // nni v2.6, `remote.py`: the password wins.
            Schema::V2 => s.warn(
                PASSWORD,
                "a password and a key file are given for the same machine: the password is used",
                "remove one of them",
            ),
        }
    }
    if machine.password.is_some() && machine.ssh_passphrase.is_some() {
        s.warn(
            PASSPHRASE,
            "no key is tried where a password is given",
            "remove one of them",
        );
    }
    if let Some(path) = &machine.ssh_key_file
        && machine.password.is_none()
        && !path.is_file()
    {
        s.problem(
            KEY_FILE,
            format!("key file `{}` does not exist", path.display()),
            "name the private key; relative paths count from the configuration file",
        );
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
