//! Authentication: what is tried in which order, and what the server says to each.

use super::{
    agent::by_agent,
    connection::Hops,
    identity,
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

/// What libssh2 says where the connection ends in place of an answer (`userauth.c`).
const NO_ANSWER: &str = "Waiting for USERAUTH response";

/// How a try ended.
pub(crate) enum Tried {
    In,
    /// The server wants something else.
    No(String),
    /// Nothing was shown to the server.
    Skipped(String),
}

/// What was tried so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    said: Vec<String>,
    /// Public keys that the server has refused; it is not asked twice, for it counts.
    refused: Vec<Vec<u8>>,
    has_refused: bool,
}

impl Attempts {
    pub(crate) fn refused(&mut self, key: Vec<u8>) {
        self.has_refused = true;
        self.refused.push(key);
    }

    pub(crate) fn has_refused(&self, key: &[u8]) -> bool {
        self.refused.iter().any(|refused| refused == key)
    }

    /// Remembers what a try came to; `true` if it let us in.
    fn note(&mut self, what: &str, tried: Tried) -> bool {
        match tried {
            Tried::In => {
                self.said = vec![what.to_owned()];
                return true;
            }
            Tried::No(why) => {
                self.has_refused = true;
                self.said.push(format!("{what}: refused ({why})"));
            }
            Tried::Skipped(why) => self.said.push(format!("{what}: {why}")),
        }
        false
    }

    fn list(&self) -> String {
        if self.said.is_empty() {
            "there was nothing to try".to_owned()
        } else {
            self.said.join("; ")
        }
    }
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
    let mut attempts = Attempts::default();
    let listed = listed_keys(target);
    for credential in &target.credentials {
        let is_in = match one(session, target, &methods, credential, &listed, &mut attempts) {
            Ok(is_in) => is_in,
            // A server that ends the connection after a refusal has had enough of our keys; trying again would change nothing.
            Err(error) if error.kind() == ErrorKind::Unreachable && attempts.has_refused => {
                return Err(hops.failed("authentication", enough(target, &attempts)));
            }
            Err(error) => return Err(error),
        };
        if is_in {
            hops.add(
                "authentication",
                FindingState::Good,
                format!("{} logged in by {}", target.user, attempts.list()),
            );
            return Ok(());
        }
    }
    let error = Error::new(
        ErrorKind::Auth,
        format!("{address} did not let us in: {}; it takes {methods}", attempts.list()),
    );
    let error = match target.credentials.as_slice() {
        [Credential::Password(_)] => error
            .with_key("machineList[].password")
            .with_help("mend user or password"),
        [.., Credential::KeyFile { is_explicit: true, .. }] => error.with_key("machineList[].sshKeyFile").with_help(
            "add its public key to `~/.ssh/authorized_keys` of the user on the machine, or name another key",
        ),
        _ => error
            .with_key("machineList[].sshKeyFile")
            .with_help("name a key with `sshKeyFile`, write a `password`, or add a key to the agent with `ssh-add`"),
    };
    Err(hops.failed("authentication", error))
}

/// The public keys of all key files that are to be tried.
fn listed_keys(target: &Target) -> Vec<Vec<u8>> {
    let files = target.credentials.iter().filter_map(|credential| match credential {
        Credential::KeyFile { path, .. } => Some(path),
        _ => None,
    });
    files.flat_map(|file| identity::public_keys(file)).collect()
}

/// Attempts one way in; `true` if it was one.
fn one(
    session: &Session,
    target: &Target,
    methods: &str,
    credential: &Credential,
    listed: &[Vec<u8>],
    attempts: &mut Attempts,
) -> Result<bool> {
    let offers = |method: &str| methods.split(',').any(|m| m == method);
    let (what, tried) = match credential {
        Credential::Password(password) => {
            let mut tried = Tried::Skipped("the server takes no password".to_owned());
            if offers("password") {
                tried = by_password(session, target, password.expose())?;
            }
            if !matches!(tried, Tried::In) && offers("keyboard-interactive") {
                tried = by_prompts(session, target, password.expose())?;
            }
            ("password".to_owned(), tried)
        }
        Credential::KeyFile { .. } | Credential::Agent { .. } if !offers("publickey") => {
            ("key".to_owned(), Tried::Skipped("the server takes no key".to_owned()))
        }
        Credential::KeyFile {
            path,
            passphrase,
            is_explicit,
        } => {
            let own = identity::public_keys(path).into_iter().next();
            let tried = match &own {
                Some(own) if attempts.has_refused(own) => Tried::Skipped("is the same key".to_owned()),
                _ => by_key(
                    session,
                    target,
                    path,
                    passphrase.as_ref().map(ts_core::Secret::expose),
                    *is_explicit,
                )?,
            };
            if let (Some(own), Tried::No(_)) = (own, &tried) {
                attempts.refused(own);
            }
            (format!("key `{}`", path.display()), tried)
        }
        Credential::Agent { socket, which } => match by_agent(session, target, (socket, *which), listed, attempts)? {
            Some(tried) => ("agent".to_owned(), tried),
            None => return Ok(false),
        },
    };
    Ok(attempts.note(&what, tried))
}

fn enough(target: &Target, attempts: &Attempts) -> Error {
    let said = attempts.said.join("; ");
    let said = if said.is_empty() { said } else { format!(" ({said})") };
    Error::new(
        ErrorKind::Auth,
        format!("{} has refused keys and lets us try no more of them{said}", target.address()),
    )
    .with_key("machineList[].sshKeyFile")
    .with_help(
        "name the right key with `sshKeyFile`, or with `IdentityFile` and `IdentitiesOnly yes` in the SSH configuration; \
         the server allows few tries (`MaxAuthTries`)",
    )
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

/// A refusal, unless the connection itself broke.
pub(crate) fn judge(session: &Session, target: &Target, error: &ssh2::Error) -> Result<Tried> {
    if session.authenticated() {
        return Ok(Tried::In);
    }
    match number(error) {
        // libssh2 has no code of its own for a connection that ends where an answer should be.
        code::PUBLICKEY_UNVERIFIED if error.message() == NO_ANSWER => Err(broken(target, error)),
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

pub(crate) fn broken(target: &Target, error: &ssh2::Error) -> Error {
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
