//! The one loop that looks at the jobs of all trials: one list of the team's per interval, details of those that have ended or are not
//! in it.
//!
//! It asks nothing while no trial is in the cluster. The interval is that of the configuration; it grows while nothing changes. A trial
//! that has left its exit code in the shared folder shortens it.

use crate::{
    api::{JobState, JobView},
    core::{Core, Place, Spawner},
    names,
    status::{self, Standing, Wait},
    verdict::{self, short},
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use ts_core::{
    Reason, ReasonCode, Result, Timestamp, TrialId, TrialStatus,
    follow::{
        self, Known, Pace, StoredFiles,
        mounted::{Begin, Hints, settled_traces},
    },
};

/// How often the files of running trials are looked at.
const GROWTH_PACE: Duration = Duration::from_millis(500);
/// Details that are asked for at a time.
const DETAILS: usize = 6;

/// Starts the tasks of a service.
pub(crate) fn start(spawner: &Spawner) {
    let core = &spawner.core;
    spawner.spawn(observe(Arc::downgrade(core)));
    let folders = core.folders.clone();
    let files = Arc::new(StoredFiles::new(move |trial: &TrialId| folders.paths(trial)));
    let registry = Arc::downgrade(&core.registry);
    let ctx = core.ctx.clone();
    spawner.spawn(async move {
        // Held here, for the task that looks holds it weakly.
        let watched = Arc::downgrade(&files);
        follow::notice_growth(registry, watched, ctx, GROWTH_PACE).await;
        drop(files);
    });
}

/// Looks until the service is gone.
async fn observe(core: Weak<Core>) {
    let Some(interval) = core.upgrade().map(|core| core.config.poll_interval) else {
        return;
    };
    let mut pace = Pace::new(interval);
    let mut hints = Hints::default();
    loop {
        let Some(strong) = core.upgrade() else { return };
        let Core {
            ctx,
            registry,
            folders,
            bell,
            ..
        } = &*strong;
        hints.rest(ctx, registry, folders, bell, &pace, is_watched).await;
        let before = registry.ids().len();
        match look(&strong).await {
            Ok(has_news) => {
                pace.succeeded(has_news || before != registry.ids().len(), Duration::ZERO);
                strong.end_trouble();
            }
            Err(error) => {
                // What nobody could look at is not missing.
                forget_missing(&strong);
                if pace.failed(&error) {
                    strong.begin_trouble(&error);
                }
            }
        }
    }
}

fn forget_missing(core: &Core) {
    for trial in core.registry.ids() {
        if core.registry.with(&trial, |known| known.extra.missing_since.is_some()) == Some(true) {
            core.registry.update(&trial, |known| known.extra.missing_since = None);
        }
    }
}

/// Whether the cluster has the job of a trial that has not ended.
fn is_watched(known: &Known<Place>) -> bool {
    !known.status.is_terminal() && known.extra.created_at.is_some()
}

/// One look at all jobs; says whether anything is new.
async fn look(core: &Arc<Core>) -> Result<bool> {
    let began = core.ctx.clock.monotonic();
    let listing = core.api.jobs(&names::prefix(&core.experiment)).await?;
    let jobs: HashMap<&str, &JobView> = listing.iter().map(|job| (job.id.as_str(), job)).collect();
    let mut has_news = false;
    let mut asked = Vec::new();
    for trial in core.registry.ids() {
        let place =
            |known: &Known<Place>| is_watched(known).then(|| (known.extra.job.id.clone(), known.extra.created_at));
        let Some((id, created_at)) = core.registry.with(&trial, place).flatten() else {
            continue;
        };
        let standing = jobs
            .get(id.as_str())
            .map_or(Standing::Ended, |job| status::standing(job));
        if let Some(job) = jobs.get(id.as_str())
            && standing != Standing::Ended
        {
            has_news |= enter(core, &trial, job, standing);
        } else if created_at < Some(began) {
            // A job that was taken while we listed may be missing in the list.
            asked.push((trial, id));
        }
    }
    let details = asked.into_iter().map(|(trial, id)| async move {
        let detail = core.api.job(&id).await;
        settle(core, &trial, detail).await
    });
    let results: Vec<Result<bool>> = stream::iter(details).buffer_unordered(DETAILS).collect().await;
    for result in results {
        has_news |= result?;
    }
    Ok(has_news)
}

/// Enters how a trial is that has not ended; says whether that is news.
fn enter(core: &Core, trial: &TrialId, job: &JobView, standing: Standing) -> bool {
    if core.registry.with(trial, |known| known.extra.missing_since.is_some()) == Some(true) {
        core.registry.update(trial, |known| known.extra.missing_since = None);
    }
    match standing {
        Standing::Waiting(wait) => waits(core, trial, wait),
        Standing::Running(since) => runs(core, trial, since),
        Standing::Unknown => is_not_understood(core, trial, &job.word),
        Standing::Same | Standing::Ended => false,
    }
}

/// A job is in a state of a word that we do not know.
fn is_not_understood(core: &Core, trial: &TrialId, word: &str) -> bool {
    let message = format!(
        "DLTS says that the job is `{}`, which is not understood here",
        short(word)
    );
    let told = |known: &Known<Place>| known.why.as_ref().is_some_and(|why| why.message == message);
    if core.registry.with(trial, told) != Some(false) {
        return false;
    }
    let why = Reason::new(ReasonCode::Unreachable, message.clone(), core.ctx.clock.now())
        .unblocked_by("look at the job in the dashboard; the trial goes on meanwhile");
    core.registry.update(trial, |known| {
        known.status = TrialStatus::Unknown;
        known.why = Some(why);
    });
    true
}

/// A job is understood again; the trial is as it was.
fn is_understood(core: &Core, trial: &TrialId) {
    if core.registry.with(trial, |known| known.status == TrialStatus::Unknown) == Some(true) {
        core.registry.update(trial, |known| {
            known.status = known.started.map_or(TrialStatus::Waiting, |_| TrialStatus::Running);
        });
    }
}

/// A job waits; if its trial began before, the platform has taken its container away, and the trial stays what it is: running.
fn waits(core: &Core, trial: &TrialId, wait: Wait) -> bool {
    is_understood(core, trial);
    let told = core
        .registry
        .with(trial, |known| known.why.as_ref().map(|why| why.message.clone()));
    let why = Reason::new(wait.code, wait.message, core.ctx.clock.now());
    core.registry
        .explain(trial, wait.unblock.into_iter().fold(why, Reason::unblocked_by));
    told.flatten().as_deref() != Some(wait.message)
}

fn runs(core: &Core, trial: &TrialId, since: Option<Timestamp>) -> bool {
    let is_news = core.registry.with(trial, |known| {
        matches!(known.status, TrialStatus::Waiting | TrialStatus::Unknown)
            || known
                .why
                .as_ref()
                .is_some_and(|why| why.code != ReasonCode::Unreachable)
    });
    if is_news != Some(true) {
        return false;
    }
    // The cluster's clock may be ahead.
    let now = core.ctx.clock.now();
    let since = since.unwrap_or(now).min(now);
    core.registry.update(trial, |known| {
        known.status = TrialStatus::Running;
        if known.started.is_none() {
            (known.at, known.started) = (since, Some(since));
        }
        known.why = None;
    });
    true
}

/// Enters what the details of a trial's job say; says whether that is news.
async fn settle(core: &Arc<Core>, trial: &TrialId, detail: Result<Option<JobView>>) -> Result<bool> {
    let Some(job) = detail? else {
        return missing(core, trial).await;
    };
    match status::standing(&job) {
        Standing::Ended => {}
        standing => return Ok(enter(core, trial, &job, standing)),
    }
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    // Where the container ran to its end, it left a code, which may be seen here a little later.
    let is_awaited = cancel.is_none() && matches!(job.state, JobState::Finished | JobState::Failed);
    let (mut left, now) = settled_traces(&core.ctx, &core.folders.paths(trial), is_awaited).await;
    if is_awaited && left.begin == Begin::Free && job.state == JobState::Failed {
        left.tail = match core.api.log_tail(&job.id).await {
            Ok(tail) => tail,
            Err(error) => {
                tracing::debug!(%trial, %error, "the log of its job cannot be read");
                String::new()
            }
        };
    }
    if left.exit.is_none() && job.state == JobState::Finished {
        tracing::warn!(%trial, "its job succeeded and left no exit code here: jobs and we may see different folders");
    }
    if left.begin == Begin::Taken {
        // It may have begun and ended between two looks.
        let since = job.started.unwrap_or(now).min(now);
        core.registry.update(trial, |known| {
            known.started.get_or_insert(since);
        });
    }
    core.registry.conclude(trial, verdict::of_job(&job, &left, cancel, now));
    Ok(true)
}

/// The cluster does not know the job, or does not show it to us any more.
async fn missing(core: &Arc<Core>, trial: &TrialId) -> Result<bool> {
    let now = core.ctx.clock.monotonic();
    let Some(since) = core.registry.with(trial, |known| known.extra.missing_since) else {
        return Ok(false);
    };
    let Some(since) = since else {
        core.registry
            .update(trial, |known| known.extra.missing_since = Some(now));
        return Ok(false);
    };
    if now.saturating_sub(since) < core.config.vanish_after {
        return Ok(false);
    }
    let (left, now) = settled_traces(&core.ctx, &core.folders.paths(trial), false).await;
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    core.registry.conclude(trial, verdict::vanished(&left, cancel, now));
    Ok(true)
}
