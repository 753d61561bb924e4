//! What `doctor` asks about the cluster: the way to it, what it serves, what we may do there, and whether its clock is ours.

use crate::{KubernetesConfig, StorageKind, access, error, kinds, validate};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use kube::{Api, api::ListParams};
use ts_core::{
    Ctx, Finding,
    FindingState::{Bad, Good, Warning},
    config::{PlatformSection, Problems},
};

pub(crate) async fn diagnose(section: Option<&PlatformSection>, _ctx: &Ctx) -> Vec<Finding> {
    let Some(section) = section else {
        return vec![Finding::new(
            "Kubernetes",
            Good,
            "no cluster named; `tsctl doctor FILE` looks at that of a file",
        )];
    };
    let config = KubernetesConfig::read(section, &mut Problems::new());
    let mut findings = Vec::new();
    let cluster = match access::cluster(&config.access).await {
        Ok(cluster) => {
            let text = format!("`{}`, namespace `{}`", cluster.address, cluster.namespace);
            findings.push(Finding::new("kubeconfig", Good, text));
            cluster
        }
        Err(error) => {
            findings.push(bad("kubeconfig", &error));
            return findings;
        }
    };
    match cluster.client.apiserver_version().await {
        Ok(version) => findings.push(Finding::new("API server", Good, version.git_version)),
        Err(e) => {
            findings.push(bad(
                "API server",
                &error::of_api("ask the API server for its version", e),
            ));
            return findings;
        }
    }
    let kind = config.kind;
    match kinds::discover(&cluster, kind, config.api_version.as_deref()).await {
        Ok(served) => {
            let text = format!("{}/{}", served.resource.group, served.resource.version);
            findings.push(Finding::new(kind.kind(), Good, text));
        }
        Err(error) => findings.push(bad(kind.kind(), &error)),
    }
    findings.push(permissions(&config, &cluster).await);
    findings.push(events(&cluster).await);
    findings.extend(nodes(&config, &cluster).await);
    findings.extend(storage(&config, &cluster).await);
    findings
}

fn bad(subject: &str, error: &ts_core::Error) -> Finding {
    let finding = Finding::new(subject, Bad, error.to_string());
    error.help().into_iter().fold(finding, Finding::with_help)
}

async fn permissions(config: &KubernetesConfig, cluster: &access::Cluster) -> Finding {
    let mut missing = Vec::new();
    for (group, resource, verb) in validate::permissions(config) {
        match validate::may(cluster, group, resource, verb).await {
            Ok(true) => {}
            Ok(false) => missing.push(validate::describe(group, resource, verb)),
            Err(error) => return bad("permissions", &error),
        }
    }
    if missing.is_empty() {
        return Finding::new("permissions", Good, "all that is needed");
    }
    Finding::new("permissions", Bad, format!("missing: {}", missing.join(", ")))
        .with_help("the README of `ts-k8s` has a Role with all that is needed")
}

async fn events(cluster: &access::Cluster) -> Finding {
    for verb in ["list", "watch"] {
        if !matches!(validate::may(cluster, "", "events", verb).await, Ok(true)) {
            return Finding::new("events", Warning, format!("not allowed to {verb} them"))
                .with_help("trials run; why one waits is told less well without");
        }
    }
    Finding::new("events", Good, "can be read")
}

async fn nodes(config: &KubernetesConfig, cluster: &access::Cluster) -> Option<Finding> {
    let wanted: u32 = config.roles.iter().map(|role| role.gpus).max().unwrap_or(0);
    let nodes = Api::<Node>::all(cluster.client.clone())
        .list(&ListParams::default())
        .await;
    // Nodes belong to the whole cluster; many may not read them.
    let nodes = nodes.ok()?.items;
    let gpu = config.pods.gpu_resource.as_deref().unwrap_or("nvidia.com/gpu");
    let of = |node: &Node| -> u32 {
        let amounts = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        amounts.and_then(|a| a.get(gpu)?.0.parse().ok()).unwrap_or(0)
    };
    let most = nodes.iter().map(of).max().unwrap_or(0);
    let text = format!("{} nodes, at most {most} GPUs (`{gpu}`) on one", nodes.len());
    let pods = validate::n_pods(&config.roles);
    Some(if wanted > most {
        Finding::new("nodes", Bad, format!("{text}; a pod wants {wanted}"))
            .with_help("lower `gpuNumber` (`gpuNum`), or correct `gpuResource`")
    } else {
        Finding::new("nodes", Good, format!("{text}; {pods} pods per trial"))
    })
}

async fn storage(config: &KubernetesConfig, cluster: &access::Cluster) -> Option<Finding> {
    let storage = config.storage.as_ref()?;
    Some(match &storage.kind {
        StorageKind::Claim { name, .. } => {
            let claims = Api::<PersistentVolumeClaim>::namespaced(cluster.client.clone(), &cluster.namespace);
            match claims.get(name).await {
                Ok(claim) => {
                    let phase = claim.status.and_then(|s| s.phase).unwrap_or_default();
                    let state = if phase == "Bound" { Good } else { Warning };
                    Finding::new("storage", state, format!("PersistentVolumeClaim `{name}` is {phase}"))
                }
                // Trials need no such right.
                Err(kube::Error::Api(status)) if status.code == 403 => Finding::new(
                    "storage",
                    Warning,
                    format!("not allowed to look at PersistentVolumeClaim `{name}`"),
                )
                .with_help("trials run if it is there; whether it is, is told by `get` on `persistentvolumeclaims`"),
                Err(e) => bad(
                    "storage",
                    &error::of_api(&format!("look at PersistentVolumeClaim `{name}`"), e),
                ),
            }
        }
        StorageKind::Nfs { server, path } => Finding::new(
            "storage",
            Good,
            format!("nodes mount `{server}:{path}`; it is not looked at from here"),
        ),
        StorageKind::AzureFiles { account, share, .. } => Finding::new(
            "storage",
            Good,
            format!("nodes mount share `{share}` of `{account}`; it is not looked at from here"),
        ),
    })
}
