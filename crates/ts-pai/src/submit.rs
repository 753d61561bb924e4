//! From a trial to its job: stored on the storage first, then sent.
//!
//! What the job says is `job`'s business; what becomes of it is seen by `observe`.

use crate::{
    api::Sent,
    cancel,
    core::{Core, Place, Running, Spawner},
    files::{self, Job},
    job, names, push, recover, reuse, seats,
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
        let message = format!("a trial cannot be called `{}`", trial.id);
        return Err(Error::new(ErrorKind::Config, message));
    }
    // What no job can say is refused before anything is stored.
    job::document(&core.config, push::Door::shown(&core.config).as_ref(), prepared, trial)?;
    push::open(&running.spawner()).await?;
    let files = files::of_trial(&core.config, prepared, trial)?;
    let receipt = Submitted::new(url(core, trial));
    let job = Job {
        spec: trial.clone(),
        code: prepared.clone(),
        is_created: false,
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
    files::store(&core.folders, files, &seats::roles(&core.config), job)?;
    core.registry.update(&trial, |known| known.extra.is_stored = true);
    if core.config.reuse {
        reuse::enqueue(core, &trial)?;
        core.bell.notify_one();
    } else {
        begin(spawner, trial.clone(), false);
    }
    Ok(())
}

/// Where a person finds the job. Source: nni v1.9, `paiK8STrainingService.ts`.
fn url(core: &Core, trial: &TrialSpec) -> String {
    let mut url = core.config.host.clone();
    let folder = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{folder}/job-detail.html"));
    url.query_pairs_mut()
        .append_pair("username", &core.config.user_name)
        .append_pair("jobName", &names::job(&trial.experiment, &trial.id));
    url.to_string()
}

/// Has the job of a stored trial sent. `looks_first`: an earlier manager may have sent it.
pub(crate) fn begin(spawner: &Spawner, trial: TrialId, looks_first: bool) {
    let own = spawner.clone();
    spawner.spawn(async move { create(&own, &trial, looks_first).await });
}

/// Tries until the server has the job, refuses it for good, or nobody wants it any more.
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
            Ok(Some(_)) => {
                drop(turn);
                return created(spawner, trial).await;
            }
            Ok(None) => {
                // It is not there, and not wanted, or the cluster's limit is used up.
                drop(turn);
                looks_first = false;
                let wait = core.api.submit_wait(&core.ctx);
                if known.cancel.is_none() && !wait.is_zero() {
                    limited(core, trial, wait);
                    pause(core, trial, wait).await;
                }
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
            ErrorKind::Auth => ReasonCode::Unreachable,
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

fn limited(core: &Core, trial: &TrialId, wait: Duration) {
    let minutes = wait.as_secs().div_ceil(60);
    core.waits(
        trial,
        ReasonCode::Quota,
        format!(
            "the cluster's limit of jobs that `{}` may send in an hour is used up",
            core.config.user_name
        ),
        Some(&format!(
            "the next may be sent in {minutes} min; an administrator can raise `RATE_LIMIT_SUBMIT_JOB_PER_HOUR`"
        )),
    );
}

/// One try. `None`: the job is not there, and it is not to be sent now.
async fn create_once(core: &Core, name: &str, job: &Job, looks_first: bool, is_canceled: bool) -> Result<Option<Sent>> {
    if looks_first && core.api.job(name).await.map_err(passing)?.is_some() {
        return Ok(Some(Sent::Exists));
    }
    if is_canceled || !core.api.submit_wait(&core.ctx).is_zero() {
        return Ok(None);
    }
    let door = core.gate.door().await;
    let document = job::document(&core.config, door.as_ref(), &job.code, &job.spec)?;
    core.api.submit(&document).await.map(Some)
}

/// An error after which the same is tried again, whatever it is: who cannot look knows nothing of the job, so that no refusal of this is
/// one of the job.
fn passing(error: Error) -> Error {
    if error.is_retryable() {
        error
    } else {
        error.with_retry(Retry::NotApplied { after: None })
    }
}

/// The server has the job.
async fn created(spawner: &Spawner, trial: &TrialId) {
    let core = &spawner.core;
    let at = core.ctx.clock.monotonic();
    let why = Reason::new(ReasonCode::Queued, "in the cluster's queue", core.ctx.clock.now());
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
    let saved = core.on_storage(move |core| {
        let taken = Job {
            is_created: true,
            ..(*job).clone()
        };
        save_request(&core.folders.paths(&taken.spec.id), &taken)
    });
    if let Err(error) = saved.await {
        tracing::warn!(%trial, %error, "that the cluster has its job is not stored; it is found by its name");
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
    core.on_storage(move |core| {
        files::write_parameters(&core.folders.paths(&trial), &seats::roles(&core.config), &next)
    })
    .await
}
