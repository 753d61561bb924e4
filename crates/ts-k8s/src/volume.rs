//! A short-lived pod that mounts the experiment's storage, since we never do: for code, for what trials have left, for removal.

use crate::{
    Storage,
    access::Cluster,
    anchor,
    core::Core,
    deliver::{self, Target},
    error, exec, names,
    object::{Owner, code_dir, experiment_dir, like_trials, ready_mark, storage_mount, storage_volume},
};
use futures_util::{StreamExt as _, future};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use ts_codedir::Spool;
use ts_core::{Error, ErrorKind, IdSource as _, RandomIds, Result, Retry, launch::quote};

/// Name of its container.
pub(crate) const CONTAINER: &str = "stager";
/// How long it may take to run.
const START: Duration = Duration::from_mins(5);
/// It ends by itself after this time, should nobody be left to remove it.
const LIFE_SECONDS: u32 = 3600;

/// Brings the code onto the storage, once for all trials. `spool` is awaited while the pod starts.
pub(crate) async fn prepare(
    core: &Core,
    storage: &Storage,
    cluster: &Cluster,
    spool: impl Future<Output = Result<Arc<Spool>>>,
) -> Result<Arc<Spool>> {
    core.owner(cluster).await?;
    with_pod(core, storage, cluster, spool, async |pod, spool| {
        let folder = code_dir(storage, &core.experiment, spool.digest());
        let mark = ready_mark(&folder);
        let target = Target {
            cluster,
            pod,
            container: CONTAINER,
            folder: &folder,
            mark: &mark,
        };
        deliver::deliver(core, target, &spool).await?;
        Ok(spool)
    })
    .await
}

/// Removes all that the experiment has on the storage.
pub(crate) async fn remove(core: &Core, storage: &Storage, cluster: &Cluster) -> Result<()> {
    let command = format!("rm -rf -- {}", quote(&experiment_dir(storage, &core.experiment)));
    anchor::restore_secrets(core, cluster).await?;
    with_pod(core, storage, cluster, future::ready(Ok(())), async |pod, ()| {
        let done = exec::run(&*core.ctx.clock, cluster, pod, CONTAINER, &["/bin/sh", "-c", &command]).await?;
        done.into_stdout("remove the experiment's files").map(drop)
    })
    .await
}

/// Runs `work` with such a pod, and removes the pod. Should we die, it goes with the experiment's owner, if there is one.
///
/// What the work needs is got while the pod starts; if it cannot be had, the pod is not waited for.
pub(crate) async fn with_pod<N, T>(
    core: &Core,
    storage: &Storage,
    cluster: &Cluster,
    needed: impl Future<Output = Result<N>>,
    work: impl AsyncFnOnce(&str, N) -> Result<T>,
) -> Result<T> {
    let owner = anchor::find(core, cluster).await?;
    let name = names::shared(&core.experiment, &format!("stager-{}", RandomIds.experiment()));
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let pod = pod(core, storage, &name, owner.as_ref());
    let pod: Pod = anchor::object(pod)?;
    let what = format!("create pod `{name}`, which mounts the storage");
    api.create(&PostParams::default(), &pod)
        .await
        .map_err(|e| error::of_api(&what, e))?;
    let started = async {
        tokio::select! {
            running = until_running(cluster, &name) => running,
            () = core.ctx.clock.sleep(START) => Err(not_running(&name, "no node took it")),
        }
    };
    let done = match tokio::try_join!(needed, started) {
        Ok((needed, ())) => work(&name, needed).await,
        Err(error) => Err(error),
    };
    if let Err(error) = api.delete(&name, &DeleteParams::default().grace_period(0)).await {
        tracing::warn!(
            pod = name,
            error = error::chain(&error),
            "the pod could not be removed; it ends by itself"
        );
    }
    done
}

fn pod(core: &Core, storage: &Storage, name: &str, owner: Option<&Owner>) -> Value {
    let pods = &core.config.pods;
    let role = core.config.roles.first();
    // The image of the trials: it is needed anyway, and it has what is needed.
    let image = role.map(|role| role.image.clone()).unwrap_or_default();
    let mut secrets: Vec<Value> = pods
        .image_pull_secrets
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    secrets.extend(
        role.filter(|role| role.private_registry_auth.is_some())
            .map(|role| json!({"name": crate::object::registry_secret(&core.experiment, role)})),
    );
    let mut container = json!({
        "name": CONTAINER,
        "image": image,
        "command": ["/bin/sh", "-c", format!("trap 'exit 0' TERM; sleep {LIFE_SECONDS} & wait $!")],
        "volumeMounts": [storage_mount(storage)],
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}},
    });
    if let Some(policy) = &pods.image_pull_policy {
        container["imagePullPolicy"] = policy.clone().into();
    }
    let mut spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "activeDeadlineSeconds": LIFE_SECONDS,
        "volumes": [storage_volume(storage, &core.experiment)],
        "containers": [container],
        "imagePullSecrets": secrets,
        "tolerations": pods.tolerations,
        "nodeSelector": pods.node_selector.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    });
    if let Some(account) = &pods.service_account {
        spec["serviceAccountName"] = account.clone().into();
    }
    let owners: Vec<Value> = owner.into_iter().map(Owner::reference).collect();
    let mut pod = json!({
        "metadata": {"name": name, "labels": anchor::labels(core), "ownerReferences": owners},
        "spec": spec,
    });
    // Files belong to whom the trials run as.
    like_trials(&mut pod, &core.config);
    pod
}

async fn until_running(cluster: &Cluster, name: &str) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(cluster.streams.clone(), &cluster.namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(api, only));
    while let Some(event) = events.next().await {
        let pod = match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => pod,
            Ok(Event::Delete(_)) => return Err(not_running(name, "it was deleted")),
            Err(watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e)) => {
                return Err(error::of_api("watch pods", e));
            }
            // Lists begin and end; the watch mends itself.
            Ok(_) | Err(_) => continue,
        };
        let Some(status) = pod.status else { continue };
        match status.phase.as_deref() {
            Some("Running") => return Ok(()),
            Some("Failed" | "Succeeded") => {
                return Err(not_running(name, status.message.as_deref().unwrap_or("it ended")));
            }
            _ => {}
        }
        let waiting = status
            .container_statuses
            .into_iter()
            .flatten()
            .find_map(|s| s.state?.waiting);
        if let Some(waiting) = waiting
            && let Some(reason) = waiting.reason
            && (reason.contains("Image") || reason.contains("Error"))
        {
            let said = waiting.message.unwrap_or_default();
            return Err(not_running(name, &format!("{reason}: {said}")));
        }
    }
    Err(not_running(name, "the watch ended"))
}

fn not_running(name: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Rejected,
        format!("pod `{name}`, which mounts the storage, does not run: {why}"),
    )
    .with_key("storage")
    .with_help("correct the image, or the storage's server, path or claim")
    .with_retry(Retry::Never)
}
