//! Authentication: what is tried in which order, and what the server says to each.

use super::{
    connection::Hops,
    target::{Credential, Target},
};
use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt, Session};
use std::path::Path;
use ts_core::{Error, ErrorKind, FindingState, Result, Retry};

/// libssh2's `LIBSSH2_ERROR_*` codes that say more than no.
mod code {
    pub(super) const PASSWORD_EXPIRED: i32 = -15;
    pub(super) const FILE: i32 = -16;
    pub(super) const AUTHENTICATION_FAILED: i32 = -18;
    pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(super) const KEYFILE_AUTH_FAILED: i32 = -48;
}

/// Most keys of an agent that are shown to the server; it allows six tries by default (sshd_config(5), `MaxAuthTries`).
const AGENT_KEYS: usize = 5;

/// How a try ended.
enum Tried {
    In,
    /// The server wants something else.
    No(String),
    /// Nothing was shown to the server.
    Skipped(String),
}

/// Logs in, or says what was tried.
pub(crate) fn authenticate(session: &Session, target: &Target, hops: &mut Hops) -> Result<()> {
    let address = target.address();
    // Asking for the methods is a try with none; some servers let one in with it.
    let methods = match session.auth_methods(&target.user) {
        Ok(methods) => methods.to_owned(),
        Err(_) if session.authenticated() => return Ok(()),
        Err(error) => return Err(hops.failed("authentication", broken(target, &error))),
    };
    if let Ok(Some(banner)) = session.userauth_banner() {
        tracing::debug!(%address, banner, "the server greets");
    }
    let offers = |method: &str| methods.split(',').any(|m| m == method);
    let mut said = Vec::new();
    for credential in &target.credentials {
        let tried = match credential {
            Credential::Password(password) => {
                let mut tried = Tried::Skipped("the server takes no password".to_owned());
                if offers("password") {
                    tried = by_password(session, target, password.expose())?;
                }
                if !matches!(tried, Tried::In) && offers("keyboard-interactive") {
                    tried = by_prompts(session, target, password.expose())?;
                }
                note(&mut said, "password", tried)
            }
            Credential::KeyFile { .. } | Credential::Agent { .. } if !offers("publickey") => {
                note(&mut said, "key", Tried::Skipped("the server takes no key".to_owned()))
            }
            Credential::KeyFile {
                path,
                passphrase,
                is_explicit,
            } => {
                let tried = by_key(
                    session,
                    target,
                    path,
                    passphrase.as_ref().map(ts_core::Secret::expose),
                    *is_explicit,
                )?;
                note(&mut said, &format!("key `{}`", path.display()), tried)
            }
            Credential::Agent { socket } => note(&mut said, "agent", by_agent(session, target, socket)?),
        };
        if tried {
            hops.add(
                "authentication",
                FindingState::Good,
                format!("{} logged in by {}", target.user, said.join("; ")),
            );
            return Ok(());
        }
    }
    let tries = if said.is_empty() {
        "there was nothing to try".to_owned()
    } else {
        said.join("; ")
    };
    let error = Error::new(
        ErrorKind::Auth,
        format!("{address} did not let us in: {tries}; it takes {methods}"),
    );
    let error = match target.credentials.as_slice() {
        [Credential::Password(_)] => error
            .with_key("machineList[].password")
            .with_help("mend user or password"),
        [Credential::KeyFile { is_explicit: true, .. }] => error.with_key("machineList[].sshKeyFile").with_help(
            "add its public key to `~/.ssh/authorized_keys` of the user on the machine, or name another key",
        ),
        _ => error
            .with_key("machineList[].sshKeyFile")
            .with_help("name a key with `sshKeyFile`, write a `password`, or add a key to the agent with `ssh-add`"),
    };
    Err(hops.failed("authentication", error))
}

/// Remembers what a try came to; `true` if it let us in.
fn note(said: &mut Vec<String>, what: &str, tried: Tried) -> bool {
    match tried {
        Tried::In => {
            *said = vec![what.to_owned()];
            true
        }
        Tried::No(why) => {
            said.push(format!("{what}: refused ({why})"));
            false
        }
        Tried::Skipped(why) => {
            said.push(format!("{what}: {why}"));
            false
        }
    }
}

fn by_password(session: &Session, target: &Target, password: &str) -> Result<Tried> {
    match session.userauth_password(&target.user, password) {
        Ok(()) => Ok(Tried::In),
        Err(error) => match number(&error) {
            code::PASSWORD_EXPIRED => Err(expired(target)),
            _ => judge(session, target, &error),
        },
    }
}

/// Answers questions with the password, as NNI did.
struct Answers<'a> {
    password: &'a str,
    wants_new: bool,
}

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt(&mut self, _user: &str, instructions: &str, prompts: &[Prompt<'_>]) -> Vec<String> {
        let text = prompts
            .iter()
            .map(|p| p.text.to_lowercase())
            .chain([instructions.to_lowercase()]);
        // PAM asks for the old and the new password once the present one has expired.
        self.wants_new |= text.into_iter().any(|t| {
            t.contains("new ") && t.contains("password") || t.contains("expired") || t.contains("change your password")
        });
        let answer = if self.wants_new { "" } else { self.password };
        prompts
            .iter()
            .map(|prompt| if prompt.echo { String::new() } else { answer.to_owned() })
            .collect()
    }
}

fn by_prompts(session: &Session, target: &Target, password: &str) -> Result<Tried> {
    let mut answers = Answers {
        password,
        wants_new: false,
    };
    match session.userauth_keyboard_interactive(&target.user, &mut answers) {
        Ok(()) => Ok(Tried::In),
        Err(_) if answers.wants_new => Err(expired(target)),
        Err(error) => judge(session, target, &error),
    }
}

fn expired(target: &Target) -> Error {
    Error::new(
        ErrorKind::Auth,
        format!(
            "the password of {} has expired: the machine wants a new one",
            target.address()
        ),
    )
    .with_key("machineList[].password")
    .with_help(format!(
        "log in once by hand (`ssh {}`), set a new password, and write it here",
        target.name
    ))
}

fn by_key(
    session: &Session,
    target: &Target,
    path: &Path,
    passphrase: Option<&str>,
    is_explicit: bool,
) -> Result<Tried> {
    let text = match std::fs::read(path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if is_explicit => {
            let what = format!("read the key file for {} from", target.address());
            return Err(Error::io(&what, path, error).with_key("machineList[].sshKeyFile"));
        }
        Err(error) => return Ok(Tried::Skipped(format!("cannot be read: {error}"))),
    };
    if !text.contains("PRIVATE KEY") {
        let why = "is no private key".to_owned();
        if !is_explicit {
            return Ok(Tried::Skipped(why));
        }
        let message = format!("{}: key file `{}` {why}", target.address(), path.display());
        let error = Error::new(ErrorKind::Config, message)
            .with_key("machineList[].sshKeyFile")
            .with_help("name the private key, not the one that ends in `.pub`; convert others with `ssh-keygen -p -f`");
        return Err(error);
    }
    match session.userauth_pubkey_file(&target.user, None, path, passphrase) {
        Ok(()) => Ok(Tried::In),
        Err(error) => match number(&error) {
            // The server was not asked: the key could not be opened.
            code::FILE | code::KEYFILE_AUTH_FAILED => locked(target, path, passphrase.is_some(), is_explicit),
            _ => judge(session, target, &error),
        },
    }
}

fn locked(target: &Target, path: &Path, has_passphrase: bool, is_explicit: bool) -> Result<Tried> {
    let why = if has_passphrase {
        "cannot be opened with this passphrase"
    } else {
        "cannot be opened: it wants a passphrase, or is damaged"
    };
    if !is_explicit {
        return Ok(Tried::Skipped(why.to_owned()));
    }
    let message = format!("{}: key file `{}` {why}", target.address(), path.display());
    let error = Error::new(ErrorKind::Auth, message)
        .with_key("machineList[].sshPassphrase")
        .with_help("write its passphrase as `sshPassphrase`, or unlock it once with `ssh-add`");
    Err(error)
}

fn by_agent(session: &Session, target: &Target, socket: &Path) -> Result<Tried> {
    let mut agent = session.agent().map_err(|error| broken(target, &error))?;
    let listed = agent
        .set_identity_path(socket)
        .and_then(|()| agent.connect())
        .and_then(|()| agent.list_identities())
        .and_then(|()| agent.identities());
    let keys = match listed {
        Ok(keys) => keys,
        Err(error) => {
            return Ok(Tried::Skipped(format!(
                "`{}` does not answer: {error}",
                socket.display()
            )));
        }
    };
    if keys.is_empty() {
        return Ok(Tried::Skipped("it holds no key".to_owned()));
    }
    let mut tried = Tried::No("no key of it".to_owned());
    for key in keys.iter().take(AGENT_KEYS) {
        tried = match agent.userauth(&target.user, key) {
            Ok(()) => return Ok(Tried::In),
            Err(error) => judge(session, target, &error)?,
        };
    }
    Ok(tried)
}

/// A refusal, unless the connection itself broke.
fn judge(session: &Session, target: &Target, error: &ssh2::Error) -> Result<Tried> {
    if session.authenticated() {
        return Ok(Tried::In);
    }
    match number(error) {
        code::AUTHENTICATION_FAILED | code::PUBLICKEY_UNVERIFIED => Ok(Tried::No(error.message().to_owned())),
        n if is_lost(n) => Err(broken(target, error)),
        _ => Ok(Tried::No(error.message().to_owned())),
    }
}

/// Whether libssh2's code says that the connection is gone: socket errors and a disconnect.
pub(crate) fn is_lost(code: i32) -> bool {
    matches!(code, -1 | -2 | -7 | -9 | -13 | -43 | -45)
}

pub(crate) fn number(error: &ssh2::Error) -> i32 {
    match error.code() {
        ErrorCode::Session(code) | ErrorCode::SFTP(code) => code,
    }
}

fn broken(target: &Target, error: &ssh2::Error) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!(
            "{} ended the connection during authentication: {}",
            target.address(),
            error.message()
        ),
    )
    .with_retry(Retry::NotApplied { after: None })
    .with_help("the server may allow too few tries (`MaxAuthTries`) or connections (`MaxStartups`)")
}
