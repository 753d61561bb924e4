//! From a trial to its object: stored here first, then created, and in the end removed.
//!
//! What the object says is `object`'s business; what becomes of it is seen by `observe`.

use crate::{
    DeletionPolicy, JobKind, KubernetesConfig,
    core::{Core, News, Place, Ready, Running, Spawner},
    error,
    job::Job,
    kinds, names,
    object::{self, Blueprint, Owner},
    recover,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams, Preconditions};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use ts_core::{
    Error, ErrorKind, Prepared, Reason, ReasonCode, Rendered, Result, Retry, RetryPolicy, Submitted, TrialId,
    TrialSpec, TrialStatus,
    follow::{End, Known, of_canceled},
    retry,
};

/// Wait before an object that could not be removed, for all that was tried, is removed again.
const REMOVAL_PAUSE: Duration = Duration::from_secs(5);
/// How long the answer to a creation is waited for once the trial is not wanted any more.
const LAST_ANSWER: Duration = Duration::from_secs(3);
/// Longest wait between two tries to create an object.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Stores `trial` and has its object created; returns before that is done.
pub(crate) fn submit(running: &Running, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
    let core = &running.core;
    let digest = prepared.digest.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            format!("`{}` is no receipt of delivered code", prepared.location),
        )
        .with_help("call `prepare` of this service first")
    })?;
    if core.spool(&digest).is_none() && !ts_codedir::is_known(&core.ctx.work_dir, &digest) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("no code `{digest}` was delivered by this service"),
        )
        .with_help("call `prepare` of this service first"));
    }
    // What no object can say is refused before anything is stored.
    object::object(&blueprint(
        &core.config,
        trial,
        &digest,
        core.kind().usual_version(),
        None,
    ))?;
    let job = Job {
        spec: trial.clone(),
        digest,
        is_created: false,
    };
    let now = core.ctx.clock.now();
    let why = core
        .trouble()
        .unwrap_or_else(|| Reason::new(ReasonCode::Queued, "its object is being created", now));
    if claim(core, &trial.id, &Known::waiting(now, why, Place::new(job.clone()))) {
        let stored = store(running, &job);
        if stored.is_err() {
            core.registry.remove(&trial.id);
        }
        if stored? {
            begin(&running.spawner(), trial.id.clone());
        }
    }
    Ok(Submitted::new(url(&core.config, trial)))
}

/// Claims a trial, also from a watcher that looked on before anybody had it; `false` if it is ours already.
fn claim(core: &Core, trial: &TrialId, known: &Known<Place>) -> bool {
    let take_over = |present: &mut Known<Place>| {
        let is_looked_on = present.extra.is_looked_on;
        if is_looked_on {
            present.clone_from(known);
        }
        is_looked_on
    };
    core.registry.claim(trial, known.clone()) || core.registry.update(trial, take_over) == Some(true)
}

/// Stores the request; `false` if an earlier manager did, and the trial goes on from there.
fn store(running: &Running, job: &Job) -> Result<bool> {
    let core = &running.core;
    let trial = &job.spec.id;
    if !core.mirror.dirs().claim(trial)? && recover::resume(running, trial)? {
        return Ok(false);
    }
    job.save(&core.mirror.paths(trial))?;
    Ok(true)
}

/// Where a person finds the job.
fn url(config: &KubernetesConfig, trial: &TrialSpec) -> String {
    let name = names::job(config.kind, &trial.experiment, &trial.id);
    let namespace = config.access.namespace.as_deref().unwrap_or("default");
    format!("kubernetes://{namespace}/{}/{name}", config.kind.plural())
}

pub(crate) fn blueprint<'a>(
    config: &'a KubernetesConfig,
    trial: &'a TrialSpec,
    digest: &'a str,
    version: &'a str,
    owner: Option<&'a Owner>,
) -> Blueprint<'a> {
    Blueprint {
        config,
        trial,
        digest,
        version,
        owner,
    }
}

/// Has the object of a stored trial created.
pub(crate) fn begin(spawner: &Spawner, trial: TrialId) {
    let own = spawner.clone();
    spawner.spawn(async move { create(&own, &trial).await });
}

/// Tries until the object is there, the cluster refuses it for good, or nobody wants it any more.
async fn create(spawner: &Spawner, trial: &TrialId) {
    let core = &spawner.core;
    let policy = RetryPolicy::new();
    let mut failures = 0;
    loop {
        let Some(wish) = wanted(spawner, trial) else { return };
        let turn = async {
            let ready = core.ready().await;
            (ready, core.writes.acquire().await)
        };
        let (ready, turn) = tokio::select! {
            turn = turn => turn,
            () = wish.cancelled() => continue,
        };
        let Some(known) = core.registry.get(trial).filter(|known| known.cancel.is_none()) else {
            continue;
        };
        let Some(job) = known.extra.job else { return };
        let given_up = async {
            wish.cancelled().await;
            core.ctx.clock.sleep(LAST_ANSWER).await;
        };
        let outcome = tokio::select! {
            outcome = create_once(core, &ready, &job) => outcome,
            // The client may be waiting because the server asked it to. Whether there is an object is seen to by `wanted`.
            () = given_up => continue,
        };
        let error = match outcome {
            Ok(()) => {
                drop(turn);
                return created(spawner, trial, &job);
            }
            Err(error) => error,
        };
        drop(turn);
        failures += 1;
        let reason_code = match error.kind() {
            ErrorKind::NoCapacity => ReasonCode::Quota,
            ErrorKind::NotFound if error.message().contains("does not know") => ReasonCode::CrdMissing,
            _ if error.is_retryable() => ReasonCode::Unreachable,
            ErrorKind::Auth | ErrorKind::Denied => ReasonCode::Unreachable,
            _ => {
                tracing::debug!(%trial, %error, "refused");
                return core.conclude(trial, refused(core, &error));
            }
        };
        core.waits(trial, reason_code, error.to_string(), error.help());
        let after = match error.retry() {
            Retry::NotApplied { after } | Retry::MaybeApplied { after } => after,
            Retry::Never => Some(LONGEST_WAIT),
        };
        let wait = policy
            .wait(failures, 0.0)
            .max(after.unwrap_or_default())
            .min(LONGEST_WAIT);
        tokio::select! {
            () = core.ctx.clock.sleep(wait) => {}
            () = wish.cancelled() => {}
        }
    }
}

/// What tells that the trial is not wanted any more; `None` if that is so already, and its end is seen to.
fn wanted(spawner: &Spawner, trial: &TrialId) -> Option<CancellationToken> {
    let core = &spawner.core;
    let known = core.registry.get(trial).filter(|known| !known.status.is_terminal())?;
    let Some(why) = known.cancel else {
        return Some(known.extra.wish);
    };
    if known.extra.may_exist {
        // It counts as created, so that it is missed if it is nowhere to be seen.
        let at = core.ctx.clock.monotonic();
        core.registry
            .update(trial, |known| *known.extra.created_at.get_or_insert(at));
        remove_later(spawner, trial.clone());
    } else {
        // What was asked to end before it began never begins.
        core.conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
    }
    None
}

fn refused(core: &Core, error: &Error) -> End {
    let now = core.ctx.clock.now();
    let why = Reason::new(ReasonCode::StartRefused, error.to_string(), now);
    End {
        status: TrialStatus::Failed,
        at: now,
        why: Some(error.help().into_iter().fold(why, Reason::unblocked_by)),
    }
}

async fn create_once(core: &Core, ready: &Ready, job: &Job) -> Result<()> {
    let owner = core.owner(&ready.cluster).await?;
    core.restore_secrets(&ready.cluster).await?;
    let version = &ready.served.resource.version;
    let blueprint = blueprint(&core.config, &job.spec, &job.digest, version, Some(&owner));
    if let Some(base) = &ready.runtime {
        make_runtime(ready, &blueprint, base).await?;
    }
    let object: DynamicObject = crate::anchor::object(object::object(&blueprint)?)?;
    let api = kinds::api(&ready.cluster, &ready.served.resource);
    let name = blueprint.name();
    let what = format!("create {} `{name}`", core.kind().kind());
    let trial = &job.spec.id;
    let might_exist = core
        .registry
        .update(trial, |known| std::mem::replace(&mut known.extra.may_exist, true));
    let outcome = api.create(&PostParams::default(), &object).await;
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            // Ours, if a request before had no answer.
            let present = api.get_metadata(&name).await.map_err(|e| error::of_api(&what, e))?;
            if names::trial_of(&present.metadata).as_ref() == Some(trial) {
                return Ok(());
            }
            Err(Error::new(
                ErrorKind::Rejected,
                format!("cannot {what}: there is one of that name which is not ours"),
            )
            .with_help("delete or rename it"))
        }
        Err(e) => {
            let is_unserved = matches!(&e, kube::Error::Api(status)
                if status.code == 404 && status.message.contains("page not found"));
            let error = if is_unserved {
                kinds::missing(core.kind())
            } else {
                error::of_api(&what, e)
            };
            if !matches!(error.retry(), Retry::MaybeApplied { .. }) {
                // This request at least has made nothing.
                core.registry
                    .update(trial, |known| known.extra.may_exist = might_exist == Some(true));
            }
            Err(error)
        }
    }
}

/// Makes the runtime of a trial, before the TrainJob that names it: Trainer's webhook asks for this order.
async fn make_runtime(ready: &Ready, blueprint: &Blueprint<'_>, base: &Value) -> Result<()> {
    let runtime: DynamicObject = crate::anchor::object(object::runtime(blueprint, base)?)?;
    let runtimes = kinds::runtimes(&ready.cluster, &ready.served.resource);
    match runtimes.create(&PostParams::default(), &runtime).await {
        Ok(_) => Ok(()),
        // Made before, when the answer was lost.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(e) => Err(error::of_api(
            &format!("create TrainingRuntime `{}`", blueprint.name()),
            e,
        )),
    }
}

fn created(spawner: &Spawner, trial: &TrialId, job: &Job) {
    let core = &spawner.core;
    let stored = Job {
        is_created: true,
        ..job.clone()
    };
    if let Err(error) = stored.save(&core.mirror.paths(trial)) {
        tracing::warn!(%trial, %error, "that its object exists is not on disk; it is found by its name");
    }
    let at = core.ctx.clock.monotonic();
    let cancel = core.registry.update(trial, |known| {
        known.extra.created_at = Some(at);
        known.cancel
    });
    if cancel.flatten().is_some() {
        // Asked to end while it was being created.
        remove_later(spawner, trial.clone());
    }
    core.tell(News::Look(trial.clone()));
}

/// Whether the objects of trials that ended so are removed by us.
pub(crate) fn is_removed(policy: DeletionPolicy, status: TrialStatus) -> bool {
    match policy {
        DeletionPolicy::Succeeded => status == TrialStatus::Succeeded,
        DeletionPolicy::Ended => true,
        DeletionPolicy::Never => false,
    }
}

/// Has the object of a trial removed, however long that takes to be possible.
pub(crate) fn remove_later(spawner: &Spawner, trial: TrialId) {
    let own = spawner.clone();
    spawner.core.removals.send_modify(|n| *n += 1);
    spawner.spawn(async move {
        let core = &own.core;
        while let Err(error) = remove(core, &trial).await {
            // A trial that is to end has not ended before; nothing else waits for what it left.
            let is_live = core.registry.with(&trial, |known| !known.status.is_terminal()) == Some(true);
            if !is_live && !error.is_retryable() {
                tracing::warn!(%trial, %error, "the trial's object could not be removed; `tsctl gc` does it");
                break;
            }
            tracing::warn!(%trial, %error, "the trial's object cannot be removed now; it is tried again");
            core.ctx.clock.sleep(REMOVAL_PAUSE).await;
        }
        core.removals.send_modify(|n| *n = n.saturating_sub(1));
    });
}

/// Removes the object of a trial; its pods go with it. Absent counts as removed.
pub(crate) async fn remove(core: &Core, trial: &TrialId) -> Result<()> {
    let name = names::job(core.kind(), &core.experiment, trial);
    let what = format!("delete {} `{name}`", core.kind().kind());
    let mut policy = RetryPolicy::new();
    policy.max_tries = 8;
    retry(&*core.ctx.clock, policy, true, |_| {
        let (name, what) = (&name, &what);
        async move {
            let ready = core.ready().await;
            let _turn = core.writes.acquire().await;
            let api = kinds::api(&ready.cluster, &ready.served.resource);
            let present = api.get_metadata_opt(name).await.map_err(|e| error::of_api(what, e))?;
            // What only has the name is somebody else's.
            match present.filter(|present| names::trial_of(&present.metadata).as_ref() == Some(trial)) {
                None => core.tell(News::Gone(trial.clone())),
                Some(present) => {
                    let parameters = propagation(core.kind()).preconditions(Preconditions {
                        uid: present.metadata.uid,
                        resource_version: None,
                    });
                    match api.delete(name, &parameters).await {
                        Ok(_) => {}
                        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                            core.tell(News::Gone(trial.clone()));
                        }
                        Err(e) => return Err(error::of_api(what, e)),
                    }
                }
            }
            if ready.runtime.is_none() {
                return Ok(());
            }
            // Trainer keeps it until no TrainJob names it any more.
            let runtimes = kinds::runtimes(&ready.cluster, &ready.served.resource);
            match runtimes.delete(name, &DeleteParams::background()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                removed => removed.map(drop).map_err(|e| error::of_api(what, e)),
            }
        }
    })
    .await
}

/// Has a pod removed whose job has ended.
pub(crate) fn remove_pod(spawner: &Spawner, name: String) {
    let core = Arc::clone(&spawner.core);
    spawner.spawn(async move {
        let ready = core.ready().await;
        let pods: Api<Pod> = Api::namespaced(ready.cluster.client.clone(), &ready.cluster.namespace);
        match pods.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            // Asked for again with the next sweep.
            Err(error) => tracing::warn!(
                pod = name,
                error = error::chain(&error),
                "a pod still runs though its job is over"
            ),
            Ok(_) => {}
        }
    });
}

/// How what depends on an object goes with it. FrameworkController wants its objects to wait for their pods.
pub(crate) fn propagation(kind: JobKind) -> DeleteParams {
    match kind {
        JobKind::Framework => DeleteParams::foreground(),
        _ => DeleteParams::background(),
    }
}

/// The documents of a trial as `submit` would send them.
pub(crate) fn render(config: &KubernetesConfig, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
    let digest = code.digest.as_deref().unwrap_or_default();
    let version = config.api_version.as_deref().unwrap_or(config.kind.usual_version());
    let blueprint = blueprint(config, trial, digest, version, None);
    let mut documents = vec![("code".to_owned(), code.location.clone())];
    let mut add = |kind: &str, object: &Value| {
        let text = serde_json::to_string_pretty(object)
            .map_err(|e| Error::new(ErrorKind::Internal, "an object cannot be written as JSON").with_source(e))?;
        documents.push((format!("{kind}.json"), text));
        Ok(())
    };
    if let Some(name) = config.runtime() {
        // Only the cluster knows the configured one; what is ours in it is shown.
        add(
            "TrainingRuntime",
            &object::runtime(&blueprint, &object::bare_runtime(name))?,
        )?;
    }
    add(config.kind.kind(), &object::object(&blueprint)?)?;
    Ok(Rendered::new(documents))
}
