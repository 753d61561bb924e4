//! What trials show on the storage before the platform tells of it: that one has begun, or has left its exit code.

use super::{Folders, exit, was_begun};
use crate::{
    Ctx, TrialId, TrialStatus,
    follow::{Known, Pace, Registry},
};
use std::{collections::HashSet, time::Duration};
use tokio::sync::Notify;

/// Pace of looking at the storage between two looks at the platform.
const PACE: Duration = Duration::from_secs(1);

/// Trials whose begin (`false`) or end (`true`) was seen on the storage; each hastens one look at the platform.
#[derive(Debug, Default)]
pub struct Hints {
    seen: HashSet<(TrialId, bool)>,
}

impl Hints {
    /// Waits until it is time for the next look at the platform: not before the least of `pace` nor while no trial `is_watched`, and
    /// then until its most, a hint, or a ring of `bell`.
    pub async fn rest<X>(
        &mut self,
        ctx: &Ctx,
        registry: &Registry<X>,
        folders: &Folders,
        bell: &Notify,
        pace: &Pace,
        is_watched: impl Fn(&Known<X>) -> bool,
    ) {
        let (least, most) = (pace.least(), pace.most());
        ctx.clock.sleep(least).await;
        while !registry
            .ids()
            .iter()
            .any(|trial| registry.with(trial, &is_watched) == Some(true))
        {
            bell.notified().await;
        }
        let until = ctx.clock.monotonic() + most.saturating_sub(least);
        loop {
            let left = until.saturating_sub(ctx.clock.monotonic());
            if left.is_zero() || self.is_new(ctx, registry, folders, &is_watched).await {
                return;
            }
            tokio::select! {
                () = ctx.clock.sleep(left.min(PACE)) => {}
                () = bell.notified() => return,
            }
        }
    }

    /// Whether a watched trial has begun or left its exit code, and was not seen to have before.
    pub(super) async fn is_new<X>(
        &mut self,
        ctx: &Ctx,
        registry: &Registry<X>,
        folders: &Folders,
        is_watched: impl Fn(&Known<X>) -> bool,
    ) -> bool {
        let status = |trial: &TrialId| {
            registry
                .with(trial, |known| is_watched(known).then_some(known.status))
                .flatten()
        };
        let asked: Vec<(TrialId, bool)> = registry
            .ids()
            .into_iter()
            .filter_map(|trial| status(&trial).map(|status| (trial, status == TrialStatus::Running)))
            .filter(|hint| !self.seen.contains(hint))
            .collect();
        let folders = folders.clone();
        // Storage may hang with its server.
        let found: Vec<(TrialId, bool)> = ctx
            .tasks
            .blocking(move || {
                let is_so = |(trial, is_running): &(TrialId, bool)| {
                    let paths = folders.paths(trial);
                    if *is_running {
                        exit(&paths).is_some()
                    } else {
                        was_begun(&paths)
                    }
                };
                asked.into_iter().filter(is_so).collect()
            })
            .await;
        let is_some = !found.is_empty();
        self.seen.extend(found);
        self.seen.retain(|(trial, _)| status(trial).is_some());
        is_some
    }
}
