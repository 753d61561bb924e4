//! The way to the cluster: which kubeconfig, which context, which namespace; made when it is first needed.
//!
//! What is asked for on that way is every other module's own.

use crate::{Access, error};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use std::time::Duration;
use ts_core::{Error, ErrorKind, Result};

/// How long a request may be without an answer. Streams are cut by the watch over the connection instead.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster and a namespace in it.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// For requests with one answer.
    pub(crate) client: Client,
    /// For watches, logs and commands in containers.
    pub(crate) streams: Client,
    pub(crate) namespace: String,
    /// Address of the API server, for people.
    pub(crate) address: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({}, {})", self.address, self.namespace)
    }
}

/// Reads the configuration and makes the clients. Asks nothing of the cluster yet.
///
/// # Errors
/// `Config` with the file that is wrong.
pub(crate) async fn cluster(access: &Access) -> Result<Cluster> {
    let mut config = configuration(access).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = None;
    let streams = client(config.clone())?;
    config.read_timeout = Some(TIMEOUT);
    config.write_timeout = Some(TIMEOUT);
    let address = config.cluster_url.to_string();
    Ok(Cluster {
        client: client(config)?,
        streams,
        // NNI's default is `default`, whatever the context says (nni v2.10, `kubeflowConfig.ts`).
        namespace: access.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        address: address.trim_end_matches('/').to_owned(),
    })
}

fn client(config: Config) -> Result<Client> {
    Client::try_from(config).map_err(|e| error::of_api("connect to the cluster", e))
}

/// What is named wins; then, in a pod, its service account; then `$KUBECONFIG` and `~/.kube/config`.
///
/// NNI since v2.10 has the same order (`kubernetesApiClient.ts`).
async fn configuration(access: &Access) -> Result<Config> {
    let options = KubeConfigOptions {
        context: access.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = &access.kubeconfig {
        let named = |e: KubeconfigError| refused(&format!("`{}`", path.display()), &e).with_key("kubeconfig");
        let file = Kubeconfig::read_from(path).map_err(named)?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(named);
    }
    if access.context.is_none() && in_pod() {
        return Config::incluster().map_err(|e| {
            Error::new(
                ErrorKind::Config,
                format!("the pod's service account cannot be used: {}", error::chain(&e)),
            )
            .with_help("give the pod a service account with a mounted token, or name a `kubeconfig`")
        });
    }
    Config::from_kubeconfig(&options)
        .await
        .map_err(|e| refused("the kubeconfig", &e))
}

/// Kubernetes tells a pod where its API server is in this way only.
fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty())
        && std::env::var_os("KUBECONFIG").is_none()
}

fn refused(what: &str, source: &KubeconfigError) -> Error {
    let help = match source {
        KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) => {
            "name a file with `kubeconfig`, set `KUBECONFIG`, or make `~/.kube/config`"
        }
        KubeconfigError::LoadContext(_) => "`kubectl config get-contexts` lists the contexts; name one with `context`",
        _ => "`kubectl config view` shows what it holds",
    };
    Error::new(
        ErrorKind::Config,
        format!("{what} does not lead to a cluster: {}", error::chain(source)),
    )
    .with_help(help)
}
