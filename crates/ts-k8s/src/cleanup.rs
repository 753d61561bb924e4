//! Removes what trials left: their objects and pods, what the experiment has beside them, its files on the storage and here.

use crate::{
    anchor,
    apart::LOOKS,
    cancel,
    core::{Core, Ready, Running},
    error, kinds, names, recover, submit, volume,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use std::{collections::BTreeSet, fs, io, path::Path, sync::Arc, time::Duration};
use ts_core::{CancelReason, CleanupReport, CleanupScope, Error, ErrorKind, Result, TrialId};

/// How long pods may take to go, beside the grace that they have. The garbage collector of the cluster takes up to 40 s for the
/// first objects of a kind that is new to it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pace of looking whether they are gone.
const PACE: Duration = Duration::from_millis(300);

pub(crate) async fn cleanup(running: &Arc<Running>, scope: &CleanupScope) -> CleanupReport {
    let core = &running.core;
    let mut report = CleanupReport::new();
    match scope {
        CleanupScope::Trials(trials) if trials.is_empty() => settle(core).await,
        CleanupScope::Trials(trials) => {
            let trials: BTreeSet<TrialId> = trials.iter().cloned().collect();
            end_all(running, &trials, &mut report).await;
            remove_trials(core, &trials, &mut report).await;
        }
        _ => remove_experiment(running, &mut report).await,
    }
    report
}

/// Waits until every end that was asked for is complete.
async fn settle(core: &Core) {
    let inbox = core.registry.subscribe();
    let mut removals = core.removals.subscribe();
    let is_ending = |trial: &TrialId| {
        core.registry
            .with(trial, |k| k.cancel.is_some() && !k.status.is_terminal())
            == Some(true)
    };
    let settled = async {
        while core.registry.ids().iter().any(is_ending) {
            inbox.marked().await;
            while inbox.take().is_some() {}
        }
        let _ = removals.wait_for(|n| *n == 0).await;
    };
    tokio::select! {
        () = settled => {}
        () = core.ctx.clock.sleep(core.config.longest_grace() + PATIENCE) => {
            tracing::warn!("the cluster has not removed all that was to be removed; `tsctl gc` does it later");
        }
    }
}

/// Ends every trial and waits until all are over.
async fn end_all(running: &Arc<Running>, trials: &BTreeSet<TrialId>, report: &mut CleanupReport) {
    let core = &running.core;
    let inbox = core.registry.subscribe();
    for trial in trials {
        cancel::cancel(running, trial, CancelReason::User);
    }
    let is_live = |trial: &TrialId| core.registry.with(trial, |known| !known.status.is_terminal()) == Some(true);
    let ended = async {
        while trials.iter().any(is_live) {
            inbox.marked().await;
            while inbox.take().is_some() {}
        }
    };
    tokio::select! {
        () = ended => {}
        () = core.ctx.clock.sleep(core.config.longest_grace() + PATIENCE) => {
            for trial in trials.iter().filter(|trial| is_live(trial)) {
                report.failures.push((trial.to_string(), still_there(&format!("trial `{trial}`"))));
            }
        }
    }
}

async fn remove_trials(core: &Core, trials: &BTreeSet<TrialId>, report: &mut CleanupReport) {
    for trial in trials {
        let is_known = core.registry.with(trial, |_| ()).is_some() || core.mirror.paths(trial).dir().exists();
        if !is_known {
            continue;
        }
        let selector = names::trial_selector(&core.experiment, trial);
        let removed = async {
            submit::remove(core, trial).await?;
            let ready = core.ready().await;
            pods_gone(core, &ready, &selector).await
        };
        match removed.await.and_then(|()| core.mirror.remove(trial)) {
            Ok(_) => {
                report.removed += 1;
                core.registry.remove(trial);
            }
            Err(error) => report.failures.push((trial.to_string(), error)),
        }
    }
}

async fn remove_experiment(running: &Arc<Running>, report: &mut CleanupReport) {
    let core = &running.core;
    let ready = match crate::prepare::connected(core).await {
        Ok(ready) => ready,
        Err(error) => return report.failures.push(("cluster".to_owned(), error)),
    };
    let mut trials: BTreeSet<TrialId> = core.registry.ids().into_iter().collect();
    match core.mirror.dirs().trials() {
        Ok(found) => trials.extend(found),
        Err(error) => report
            .failures
            .push((core.mirror.dirs().dir().display().to_string(), error)),
    }
    for trial in &trials {
        if core.registry.with(trial, |_| ()).is_none()
            && let Err(error) = recover::resume(running, trial)
        {
            tracing::warn!(%trial, %error, "its stored request cannot be read");
        }
    }
    end_all(running, &trials, report).await;
    if let Some(storage) = &core.config.storage
        && let Err(error) = volume::remove(core, storage, &ready.cluster).await
    {
        report.failures.push(("storage".to_owned(), error));
    }
    match remove_objects(core, &ready).await {
        Ok(removed) => report.removed += removed,
        Err(error) => report.failures.push(("cluster".to_owned(), error)),
    }
    if !report.is_clean() {
        return;
    }
    for trial in &trials {
        match core.mirror.remove(trial) {
            Ok(removed) => report.removed += u64::from(removed),
            Err(error) => report.failures.push((trial.to_string(), error)),
        }
        core.registry.remove(trial);
    }
    remove_dir(core.mirror.dirs().dir(), report);
    core.forget_spools();
    for dir in [ts_codedir::PACKAGES, LOOKS] {
        remove_dir(&core.ctx.work_dir.join(dir), report);
    }
}

/// Removes everything in the namespace that bears the experiment's label.
async fn remove_objects(core: &Core, ready: &Ready) -> Result<u64> {
    let selector = names::experiment_selector(&core.experiment);
    let ours = ListParams::default().labels(&selector);
    let (client, namespace) = (ready.cluster.client.clone(), &ready.cluster.namespace);
    let objects = kinds::api(&ready.cluster, &ready.served.resource);
    let removed = objects
        .delete_collection(&submit::propagation(core.kind()), &ours)
        .await;
    let removed = removed.map_err(|e| error::of_api("delete the trials", e))?;
    let mut n = removed.left().map_or(0, |list| list.items.len() as u64);
    pods_gone(core, ready, &selector).await?;
    if ready.runtime.is_some() {
        let runtimes = kinds::runtimes(&ready.cluster, &ready.served.resource);
        let removed = runtimes.delete_collection(&DeleteParams::background(), &ours).await;
        removed.map_err(|e| error::of_api("delete the runtimes of the trials", e))?;
    }
    let owners = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let removed = owners.delete_collection(&DeleteParams::background(), &ours).await;
    let removed = removed.map_err(|e| error::of_api("delete the ConfigMap of the experiment", e))?;
    core.forget_owner().await;
    n += removed.left().map_or(0, |list| list.items.len() as u64);
    // The garbage collector would do it, too, a little later.
    let secrets = Api::<Secret>::namespaced(client, namespace);
    for name in anchor::secret_names(core) {
        match secrets.delete(&name, &DeleteParams::default()).await {
            Ok(_) => n += 1,
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(e) => return Err(error::of_api(&format!("delete Secret `{name}`"), e)),
        }
    }
    Ok(n)
}

/// Waits until no pod of this selection is left; removes those that their owner has left behind.
async fn pods_gone(core: &Core, ready: &Ready, selector: &str) -> Result<()> {
    let pods = Api::<Pod>::namespaced(ready.cluster.client.clone(), &ready.cluster.namespace);
    let ours = ListParams::default().labels(selector);
    let began = core.ctx.clock.monotonic();
    let mut is_asked = false;
    loop {
        let left = pods
            .list_metadata(&ours)
            .await
            .map_err(|e| error::of_api("list pods", e))?;
        let waited = core.ctx.clock.monotonic().saturating_sub(began);
        if left.items.is_empty() {
            return Ok(());
        }
        if waited > core.config.longest_grace() + PATIENCE {
            return Err(still_there(&format!("{} pods", left.items.len())));
        }
        let are_going = left.items.iter().all(|pod| pod.metadata.deletion_timestamp.is_some());
        if waited > Duration::from_secs(2) && !are_going && !std::mem::replace(&mut is_asked, true) {
            let asked = pods.delete_collection(&DeleteParams::default(), &ours).await;
            asked.map_err(|e| error::of_api("delete pods", e))?;
        }
        core.ctx.clock.sleep(PACE).await;
    }
}

fn still_there(what: &str) -> Error {
    Error::new(ErrorKind::TimedOut, format!("{what} did not go in time"))
        .with_help("`kubectl get pods` shows what holds them: a node that is away, a finalizer; then `tsctl gc` again")
}

fn remove_dir(dir: &Path, report: &mut CleanupReport) {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            report
                .failures
                .push((dir.display().to_string(), Error::io("remove", dir, e)));
        }
        _ => {}
    }
}
