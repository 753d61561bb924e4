//! Keys that only an agent can use: encrypted files, files with a public key alone, and agents that hold many keys.

use crate::machine::{Machine, PASSWORD};
use futures_util::stream;
use russh::keys::{
    Algorithm, PrivateKey,
    agent::{
        client::AgentClient,
        server::{self, MessageType},
    },
    ssh_key::LineEnding,
};
use std::{
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::UnixListener, task::JoinHandle};
use ts_core::{ErrorKind, Result, Secret, Warnings, config::SecretRef};
use ts_remote::MachineConfig;
use ts_testkit::conformance::Fixture as _;

/// An agent of this process.
struct Agent {
    socket: PathBuf,
    signed: Signed,
    task: JoinHandle<()>,
}

/// How often it has signed.
#[derive(Clone, Default)]
struct Signed(Arc<AtomicUsize>);

impl server::Agent for Signed {
    async fn confirm_request(&self, message: MessageType) -> bool {
        if let MessageType::Sign = message {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        true
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the agent is a world of its own: no `Ctx` is in it"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Agent {
    async fn with(machine: &Machine, keys: &[&PrivateKey]) -> Self {
        let socket = machine.path("agent");
        let listener = UnixListener::bind(&socket).expect("a short path");
        let connections = stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let signed = Signed::default();
        let serving = server::serve(Box::pin(connections), signed.clone());
        let task = spawn(async move { drop(serving.await) });
        let mut client = AgentClient::connect_uds(&socket).await.expect("it listens");
        for key in keys {
            client.add_identity(key, &[]).await.expect("room");
        }
        Self { socket, signed, task }
    }

    fn n_signed(&self) -> usize {
        self.signed.0.load(Ordering::Relaxed)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("randomness")
}

/// A machine that takes this key and no password.
async fn machine(authorized: &PrivateKey) -> Machine {
    Machine::with(|setting, _| {
        setting.password = None;
        setting.authorized = vec![authorized.public_key().clone()];
    })
    .await
}

/// Writes the key as `name`, encrypted, and its public part beside it.
fn save(machine: &Machine, key: &PrivateKey, name: &str) -> PathBuf {
    let path = machine.path(name);
    let locked = key.encrypt(&mut rand::rng(), PASSWORD).expect("a cipher");
    std::fs::write(&path, locked.to_openssh(LineEnding::LF).expect("a key").as_bytes()).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our file");
    let public = key.public_key().to_openssh().expect("a key");
    std::fs::write(path.with_extension("pub"), public).expect("a file");
    path
}

async fn validate(machine: &Machine, config: MachineConfig) -> Result<Warnings> {
    let ctx = machine.ctx();
    let service = machine.service_of(&ctx, vec![config]);
    let result = service.validate(&machine.spec).await;
    drop(service);
    ctx.tasks.close().await;
    result
}

/// Asks with this configuration of OpenSSH.
async fn ask(machine: &Machine, ssh_config: &str) -> Result<Warnings> {
    std::fs::write(machine.path("ssh_config"), ssh_config).expect("a file");
    let mut config = machine.config();
    config.password = None;
    validate(machine, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_identities_only_the_agent_signs_for_the_files_that_are_listed_and_for_no_other() {
    let (right, other) = (key(), key());
    let machine = machine(&right).await;
    let agent = Agent::with(&machine, &[&other, &right]).await;
    let (right, other) = (save(&machine, &right, "right"), save(&machine, &other, "other"));
    let with = |file: &PathBuf| {
        format!(
            "IdentitiesOnly yes\nIdentityAgent {}\nIdentityFile {}\n",
            agent.socket.display(),
            file.display()
        )
    };
    ask(&machine, &with(&right))
        .await
        .expect("the file is locked, and the agent has its key");
    ask(&machine, &with(&right.with_extension("pub")))
        .await
        .expect("a public key stands for the agent's");
    assert_eq!(agent.n_signed(), 2);
    let error = ask(&machine, &with(&other))
        .await
        .expect_err("the other key is not asked for");
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    std::fs::remove_file(&right).expect("our file");
    ask(&machine, &with(&right)).await.expect("its public part is there");
    let error = ask(&machine, &with(&machine.path("absent")))
        .await
        .expect_err("none is listed");
    assert!(error.to_string().contains("none of the keys"), "{error}");
    assert_eq!(agent.n_signed(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_without_its_passphrase_is_opened_by_the_agent_that_holds_it() {
    let (right, other) = (key(), key());
    let machine = machine(&right).await;
    let agent = Agent::with(&machine, &[&other, &right]).await;
    let ssh_config = format!("IdentityAgent {}\n", agent.socket.display());
    std::fs::write(machine.path("ssh_config"), ssh_config).expect("a file");
    let mut config = machine.config();
    config.password = None;
    config.ssh_key_file = Some(save(&machine, &right, "right"));
    validate(&machine, config.clone()).await.expect("unlocked by the agent");
    assert_eq!(agent.n_signed(), 1);
    config.ssh_passphrase = Some(SecretRef::Literal(Secret::new(PASSWORD)));
    validate(&machine, config.clone())
        .await
        .expect("unlocked by its passphrase");
    assert_eq!(agent.n_signed(), 1);
    config.ssh_passphrase = None;
    config.ssh_key_file = Some(save(&machine, &other, "other"));
    let error = validate(&machine, config.clone()).await.expect_err("another key");
    assert_eq!(error.key(), Some("machineList[0].sshKeyFile"), "{error}");
    assert!(
        error.help().is_some_and(|help| help.contains("authorized_keys")),
        "{error}"
    );
    config.ssh_key_file = Some(save(&machine, &key(), "third"));
    let error = validate(&machine, config).await.expect_err("nobody can open it");
    assert_eq!(error.key(), Some("machineList[0].sshPassphrase"), "{error}");
}

/// The server allows six tries, and counts the question what it takes as one.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_agent_with_many_keys_those_of_files_come_first() {
    let right = key();
    let others = [(); 7].map(|()| key());
    let absent = "IdentityFile /absent/key".to_owned();
    for (n_others, listed, is_in) in [(4, false, true), (7, true, true), (7, false, false)] {
        let machine = machine(&right).await;
        let right_file = save(&machine, &right, "right");
        let right_one = Some(&right).filter(|_| is_in);
        let keys: Vec<&PrivateKey> = others[..n_others].iter().chain(right_one).collect();
        let agent = Agent::with(&machine, &keys).await;
        let listed = if listed {
            format!("IdentityFile {}", right_file.display())
        } else {
            absent.clone()
        };
        let found = ask(
            &machine,
            &format!("IdentityAgent {}\n{listed}\n", agent.socket.display()),
        )
        .await;
        if is_in {
            found.expect("one of the first five");
            continue;
        }
        let error = found.expect_err("none of them");
        assert_eq!(error.kind(), ErrorKind::Auth, "to come again would not help: {error}");
        assert!(
            error.help().is_some_and(|help| help.contains("MaxAuthTries")),
            "{error}"
        );
    }
}
