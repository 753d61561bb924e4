//! From a trial to its job: stored here first, then its script on the datastore, then the job.
//!
//! What the job says is `job`'s business; what becomes of it is seen by `observe`.

use crate::{
    api::Arm,
    cancel,
    core::{Core, Place, Running, Spawner},
    files::{self, Job},
    job, names, prepare, recover,
};
use std::{sync::Arc, time::Duration};
use ts_core::{
    Error, ErrorKind, Parameters, Prepared, Reason, ReasonCode, Result, RetryPolicy, Submitted, TrialId, TrialSpec,
    follow::{Known, of_canceled, of_refused, wait_after},
};

/// Longest wait between two tries to send a job that nobody asked us to wait longer for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Stores `trial` and has its job sent; returns before that is done.
pub(crate) async fn submit(running: &Arc<Running>, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
    let core = &running.core;
    // What no job can say is refused before anything is stored.
    job::start(trial, None)?;
    let receipt = Submitted::new(url(core, trial));
    let job = Job {
        spec: trial.clone(),
        code: prepared.location.clone(),
        is_created: false,
    };
    let place = Place::new(job.clone());
    let known = || {
        let why = Reason::new(ReasonCode::Queued, "its job is being sent", core.ctx.clock.now());
        Known::waiting(core.ctx.clock.now(), why, place.clone())
    };
    let is_stored = |known: &Known<Place>| known.extra.is_stored;
    let (spawner, prepared) = (running.spawner(), prepared.clone());
    let store = move || store(&spawner, &prepared, &job);
    core.claims
        .store(&core.ctx, &core.registry, &trial.id, known, is_stored, store)
        .await
        .map(|()| receipt)
}

/// Stores the request, unless an earlier manager did; has the job sent, or taken up.
fn store(spawner: &Spawner, prepared: &Prepared, job: &Job) -> Result<()> {
    let core = &spawner.core;
    let trial = job.spec.id.clone();
    if recover::resume_stored(spawner, &trial)? {
        return Ok(());
    }
    prepare::check(prepared)?;
    files::save(&core.folders, job)?;
    core.registry.update(&trial, |known| known.extra.is_stored = true);
    if core.config.reuse {
        let now = core.ctx.clock.monotonic();
        core.registry.update(&trial, |known| known.extra.created_at = Some(now));
        core.bell.notify_one();
    } else {
        begin(spawner, trial, false);
    }
    Ok(())
}

/// Where a person finds the job. Source: azure-rest-api-specs, `services.Studio.endpoint` of a job.
fn url(core: &Core, trial: &TrialSpec) -> String {
    let host = match core.api.clouds().known().audience.as_str() {
        audience if audience.contains(".chinacloudapi.cn") => "ml.azure.cn",
        audience if audience.contains(".usgovcloudapi.net") => "ml.azure.us",
        _ => "ml.azure.com",
    };
    let name = names::job(&trial.experiment, &trial.id);
    format!("https://{host}/runs/{name}?wsid={}", Arm::scope(&core.config))
}

/// Has the job of a stored trial sent. `looks_first`: an earlier manager may have sent it.
pub(crate) fn begin(spawner: &Spawner, trial: TrialId, looks_first: bool) {
    let own = spawner.clone();
    spawner.spawn(async move { create(&own, &trial, looks_first).await });
}

/// Tries until the service has the job, refuses it for good, or nobody wants it any more.
async fn create(spawner: &Spawner, trial: &TrialId, looks_first: bool) {
    let core = &spawner.core;
    let policy = RetryPolicy::new();
    let mut may_be_there = looks_first;
    let mut failures = 0;
    loop {
        // Nobody closes it.
        let turn = core.writes.acquire().await;
        // What was asked to end before it began never begins.
        let Some(known) = core.registry.get(trial).filter(|known| !known.status.is_terminal()) else {
            return;
        };
        let error = match create_once(core, &known.extra.job, known.cancel.is_some(), may_be_there).await {
            Ok(true) => {
                drop(turn);
                return created(spawner, trial).await;
            }
            Ok(false) => {
                let why = known.cancel.unwrap_or(ts_core::CancelReason::User);
                return core
                    .registry
                    .conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
            }
            Err(error) => error,
        };
        drop(turn);
        failures += 1;
        may_be_there = true;
        let reason = match error.kind() {
            ErrorKind::RateLimited | ErrorKind::NoCapacity => ReasonCode::Quota,
            ErrorKind::Auth => ReasonCode::Unreachable,
            // Somebody else changes the same thing now. Source: "Resolve errors for resource conflicts", Microsoft Learn.
            ErrorKind::Conflict => ReasonCode::Queued,
            _ if error.is_retryable() => ReasonCode::Unreachable,
            _ => {
                tracing::debug!(%trial, %error, "refused");
                return core.registry.conclude(trial, of_refused(&error, core.ctx.clock.now()));
            }
        };
        core.waits(trial, reason, error.to_string(), error.help());
        let wait = wait_after(&error, policy.wait(failures, 0.0).min(LONGEST_WAIT));
        pause(core, trial, wait).await;
    }
}

/// Waits, unless the trial is not wanted any more.
async fn pause(core: &Core, trial: &TrialId, wait: Duration) {
    let is_canceled = || core.registry.with(trial, |known| known.cancel.is_some()) != Some(false);
    if is_canceled() {
        return core.ctx.clock.sleep(wait.min(Duration::from_secs(1))).await;
    }
    tokio::select! {
        () = core.ctx.clock.sleep(wait) => {}
        () = core.registry.until(is_canceled) => {}
    }
}

/// One try; `false`: the job is not there, and it is not wanted.
async fn create_once(core: &Core, job: &Job, is_canceled: bool, may_be_there: bool) -> Result<bool> {
    let spec = &job.spec;
    let name = names::job(&spec.experiment, &spec.id);
    if is_canceled {
        return if may_be_there {
            Ok(core.api.job(&name).await?.is_some())
        } else {
            Ok(false)
        };
    }
    let script = format!("{}/{}", names::trial_folder(&spec.experiment, &spec.id), job::START);
    core.api
        .store
        .put(&script, job::start(spec, None)?.into_bytes())
        .await?;
    let prepared = Prepared::new(None, job.code.clone());
    let datastore = core.api.store.place().await?.name.clone();
    match core
        .api
        .put_job(&name, &job::body(&core.config, &prepared, spec, &datastore))
        .await
    {
        // An earlier manager may have sent it a little differently; or our own request that was cut off is still at work.
        Err(error) if error.kind() == ErrorKind::Conflict || error.kind() == ErrorKind::Rejected && may_be_there => {
            match core.api.job(&name).await? {
                Some(_) => Ok(true),
                None => Err(error),
            }
        }
        done => done.map(|()| true),
    }
}

/// The service has the job.
async fn created(spawner: &Spawner, trial: &TrialId) {
    let core = &spawner.core;
    let at = core.ctx.clock.monotonic();
    let why = Reason::new(
        ReasonCode::Queued,
        "the service has taken the job",
        core.ctx.clock.now(),
    );
    let job = core.registry.update(trial, |known| {
        known.extra.created_at = Some(at);
        known.why = Some(why);
        (Arc::clone(&known.extra.job), known.cancel)
    });
    let Some((job, cancel)) = job else { return };
    if cancel.is_some() {
        // Asked to end while it was being sent.
        cancel::stop_later(spawner, trial.clone());
    }
    core.bell.notify_one();
    let saved = core.on_disk(move |core| {
        let taken = Job {
            is_created: true,
            ..(*job).clone()
        };
        files::save(&core.folders, &taken)
    });
    if let Err(error) = saved.await {
        tracing::warn!(%trial, %error, "that the service has its job is not stored; it is found by its name");
    }
}

/// Gives a trial its next parameters, by the datastore.
pub(crate) async fn send_parameters(core: &Arc<Core>, trial: &TrialId, next: &Parameters) -> Result<()> {
    let Some(is_over) = core.registry.with(trial, |known| known.status.is_terminal()) else {
        let message = format!("trial `{trial}` is not known here");
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    if is_over {
        return Err(Error::new(ErrorKind::Conflict, format!("trial `{trial}` has ended")));
    }
    let folder = names::trial_folder(&core.experiment, trial);
    let path = format!("{folder}/{}", next.file_name());
    core.api.store.put(&path, next.text.to_string().into_bytes()).await
}
