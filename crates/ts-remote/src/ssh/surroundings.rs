//! The user's surroundings, as `ssh` sees them: account, variables, and which files are read.

use super::client_config::ConfigFile;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Read once per machine; tests make their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) home: Option<PathBuf>,
    pub(crate) user: Option<String>,
    /// Environment variables that are text.
    pub(crate) variables: HashMap<String, String>,
}

impl Surroundings {
    /// OpenSSH's files, keys and agent are found by variables, and its files may name any variable.
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables: HashMap<String, String> = variables.filter(|(_, value)| !value.is_empty()).collect();
        // A service or a container may have no variables of a login; the account is there all the same.
        let account = || nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
        let text = |name: &str| variables.get(name).cloned();
        Self {
            home: text("HOME").map(PathBuf::from).or_else(|| Some(account()?.dir)),
            user: text("USER")
                .or_else(|| text("LOGNAME"))
                .or_else(|| Some(account()?.name)),
            variables,
        }
    }

    /// The socket of the user's agent.
    pub(crate) fn agent(&self) -> Option<PathBuf> {
        self.variables.get("SSH_AUTH_SOCK").map(PathBuf::from)
    }

    /// The files that `ssh` reads, or `ssh -F FILE`.
    pub(crate) fn config_files(&self, instead: Option<&Path>) -> Vec<ConfigFile> {
        let folder = self.home.as_ref().map(|home| home.join(".ssh")).unwrap_or_default();
        let file = |path: PathBuf, include_base: &Path| ConfigFile {
            path,
            include_base: include_base.to_owned(),
        };
        if let Some(instead) = instead {
            return vec![file(instead.to_owned(), &folder)];
        }
        let own = self.home.iter().map(|_| file(folder.join("config"), &folder));
        let system = file("/etc/ssh/ssh_config".into(), Path::new("/etc/ssh"));
        own.chain([system]).collect()
    }

    /// A path in which `~` stands for the user's home and `~NAME` for that of another user.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        let Some(rest) = text.strip_prefix('~') else {
            return PathBuf::from(text);
        };
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let home = if name.is_empty() {
            self.home.clone()
        } else {
            nix::unistd::User::from_name(name).ok().flatten().map(|user| user.dir)
        };
        home.map_or_else(|| PathBuf::from(text), |home| home.join(rest))
    }
}

/// The name of this computer.
pub(crate) fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| {
        let output = Command::new("uname").arg("-n").output()?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
    });
    read.map(|name| name.trim().to_owned()).unwrap_or_default()
}
