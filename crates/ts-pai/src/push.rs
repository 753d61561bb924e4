//! Trials of a cluster whose storage is not mounted here: the container fetches its files from our listener and pushes what it writes.
//!
//! The folder that others have on the storage is then one of ours, and everything else reads and writes it all the same. What the job
//! carries is the script that fetches and pushes; the token travels as a secret of the job, which OpenPAI shows to nobody.

use crate::{
    PaiConfig,
    core::{Core, Spawner},
    files,
};
use serde_json::{Map, Value as Json};
use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{Mutex, oneshot};
use ts_core::{
    Error, ErrorKind, Prepared, Result, Secret, TrialSpec, Warning,
    http::Url,
    launch::quote,
    push::{Listener, Settings, remove_token},
};

/// Name of the secret in the job document.
const SECRET: &str = "nni_ts_push";
/// Ends the script in the job's command; no line of it.
const END: &str = "NNI_TS_END";
/// Where containers keep a trial, unless the configuration says otherwise.
pub(crate) const CONTAINER_DIR: &str = "/tmp/nni-ts";
/// The longest that a container waits for us, unless the configuration says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_hours(1);

/// Where trials push, and for how long they try.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "what the listener and the containers must know"
)]
pub struct Push {
    /// Address and port on this machine. Port 0: any that is free, the same for the whole experiment.
    pub listen: SocketAddr,
    /// Under which containers reach it, without a path. A port that is missing is that of `listen`, where the scheme is `http`.
    pub address: Url,
    /// How long a trial that has ended tries to push its last words.
    pub patience: Duration,
}

/// What a container must know to reach us.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    url: String,
    token: Secret,
}

impl Door {
    fn new(push: &Push, port: u16, token: Secret) -> Self {
        let mut address = push.address.clone();
        if address.scheme() == "http" && address.port().is_none() {
            // Fails for addresses without a host only, which no configuration has.
            let _ = address.set_port(Some(port));
        }
        let url = format!("{}/v1", address.as_str().trim_end_matches('/'));
        Self { url, token }
    }

    /// What a document shows before anything is bound.
    pub(crate) fn shown(config: &PaiConfig) -> Option<Self> {
        let push = config.push.as_ref()?;
        Some(Self::new(push, push.listen.port(), Secret::new("***")))
    }

    /// Puts the token into a job document.
    pub(crate) fn add_secret(&self, secrets: &mut Map<String, Json>) {
        secrets.insert(SECRET.to_owned(), self.token.expose().into());
    }

    /// What the container runs.
    pub(crate) fn command(&self, config: &PaiConfig, code: &Prepared, trial: &TrialSpec, role: &str) -> String {
        let dir = files::container_dir(config, trial);
        let patience = config.push.as_ref().map_or(PATIENCE, |push| push.patience);
        let script = quote(&format!("{dir}/push.sh"));
        format!(
            "mkdir -p {dir}\ncat >{script} <<'{END}'\nts_url={url}\nts_dir={dir}\nts_code={code}\nts_patience={patience}\n{text}{END}\n\
             NNI_TS_PUSH_TOKEN='<% $secrets.{SECRET} %>' sh {script} {role}",
            code = quote(&files::container_code(config, code, trial)),
            dir = quote(&dir),
            url = quote(&self.url),
            patience = patience.as_millis().div_ceil(1000),
            text = include_str!("worker/push.sh"),
            role = quote(role),
        )
    }
}

/// Where trials push, if it is open.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    door: Door,
    /// The listener ends with it.
    _listens: oneshot::Sender<Infallible>,
}

impl Gate {
    /// What containers must know; `None` while it is closed.
    pub(crate) async fn door(&self) -> Option<Door> {
        self.open.lock().await.as_ref().map(|open| open.door.clone())
    }
}

/// Opens the listener, unless it is open or nobody pushes.
///
/// # Errors
/// Those of a port that cannot be bound, with the key.
pub(crate) async fn open(spawner: &Spawner) -> Result<()> {
    if spawner.core.config.push.is_none() {
        return Ok(());
    }
    // Goes on where this request is dropped: two at a time would store two tokens.
    let (told, opened) = oneshot::channel();
    let own = spawner.clone();
    spawner.spawn(async move {
        let _ = told.send(bind(&own).await);
    });
    let ended = |_| Err(Error::new(ErrorKind::Internal, "the service ends"));
    opened.await.unwrap_or_else(ended)
}

async fn bind(spawner: &Spawner) -> Result<()> {
    let core = &spawner.core;
    let Some(push) = &core.config.push else { return Ok(()) };
    let mut open = core.gate.open.lock().await;
    if open.is_some() {
        return Ok(());
    }
    let settings = Settings {
        listen: push.listen,
        root: core.folders.root().to_owned(),
        token_file: token_file(core),
    };
    let listener = Listener::bind(&core.ctx, settings)
        .await
        .map_err(|e| e.with_key("push.listen"))?;
    let door = Door::new(push, listener.address().port(), listener.token().clone());
    let (listens, closed) = oneshot::channel();
    spawner.spawn(async move {
        tokio::select! {
            _ = closed => {}
            () = listener.serve() => {}
        }
    });
    *open = Some(Open {
        door,
        _listens: listens,
    });
    Ok(())
}

/// Closes the listener for good, once there is no trial left: what is opened later has another token.
///
/// # Errors
/// `Io`.
pub(crate) async fn close(core: &Arc<Core>) -> Result<()> {
    if core.config.push.is_none() {
        return Ok(());
    }
    let mut open = core.gate.open.lock().await;
    *open = None;
    core.on_storage(|core| remove_token(&token_file(core))).await.map(drop)
}

fn token_file(core: &Core) -> PathBuf {
    core.ctx.work_dir.join("push.token")
}

/// Which way the journal takes, and what about it a person should know.
pub(crate) fn warnings(push: &Push) -> Vec<Warning> {
    let key = "push";
    let mut warnings = vec![
        Warning::new(format!(
            "no storage is mounted here: trials fetch their files from `{}` and push there what they write",
            push.address
        ))
        .with_key(key)
        .with_help(
            "containers must reach that address; `localStorageMountPoint` (`nniManagerNFSMountPath`) needs no way here",
        ),
    ];
    let is_local = match push.address.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    };
    if is_local || (push.listen.ip().is_loopback() && push.address.scheme() == "http") {
        warnings.push(
            Warning::new(format!(
                "only this machine itself reaches `{}` at `{}`",
                push.address, push.listen
            ))
            .with_key("push.listen")
            .with_help("listen at an address of this machine that the cluster reaches, or at `0.0.0.0`"),
        );
    }
    if push.address.scheme() == "http" {
        warnings.push(
            Warning::new("the experiment's push token and all that trials write travel unencrypted")
                .with_key("push.address")
                .with_help(
                    "put a proxy with a certificate that images trust before the listener, and write its `https://` address",
                ),
        );
    }
    warnings
}
