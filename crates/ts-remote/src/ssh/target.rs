//! `Target`: a machine as `ssh` would reach it, with all that the user and OpenSSH's files say about it.
//!
//! What the user writes in the experiment file counts before OpenSSH's files.

use super::{
    client_config::{self, ConfigFile, HostSettings, Query},
    jump::{self, JumpHost},
    surroundings::Surroundings,
    tokens::Tokens,
};
use crate::config::{HostKeyPolicy, MachineConfig};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};
use ts_core::{Error, ErrorKind, Result, Secret, SecretSource, config::SecretRef};

/// Longest chain of jump hosts.
const JUMPS: usize = 8;
/// Key files that OpenSSH tries of its own accord, in its order (ssh_config(5), `IdentityFile`).
const DEFAULT_KEYS: [&str; 5] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// A machine to connect to.
#[derive(Clone)]
pub(crate) struct Target {
    /// As the user wrote it.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) credentials: Vec<Credential>,
    pub(crate) policy: HostKeyPolicy,
    /// Known-hosts files, of the user and of the system.
    pub(crate) known_hosts: Vec<PathBuf>,
    /// The user's file to which a new key is added, if there is one.
    pub(crate) new_keys: Option<PathBuf>,
    /// The name under which the host key is looked up, in lower case.
    pub(crate) key_name: String,
    /// The same without the port, for keys that are listed without one.
    pub(crate) portless_key_name: Option<String>,
    /// The host through which it is reached.
    pub(crate) jump: Option<Box<Target>>,
    pub(crate) proxy_command: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive: Duration,
}

/// One way to be let in.
#[derive(Clone)]
pub(crate) enum Credential {
    Password(Secret),
    KeyFile {
        path: PathBuf,
        passphrase: Option<Secret>,
        /// Whether the user asked for it; else it is passed over when it is not there or locked.
        is_explicit: bool,
    },
    Agent {
        socket: PathBuf,
        which: AgentKeys,
    },
}

/// Which keys of the agent are shown; listed are those of the key files among the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgentKeys {
    /// Those that are listed.
    Listed,
    /// Those that are listed, then others, as many as leave a try for a file.
    ListedFirst,
    /// Those that were not shown yet.
    Others,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Finds out how to reach `machine`.
    ///
    /// # Errors
    /// `Config` if a file cannot be read or contradicts itself, or a secret cannot be had.
    pub(crate) async fn resolve(
        machine: &MachineConfig,
        ssh_config: Option<&Path>,
        secrets: &dyn SecretSource,
    ) -> Result<Self> {
        let around = Surroundings::read();
        let secret = |reference: Option<SecretRef>, key: &'static str| async move {
            match reference {
                Some(reference) => reference.resolve(secrets).await.map(Some).map_err(|error| {
                    let message = format!("`{}`: {}", machine.host, error.message());
                    let named = Error::new(ErrorKind::Config, message).with_key(key);
                    error
                        .help()
                        .map(str::to_owned)
                        .into_iter()
                        .fold(named, Error::with_help)
                }),
                None => Ok(None),
            }
        };
        let password = secret(machine.password.clone(), "machineList[].password").await?;
        let passphrase = secret(machine.ssh_passphrase.clone(), "machineList[].sshPassphrase").await?;
        let files = around.config_files(ssh_config);
        let resolver = Resolver {
            machine,
            files: &files,
            around: &around,
        };
        let mut target = resolver.target(&machine.host, machine.user.as_deref(), machine.port, None, JUMPS)?;
        if let Some(password) = password {
            target.credentials = vec![Credential::Password(password)];
        } else if let Some(path) = &machine.ssh_key_file {
            // As `ssh -i FILE`: an agent that holds this key opens it without a passphrase, and shows no other.
            let agent = target.credentials.iter().find_map(|credential| match credential {
                Credential::Agent { socket, .. } if passphrase.is_none() => Some(Credential::Agent {
                    socket: socket.clone(),
                    which: AgentKeys::Listed,
                }),
                _ => None,
            });
            let file = Credential::KeyFile {
                path: path.clone(),
                passphrase,
                is_explicit: true,
            };
            target.credentials = agent.into_iter().chain([file]).collect();
        } else if let Some(passphrase) = passphrase {
            for credential in &mut target.credentials {
                if let Credential::KeyFile { passphrase: own, .. } = credential {
                    *own = Some(passphrase.clone());
                }
            }
        }
        Ok(target)
    }

    /// What tells it from all others in reports: the user's name for it, and where that leads.
    pub(crate) fn label(&self) -> String {
        if self.name == self.host {
            self.address()
        } else {
            format!("{} ({})", self.name, self.address())
        }
    }

    /// `user@host:port`, and through which host, for messages.
    pub(crate) fn address(&self) -> String {
        let own = match self.port {
            22 => format!("{}@{}", self.user, self.host),
            port => format!("{}@{}:{port}", self.user, self.host),
        };
        match &self.jump {
            Some(jump) => format!("{own} through {}", jump.address()),
            None => own,
        }
    }
}

struct Resolver<'a> {
    machine: &'a MachineConfig,
    files: &'a [ConfigFile],
    around: &'a Surroundings,
}

impl Resolver<'_> {
    fn target(
        &self,
        name: &str,
        user: Option<&str>,
        port: Option<u16>,
        before: Option<Target>,
        jumps: usize,
    ) -> Result<Target> {
        let query = Query {
            host: name,
            user,
            local_user: self.around.user.as_deref(),
            home: self.around.home.as_deref(),
        };
        let settings = client_config::read(self.files, query).map_err(|e| {
            Error::new(ErrorKind::Config, format!("the SSH configuration cannot be used: {e}"))
                .with_key("sshConfig")
                .with_help("mend the file, or name another one with `sshConfig`")
        })?;
        let wrong = |key: &str, value: &str| {
            Error::new(
                ErrorKind::Config,
                format!("`{key} {value}` of the SSH configuration for `{name}` is wrong"),
            )
            .with_key("sshConfig")
            .with_help(format!("`ssh -G {name}` shows what OpenSSH makes of it"))
        };
        let host = settings.host_name(name);
        let port = match (port, settings.get("port")) {
            (Some(port), _) => port,
            (None, Some(text)) => text.parse().map_err(|_| wrong("Port", text))?,
            (None, None) => 22,
        };
        let user = user
            .or(settings.get("user"))
            .or(self.around.user.as_deref())
            .ok_or_else(|| {
                Error::new(ErrorKind::Config, format!("nothing says who logs in at `{name}`"))
                    .with_key("machineList[].user")
                    .with_help("write `user`, or `User` in the SSH configuration")
            })?;
        let tokens = Tokens {
            name,
            host: &host,
            port,
            user,
            key_alias: settings.get("hostkeyalias"),
            around: self.around,
        };
        let seconds = |key: &str, default: Duration| match settings.get(key).and_then(client_config::seconds) {
            Some(0) | None => default,
            Some(n) => Duration::from_secs(n).min(default),
        };
        let way = |key: &str| settings.get(key).filter(|value| !value.eq_ignore_ascii_case("none"));
        // A host of a chain is reached through the one before it, whatever its own way would be.
        let (jump, proxy_command) = match (before, way("proxyjump"), way("proxycommand")) {
            (Some(before), _, _) => (Some(Box::new(before)), None),
            (None, Some(_), _) if jumps == 0 => return Err(wrong("ProxyJump", "in a circle, or longer than 8 hosts")),
            (None, Some(chain), _) => {
                let hosts = jump::chain(&tokens.expand(chain)).ok_or_else(|| wrong("ProxyJump", chain))?;
                (self.jump(hosts, jumps)?.map(Box::new), None)
            }
            (None, None, command) => (None, command.map(|command| tokens.expand(command))),
        };
        let user_files = self.user_known_hosts(&settings, &tokens);
        let alias = settings.get("hostkeyalias");
        let plain = host.to_lowercase();
        Ok(Target {
            name: name.to_owned(),
            credentials: self.credentials(&settings, &tokens),
            policy: self.policy(&settings),
            new_keys: user_files.first().cloned(),
            known_hosts: [user_files, Self::system_known_hosts(&settings, &tokens)].concat(),
            portless_key_name: (port != 22 && alias.is_none()).then(|| plain.clone()),
            key_name: match (alias, port) {
                (Some(alias), _) => alias.to_lowercase(),
                (None, 22) => plain,
                (None, port) => format!("[{plain}]:{port}"),
            },
            jump,
            proxy_command,
            connect_timeout: seconds("connecttimeout", self.machine.connect_timeout),
            keepalive: seconds("serveraliveinterval", self.machine.keepalive),
            port,
            user: user.to_owned(),
            host,
        })
    }

    /// The last host of a chain; each is reached through the one before it, the first as it would be without a chain.
    fn jump(&self, hosts: Vec<JumpHost>, jumps: usize) -> Result<Option<Target>> {
        let mut through: Option<Target> = None;
        for JumpHost { user, host, port } in hosts {
            through = Some(self.target(&host, user.as_deref(), port, through, jumps - 1)?);
        }
        Ok(through)
    }

    fn credentials(&self, settings: &HostSettings, tokens: &Tokens<'_>) -> Vec<Credential> {
        let files = settings.all("identityfile");
        let agent = match settings.get("identityagent").filter(|name| *name != "SSH_AUTH_SOCK") {
            Some(text) if text.eq_ignore_ascii_case("none") => None,
            Some(text) => match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
                Some(variable) => self.around.variables.get(variable).map(PathBuf::from),
                None => tokens.path(text),
            },
            None => self.around.agent(),
        };
        let is_only = settings.is_yes("identitiesonly");
        let from_agent = |which: AgentKeys| agent.clone().map(|socket| Credential::Agent { socket, which });
        let first = from_agent(if is_only {
            AgentKeys::Listed
        } else {
            AgentKeys::ListedFirst
        });
        let last = from_agent(AgentKeys::Others).filter(|_| !is_only);
        let paths: Vec<PathBuf> = if files.is_empty() {
            let home = self.around.home.iter();
            home.flat_map(|home| DEFAULT_KEYS.map(|name| home.join(".ssh").join(name)))
                .filter(|file| file.exists() || file.with_extension("pub").exists())
                .collect()
        } else {
            let files = files.iter().filter(|file| !file.eq_ignore_ascii_case("none"));
            files.filter_map(|file| tokens.path(file)).collect()
        };
        let files = paths.into_iter().map(|path| Credential::KeyFile {
            path,
            passphrase: None,
            is_explicit: false,
        });
        first.into_iter().chain(files).chain(last).collect()
    }

    fn policy(&self, settings: &HostSettings) -> HostKeyPolicy {
        let theirs = || match settings.get("stricthostkeychecking")?.to_ascii_lowercase().as_str() {
            "accept-new" => Some(HostKeyPolicy::AcceptNew),
            "no" | "off" => Some(HostKeyPolicy::Off),
            _ => None,
        };
        self.machine
            .host_key_policy
            .or_else(theirs)
            .unwrap_or(HostKeyPolicy::Strict)
    }

    fn user_known_hosts(&self, settings: &HostSettings, tokens: &Tokens<'_>) -> Vec<PathBuf> {
        listed(settings, "userknownhostsfile", tokens).unwrap_or_else(|| {
            let home = self.around.home.iter();
            home.flat_map(|home| ["known_hosts", "known_hosts2"].map(|name| home.join(".ssh").join(name)))
                .collect()
        })
    }

    fn system_known_hosts(settings: &HostSettings, tokens: &Tokens<'_>) -> Vec<PathBuf> {
        listed(settings, "globalknownhostsfile", tokens).unwrap_or_else(|| {
            ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
                .map(PathBuf::from)
                .into()
        })
    }
}

/// The files that a key lists; `none` lists none.
fn listed(settings: &HostSettings, key: &str, tokens: &Tokens<'_>) -> Option<Vec<PathBuf>> {
    let first = settings.get(key)?;
    if first.eq_ignore_ascii_case("none") {
        return Some(Vec::new());
    }
    Some(settings.all(key).iter().filter_map(|file| tokens.path(file)).collect())
}
