//! The one loop that looks at the jobs of all trials: one list per interval, details of those that are not in it.
//!
//! It asks nothing while no trial is in the cluster. The interval is that of the configuration; it grows while nothing changes, and
//! where other clients of the same user use up the cluster's limit. A trial that has left its exit code on the storage shortens it.

mod events;

use crate::{
    api::{Item, JobDetail, JobState, JobStatus},
    core::{Core, Place, Spawner},
    names, seats,
    status::{self, Standing},
    verdict,
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use ts_core::{
    Result, Timestamp, TrialId, TrialStatus,
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
    if !core.config.reuse {
        spawner.spawn(observe(Arc::downgrade(core)));
    }
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
            Ok(seen) => {
                pace.succeeded(seen.has_news || before != registry.ids().len(), seen.pace);
                strong.end_trouble();
                events::ask(&strong).await;
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

struct Seen {
    has_news: bool,
    pace: Duration,
}

/// One look at all jobs.
async fn look(core: &Arc<Core>) -> Result<Seen> {
    let began = core.ctx.clock.monotonic();
    let listing = core.api.live(&names::prefix(&core.experiment)).await?;
    let ours = listing
        .jobs
        .iter()
        .filter(|item| item.username == core.config.user_name);
    let jobs: HashMap<TrialId, &Item> = ours
        .filter_map(|item| Some((names::trial_of(&core.experiment, &item.name)?, item)))
        .collect();
    let mut has_news = false;
    let mut asked = Vec::new();
    for trial in core.registry.ids() {
        if core.registry.with(&trial, is_watched) != Some(true) {
            continue;
        }
        let standing = jobs.get(&trial).map_or(Standing::Ended, |item| status::standing(item));
        if standing == Standing::Ended {
            // A job that was taken while we listed may be missing in the list.
            let is_new = core
                .registry
                .with(&trial, |known| known.extra.created_at >= Some(began));
            if is_new != Some(true) {
                asked.push(trial);
            }
        } else {
            has_news |= enter(core, &trial, standing);
        }
    }
    let details = asked.into_iter().map(|trial| async move {
        let detail = core.api.job(&names::job(&core.experiment, &trial)).await;
        settle(core, &trial, detail).await
    });
    let results: Vec<Result<bool>> = stream::iter(details).buffer_unordered(DETAILS).collect().await;
    for result in results {
        has_news |= result?;
    }
    Ok(Seen {
        has_news,
        pace: listing.pace,
    })
}

/// Enters how a trial is that has not ended; says whether that is news.
fn enter(core: &Core, trial: &TrialId, standing: Standing) -> bool {
    let changes = core.registry.with(trial, |known| {
        let begins = matches!(standing, Standing::Running(_)) && status::begins(known.status);
        (begins, begins || known.extra.missing_since.is_some())
    });
    let Some((begins, true)) = changes else { return false };
    let now = core.ctx.clock.now();
    core.registry.update(trial, |known| {
        known.extra.missing_since = None;
        if let Standing::Running(since) = standing
            && begins
        {
            let since = since.unwrap_or(now);
            known.status = TrialStatus::Running;
            (known.at, known.started, known.why) = (since, Some(since), None);
        }
    });
    begins
}

/// Enters what the details of a trial's job say; says whether that is news.
async fn settle(core: &Arc<Core>, trial: &TrialId, detail: Result<Option<JobDetail>>) -> Result<bool> {
    let Some(detail) = detail? else {
        return missing(core, trial).await;
    };
    let job = detail.job_status;
    let as_item = Item {
        state: job.state,
        launched_time: job.app_launched_time.or(job.launched_time),
        created_time: job.created_time,
        ..Item::default()
    };
    match status::standing(&as_item) {
        Standing::Ended => {}
        standing => return Ok(enter(core, trial, standing)),
    }
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    // Where the container ran to its end, it left a code, which may be seen here a little later.
    let is_awaited = cancel.is_none() && job.app_exit_code.is_none_or(|code| code >= 0);
    let (mut left, now) = settled_traces(&core.ctx, &core.folders.paths(trial), is_awaited).await;
    if is_awaited && left.begin == Begin::Free && job.state == JobState::Failed {
        left.tail = log_of(core, trial, &job).await;
    }
    if left.exit.is_none() && job.state == JobState::Succeeded {
        tracing::warn!(%trial, "its job succeeded and left no exit code here: containers and we may see different folders");
    }
    if left.begin == Begin::Taken {
        // It may have begun and ended between two looks.
        let since = as_item.launched_time.or(as_item.created_time).map_or(now, Timestamp);
        core.registry.update(trial, |known| {
            known.started.get_or_insert(since);
        });
    }
    core.registry.conclude(trial, verdict::of_job(&job, &left, cancel, now));
    Ok(true)
}

/// The end of what the container printed that never came to its trial, or nothing.
async fn log_of(core: &Core, trial: &TrialId, job: &JobStatus) -> String {
    let name = names::job(&core.experiment, trial);
    let roles = seats::roles(&core.config);
    let main = roles.first().map_or(seats::ONLY_ROLE, |role| role.name.as_str());
    let role = job.app_exit_trigger_task_role_name.as_deref().unwrap_or(main);
    match core
        .api
        .log_tail(&name, role, job.app_exit_trigger_task_index.unwrap_or(0))
        .await
    {
        Ok(tail) => tail.unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%trial, %error, "the log of its job cannot be read");
            String::new()
        }
    }
}

/// The server does not know the job: not yet, or not any more.
async fn missing(core: &Arc<Core>, trial: &TrialId) -> Result<bool> {
    // Another service sends it when it may.
    let is_to_come = |known: &Known<Place>| known.extra.is_looked_on && !known.extra.job.is_created;
    if core.registry.with(trial, is_to_come) == Some(true) {
        return Ok(false);
    }
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
