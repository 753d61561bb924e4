//! The one loop that looks at the jobs of all trials: one list per interval, details of those that are not in it.
//!
//! It asks nothing while no trial is in the cluster. The interval is that of the configuration; it grows while nothing changes, and
//! where other clients of the same user use up the cluster's limit. A trial that has left its exit code on the storage shortens it.

mod events;

use crate::{
    api::{Item, JobDetail, JobState, JobStatus},
    core::{Core, Spawner, wait_of},
    files::{self, Begin},
    names, seats,
    status::{self, Standing},
    verdict,
};
use futures_util::{StreamExt as _, stream};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};
use ts_core::{
    Result, Timestamp, TrialId, TrialStatus,
    follow::{self, TrialFiles},
    launch::TrialPaths,
};

/// How often the files of running trials are looked at.
const GROWTH_PACE: Duration = Duration::from_millis(500);
/// Details that are asked for at a time.
const DETAILS: usize = 6;
/// Most that the interval grows to, as a multiple.
const MOST_GROWTH: u32 = 4;
/// Looks without news until the interval has grown by its own length.
const QUIET: u32 = 8;
/// How long an exit code may take to be seen here once its job has ended, and how often it is looked for.
const SETTLING: (Duration, u32) = (Duration::from_millis(250), 12);

/// Starts the tasks of a service.
pub(crate) fn start(spawner: &Spawner) {
    let core = &spawner.core;
    if !core.config.reuse {
        spawner.spawn(observe(Arc::downgrade(core)));
    }
    let files = Arc::new(Paths(core.folders.clone()));
    let registry = Arc::downgrade(&core.registry);
    let ctx = core.ctx.clone();
    spawner.spawn(async move {
        // Held here, for the task that looks holds it weakly.
        let watched = Arc::downgrade(&files);
        follow::notice_growth(registry, watched, ctx, GROWTH_PACE).await;
        drop(files);
    });
}

/// Trials whose begin (`false`) or end (`true`) was seen on the storage.
type Hints = HashSet<(TrialId, bool)>;

/// Where files are; all that the look at their growth needs.
struct Paths(files::Folders);

impl TrialFiles for Paths {
    fn paths(&self, trial: &TrialId) -> TrialPaths {
        self.0.paths(trial)
    }
    fn want_log(&self, _: &TrialId, _: ts_core::LogKind) {}
    fn log_is_complete(&self, _: &TrialId, _: ts_core::LogKind) -> bool {
        true
    }
    fn look_on(&self, _: &TrialId) {}
    fn forget(&self, _: &TrialId) {}
}

/// Looks until the service is gone.
async fn observe(core: Weak<Core>) {
    let (mut quiet, mut pace, mut failures) = (0_u32, Duration::ZERO, 0_u32);
    let mut hinted = Hints::new();
    loop {
        let Some(strong) = core.upgrade() else { return };
        let least = strong.config.poll_interval.max(pace);
        let most = least * (1 + quiet / QUIET).min(MOST_GROWTH);
        rest(&strong, least, most, &mut hinted).await;
        let before = strong.registry.ids().len();
        match look(&strong).await {
            Ok(seen) => {
                (pace, failures) = (seen.pace, 0);
                quiet = if seen.has_news || before != strong.registry.ids().len() {
                    0
                } else {
                    quiet + 1
                };
                strong.end_trouble();
                events::ask(&strong).await;
            }
            Err(error) => {
                failures += 1;
                // One failure is an accident; the next list comes soon.
                if failures > 1 || !error.is_retryable() {
                    strong.set_trouble(&error);
                }
                let own = strong.config.poll_interval * 2_u32.pow(failures.min(4));
                pace = wait_of(&error, own);
            }
        }
    }
}

/// Waits until it is time for the next list: not before `least`, after `most` or a hint.
async fn rest(core: &Arc<Core>, least: Duration, most: Duration, hinted: &mut Hints) {
    core.ctx.clock.sleep(least).await;
    while !core.registry.ids().iter().any(|trial| is_watched(core, trial)) {
        core.bell.notified().await;
    }
    let until = core.ctx.clock.monotonic() + most.saturating_sub(least);
    loop {
        let left = until.saturating_sub(core.ctx.clock.monotonic());
        if left.is_zero() || has_hint(core, hinted).await {
            return;
        }
        tokio::select! {
            () = core.ctx.clock.sleep(left.min(Duration::from_secs(1))) => {}
            () = core.bell.notified() => return,
        }
    }
}

/// Whether the cluster has the job of a trial that has not ended.
fn is_watched(core: &Core, trial: &TrialId) -> bool {
    let is_watched =
        |known: &follow::Known<crate::core::Place>| !known.status.is_terminal() && known.extra.created_at.is_some();
    core.registry.with(trial, is_watched) == Some(true)
}

/// Whether a trial has begun or left its exit code on the storage, and no list was asked for since.
async fn has_hint(core: &Arc<Core>, hinted: &mut Hints) -> bool {
    let mut asked = Vec::new();
    for trial in core.registry.ids().into_iter().filter(|trial| is_watched(core, trial)) {
        let is_running = core.registry.with(&trial, |known| known.status == TrialStatus::Running) == Some(true);
        if !hinted.contains(&(trial.clone(), is_running)) {
            asked.push((trial, is_running));
        }
    }
    let found: Vec<(TrialId, bool)> = core
        .on_storage(move |core| {
            let is_so = |(trial, is_running): &(TrialId, bool)| {
                let paths = core.folders.paths(trial);
                if *is_running {
                    files::exit(&paths).is_some()
                } else {
                    files::was_begun(&paths)
                }
            };
            asked.into_iter().filter(is_so).collect()
        })
        .await;
    let is_some = !found.is_empty();
    hinted.extend(found);
    hinted.retain(|(trial, _)| is_watched(core, trial));
    is_some
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
    for trial in core.registry.ids().into_iter().filter(|trial| is_watched(core, trial)) {
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
    let (mut left, now) = traces(core, trial, is_awaited).await;
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
    core.conclude(trial, verdict::of_job(&job, &left, cancel, now));
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

/// What a trial has left; waits a little for its exit code, if it `is_awaited`.
async fn traces(core: &Arc<Core>, trial: &TrialId, is_awaited: bool) -> (files::Traces, Timestamp) {
    let (pace, most) = SETTLING;
    for n in 1.. {
        let now = core.ctx.clock.now();
        let own = trial.clone();
        let left = core
            .on_storage(move |core| files::traces(&core.folders.paths(&own), now))
            .await;
        let is_told = left.exit.is_some() || left.was_repeated || left.failure.is_some();
        if is_told || !is_awaited || left.begin == Begin::Free || n >= most {
            return (left, now);
        }
        core.ctx.clock.sleep(pace).await;
    }
    unreachable!("the loop returns after so many rounds")
}

/// The server does not know the job: not yet, or not any more.
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
    let (left, now) = traces(core, trial, false).await;
    let cancel = core.registry.with(trial, |known| known.cancel).flatten();
    core.conclude(trial, verdict::vanished(&left, cancel, now));
    Ok(true)
}
