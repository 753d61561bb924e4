//! The agent: which of its keys are shown to a server, and in which order.

use super::{
    authenticate::{Attempts, Tried, broken, judge},
    target::{AgentKeys, Target},
};
use ssh2::{Agent, PublicKey, Session};
use std::path::Path;
use ts_core::Result;

/// Most keys of an agent that are shown before the key files; a server allows six tries by default (sshd_config(5),
/// `MaxAuthTries`), and one should be left for a file.
const BEFORE_FILES: usize = 5;

/// Shows keys of the agent at `socket` until one lets us in; `listed` are the public keys of the key files.
///
/// Keys that are listed come first, as in OpenSSH (`sshconnect2.c`, `pubkey_prepare`).
pub(crate) fn by_agent(
    session: &Session,
    target: &Target,
    (socket, which): (&Path, AgentKeys),
    listed: &[Vec<u8>],
    attempts: &mut Attempts,
) -> Result<Option<Tried>> {
    let agent = session.agent().map_err(|error| broken(target, &error))?;
    let (agent, keys) = match open(agent, socket) {
        Ok(opened) => opened,
        // It was said the first time.
        Err(_) if which == AgentKeys::Others => return Ok(None),
        Err(error) => {
            let why = format!("`{}` does not answer: {error}", socket.display());
            return Ok(Some(Tried::Skipped(why)));
        }
    };
    let blobs: Vec<&[u8]> = keys.iter().map(PublicKey::blob).collect();
    let chosen = choose(&blobs, which, listed, |key| attempts.has_refused(key));
    if chosen.is_empty() {
        return Ok(match which {
            AgentKeys::Others => None,
            _ if keys.is_empty() => Some(Tried::Skipped("it holds no key".to_owned())),
            _ => Some(Tried::Skipped("it holds none of the keys that are listed".to_owned())),
        });
    }
    let mut tried = None;
    for key in chosen.into_iter().map(|index| &keys[index]) {
        let this = match agent.userauth(&target.user, key) {
            Ok(()) => Tried::In,
            Err(error) => judge(session, target, &error)?,
        };
        if let Tried::In = this {
            return Ok(Some(this));
        }
        attempts.refused(key.blob().to_vec());
        tried = Some(this);
    }
    Ok(tried)
}

fn open(mut agent: Agent, socket: &Path) -> std::result::Result<(Agent, Vec<PublicKey>), ssh2::Error> {
    agent.set_identity_path(socket)?;
    agent.connect()?;
    agent.list_identities()?;
    let keys = agent.identities()?;
    Ok((agent, keys))
}

/// The keys to show, by index.
fn choose(keys: &[&[u8]], which: AgentKeys, listed: &[Vec<u8>], has_refused: impl Fn(&[u8]) -> bool) -> Vec<usize> {
    let new = (0..keys.len()).filter(|index| !has_refused(keys[*index]));
    let (ours, others): (Vec<_>, Vec<_>) = new.partition(|index| listed.iter().any(|key| key == keys[*index]));
    match which {
        AgentKeys::Listed => ours,
        AgentKeys::ListedFirst => ours.into_iter().chain(others).take(BEFORE_FILES).collect(),
        AgentKeys::Others => ours.into_iter().chain(others).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_keys_come_first_and_no_key_twice() {
        let keys: Vec<&[u8]> = vec![b"0", b"1", b"2", b"3", b"4", b"5", b"6"];
        let listed = [b"6".to_vec(), b"x".to_vec(), b"2".to_vec()];
        let chosen = |which, refused: &[u8]| choose(&keys, which, &listed, |key| refused.contains(&key[0]));
        assert_eq!(chosen(AgentKeys::Listed, b""), [2, 6]);
        assert_eq!(chosen(AgentKeys::ListedFirst, b""), [2, 6, 0, 1, 3]);
        assert_eq!(chosen(AgentKeys::Others, b"26013"), [4, 5]);
        assert_eq!(chosen(AgentKeys::Others, b"0123456"), [0; 0]);
    }
}
