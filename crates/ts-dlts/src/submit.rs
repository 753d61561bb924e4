//! From a trial to its job: stored on the storage first, then sent.
//!
//! What the job says is `job`'s business; what becomes of it is seen by `observe`.

use crate::{
    cancel,
    core::{Core, Place, Running, Spawner},
    files::{self, Job},
    job, names, recover,
};
use std::{sync::Arc, time::Duration};
use ts_codedir::Shelf;
use ts_core::{
    Error, ErrorKind, Parameters, Prepared, Reason, ReasonCode, Result, Retry, RetryPolicy, Submitted, TrialId,
    TrialSpec,
    follow::{Known, mounted::save_request, of_canceled, of_refused, wait_after},
};

/// Longest wait between two tries to send a job that nobody asked us to wait longer for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Stores `trial` and has its job sent; returns before that is done.
pub(crate) async fn submit(running: &Arc<Running>, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
    let core = &running.core;
    if core.folders.is_reserved(trial.id.as_str()) {
        return Err(Error::new(
            ErrorKind::Config,
            format!("a trial cannot be called `{}`", trial.id),
        ));
    }
    let files = files::of_trial(&core.config, prepared, trial)?;
    // Which address the dashboard gives to the job is known later; its folder has all that it prints.
    let receipt = Submitted::new(core.folders.paths(&trial.id).dir().display().to_string());
    let job = Job {
        spec: trial.clone(),
        id: names::new_job_id(),
        is_taken: false,
    };
    let place = Place::new(job.clone());
    let known = || {
        let why = Reason::new(ReasonCode::Queued, "its job is being sent", core.ctx.clock.now());
        Known::waiting(core.ctx.clock.now(), why, place.clone())
    };
    let (spawner, prepared) = (running.spawner(), prepared.clone());
    let store = move || store(&spawner, &prepared, &files, &job);
    core.claims
        .store(
            &core.ctx,
            &core.registry,
            &trial.id,
            known,
            |known| known.extra.is_stored,
            store,
        )
        .await
        .map(|()| receipt)
}

/// Stores the request, unless an earlier manager did; has the job sent, or taken up.
fn store(spawner: &Spawner, prepared: &Prepared, files: &[files::TrialFile], job: &Job) -> Result<()> {
    let core = &spawner.core;
    let trial = job.spec.id.clone();
    if recover::resume_stored(spawner, &trial)? {
        return Ok(());
    }
    Shelf::new(core.folders.code()).check(prepared)?;
    files::store(&core.folders, files, job)?;
    core.registry.update(&trial, |known| known.extra.is_stored = true);
    begin(spawner, trial.clone(), false);
    Ok(())
}

/// Has the job of a stored trial sent. `looks_first`: an earlier manager may have sent it.
pub(crate) fn begin(spawner: &Spawner, trial: TrialId, looks_first: bool) {
    let own = spawner.clone();
    spawner.spawn(async move { create(&own, &trial, looks_first).await });
}

/// Tries until the cluster has the job, refuses it for good, or nobody wants it any more.
async fn create(spawner: &Spawner, trial: &TrialId, mut looks_first: bool) {
    let core = &spawner.core;
    let policy = RetryPolicy::new();
    let mut failures = 0;
    loop {
        let turn = core.writes.acquire().await;
        // What was asked to end before it began never begins.
        let Some(known) = core.registry.get(trial).filter(|known| !known.status.is_terminal()) else {
            return;
        };
        let name = names::job(&core.experiment, trial);
        if let Some(why) = known.cancel
            && !looks_first
        {
            return core
                .registry
                .conclude(trial, of_canceled(why, &[], core.ctx.clock.now()));
        }
        let error = match create_once(core, &name, &known.extra.job, looks_first, known.cancel.is_some()).await {
            Ok(Some(id)) => {
                drop(turn);
                return created(spawner, trial, id).await;
            }
            Ok(None) => {
                // It is not there, and not wanted.
                drop(turn);
                looks_first = false;
                continue;
            }
            Err(error) => error,
        };
        drop(turn);
        failures += 1;
        looks_first |= matches!(error.retry(), Retry::MaybeApplied { .. });
        let reason = match error.kind() {
            ErrorKind::RateLimited | ErrorKind::NoCapacity => ReasonCode::Quota,
            _ if error.is_retryable() => ReasonCode::Unreachable,
            // `Protocol`: something else than the dashboard answered.
            ErrorKind::Auth | ErrorKind::Protocol => ReasonCode::Unreachable,
            _ => {
                tracing::debug!(%trial, %error, "refused");
                return core.registry.conclude(trial, of_refused(&error, core.ctx.clock.now()));
            }
        };
        core.waits(trial, reason, error.to_string(), error.help());
        pause(
            core,
            trial,
            wait_after(&error, policy.wait(failures, 0.0).min(LONGEST_WAIT)),
        )
        .await;
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

/// One try; gives the id of the job. `None`: it is not there, and it is not wanted any more.
///
/// That a job is not there settles nothing: a request without an answer may still be on its way, and the cluster lists nothing while
/// its database fails. What is sent again has the same id, and the cluster takes an id once.
async fn create_once(
    core: &Core,
    name: &str,
    stored: &Job,
    looks_first: bool,
    is_canceled: bool,
) -> Result<Option<String>> {
    if looks_first {
        // Who cannot look knows nothing of the job, so that no refusal of this is one of the job.
        let found = core.api.find(&stored.id, name).await.map_err(passing)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    if is_canceled {
        return Ok(None);
    }
    let model = core.gpu_type().await?;
    let who = core.api.identity().await?;
    let body = job::body(&core.config, &who.team, &who.email, model, stored);
    core.api.submit(&body).await.map(Some)
}

/// An error after which the same is tried again, whatever it is.
fn passing(error: Error) -> Error {
    if error.is_retryable() {
        error
    } else {
        error.with_retry(Retry::NotApplied { after: None })
    }
}

/// The cluster has the job.
async fn created(spawner: &Spawner, trial: &TrialId, id: String) {
    let core = &spawner.core;
    let at = core.ctx.clock.monotonic();
    let why = Reason::new(ReasonCode::Queued, "in the cluster's queue", core.ctx.clock.now());
    let job = core.registry.update(trial, |known| {
        known.extra.created_at = Some(at);
        known.extra.job = Arc::new(Job {
            id,
            is_taken: true,
            ..(*known.extra.job).clone()
        });
        known.why = Some(why);
        (Arc::clone(&known.extra.job), known.cancel)
    });
    let Some((job, cancel)) = job else { return };
    if cancel.is_some() {
        // Asked to end while it was being sent.
        cancel::stop_later(spawner, trial.clone());
    }
    core.bell.notify_one();
    let saved = core.on_storage(move |core| save_request(&core.folders.paths(&job.spec.id), &*job));
    if let Err(error) = saved.await {
        tracing::warn!(%trial, %error, "which job the cluster has for it is not stored; it is found by its name");
    }
}

/// Gives a trial its next parameters.
pub(crate) async fn send_parameters(core: &Arc<Core>, trial: &TrialId, next: &Parameters) -> Result<()> {
    let Some(is_over) = core.registry.with(trial, |known| known.status.is_terminal()) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("trial `{trial}` is not known here"),
        ));
    };
    if is_over {
        return Err(Error::new(ErrorKind::Conflict, format!("trial `{trial}` has ended")));
    }
    let (trial, next) = (trial.clone(), next.clone());
    core.on_storage(move |core| files::write_parameters(&core.folders.paths(&trial), &next))
        .await
}
