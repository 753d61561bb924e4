//! A laboratory of machines: network namespaces with a real OpenSSH server each, and accounts to log in to.
//!
//! All of it goes with the `Lab`. What a killed run left behind is removed by the next one.

use crate::{
    e2e::packages::{self, Program},
    shell,
};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the password of every account is.
pub(super) const PASSWORD: &str = "e2e-Correct-Horse-7";
/// What opens the key `locked`.
pub(super) const PASSPHRASE: &str = "e2e-Battery-Staple-8";
/// An ordinary account.
pub(super) const USER: &str = "ts-e2e";
/// An account with a restricted shell.
pub(super) const RESTRICTED: &str = "ts-e2e-rbash";
/// An account whose home directory belongs to someone else.
pub(super) const HOMELESS: &str = "ts-e2e-nohome";
/// An account whose password has expired.
pub(super) const EXPIRED: &str = "ts-e2e-expired";

/// An account whose programs are all busybox's, once its scenario has made it so.
pub(super) const BUSYBOX: &str = "ts-e2e-busybox";

const ACCOUNTS: &[(&str, &str)] = &[
    (USER, "/bin/sh"),
    (RESTRICTED, "/bin/rbash"),
    (HOMELESS, "/bin/sh"),
    (EXPIRED, "/bin/sh"),
    (BUSYBOX, "/bin/sh"),
];

/// Key files, their types, and their passphrases.
const KEYS: &[(&str, &str, &str)] = &[
    ("ed25519", "ed25519", ""),
    ("rsa", "rsa", ""),
    ("ecdsa", "ecdsa", ""),
    ("locked", "ed25519", PASSPHRASE),
];

/// What every scenario needs.
const PROGRAMS: &[Program] = &[
    ("sshd", "openssh-server"),
    ("ssh-keygen", "openssh-client"),
    ("ssh-agent", "openssh-client"),
    ("ip", "iproute2"),
    ("useradd", "passwd"),
    ("chage", "passwd"),
    ("usermod", "passwd"),
];

/// Where packets to machines go whose cable is away: nowhere, instead of out of this machine by its default route.
const NOWHERE: &[&str] = &["unreachable", "10.231.0.0/16", "metric", "4294967295"];

/// Prefix of all network namespaces of ours.
pub(super) const NAMESPACE: &str = "ts-e2e-";

/// A folder that every account can read, with keys, code and homes.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) dir: PathBuf,
    /// Held while it lives: accounts, namespaces and addresses are there once.
    _lock: fs::File,
}

impl Lab {
    /// Makes keys and accounts.
    ///
    /// # Errors
    /// If this machine lacks what is needed; the text says what.
    pub(super) fn new(root: &Path) -> Result<Self> {
        packages::provide(PROGRAMS)?;
        let lock = fs::File::create(env::temp_dir().join("ts-e2e-ssh.lock"))?;
        lock.lock().context("cannot wait for another run to end")?;
        remove_leftovers();
        let probe = format!("{NAMESPACE}probe");
        shell::output(Command::new("ip").args(["netns", "add", &probe])).context("no network namespaces here")?;
        shell::output(Command::new("ip").args(["netns", "delete", &probe]))?;
        shell::output(Command::new("ip").args(["route", "add"]).args(NOWHERE))?;
        let lab = Self {
            dir: env::temp_dir().join(format!("ts-e2e-ssh-{}", std::process::id())),
            _lock: lock,
        };
        for folder in ["keys", "code", "homes"] {
            fs::create_dir_all(lab.dir.join(folder))?;
        }
        fs::set_permissions(&lab.dir, fs::Permissions::from_mode(0o755))?;
        fs::create_dir_all("/run/sshd").context("the server separates privileges in `/run/sshd`")?;
        for script in ["trial.sh", "tree.sh", "gpu.sh", "nvidia-smi.sh"] {
            fs::copy(
                root.join("xtask/e2e/ssh").join(script),
                lab.dir.join("code").join(script),
            )?;
        }
        lab.make_keys()?;
        for (name, login_shell) in ACCOUNTS {
            lab.add_account(name, login_shell)?;
        }
        shell::output(Command::new("chage").args(["-d", "0", EXPIRED]))?;
        let home = lab.home(HOMELESS);
        shell::output(Command::new("chown").arg("root").arg(&home))?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o555))?;
        Ok(lab)
    }

    pub(super) fn home(&self, account: &str) -> PathBuf {
        self.dir.join("homes").join(account)
    }

    /// The private key of this name.
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.dir.join("keys").join(name)
    }

    fn make_keys(&self) -> Result<()> {
        let mut authorized = String::new();
        for (name, kind, passphrase) in KEYS {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", kind, "-N", passphrase, "-C", name, "-f"]);
            shell::output(keygen.arg(self.key(name)))?;
            authorized += &fs::read_to_string(self.key(name).with_extension("pub"))?;
        }
        Ok(fs::write(self.dir.join("authorized_keys"), authorized)?)
    }

    fn add_account(&self, name: &str, login_shell: &str) -> Result<()> {
        let mut add = Command::new("useradd");
        add.args(["--create-home", "--shell", login_shell, "--home-dir"]);
        shell::output(add.arg(self.home(name)).arg(name))?;
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = chpasswd.stdin.take() {
            writeln!(stdin, "{name}:{PASSWORD}")?;
        }
        if !chpasswd.wait()?.success() {
            bail!("`chpasswd` failed for `{name}`");
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove_leftovers();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Removes a namespace with all processes in it, which would keep it and its cable.
pub(super) fn remove_namespace(name: &str) {
    let listed = shell::output(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    if !listed.trim().is_empty() {
        let _ = shell::output(Command::new("kill").arg("-KILL").args(listed.split_whitespace()));
    }
    let _ = shell::output(Command::new("ip").args(["netns", "delete", name]));
}

/// Accounts, namespaces and the route, of this run or of one that was killed.
fn remove_leftovers() {
    for (name, _) in ACCOUNTS {
        let mut remove = Command::new("userdel");
        let _ = remove.args(["--force", name]).stderr(Stdio::null()).status();
    }
    let listed = shell::output(Command::new("ip").args(["netns", "list"])).unwrap_or_default();
    for line in listed.lines() {
        if let Some(name) = line
            .split_whitespace()
            .next()
            .filter(|name| name.starts_with(NAMESPACE))
        {
            remove_namespace(name);
        }
    }
    let _ = shell::output(Command::new("ip").args(["route", "delete"]).args(NOWHERE));
}
