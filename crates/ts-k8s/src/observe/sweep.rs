//! What no event would bring: trials that wait in vain, pods that are still without their code, objects that were never seen.

use super::Observer;
use crate::{
    core::{Core, News, Ready},
    kinds, names, submit,
};
use kube::api::ListParams;
use std::{collections::HashSet, sync::Arc, time::Duration};
use ts_core::{Reason, ReasonCode, Result, TrialId, TrialStatus, follow::End};

/// How long an object that was created may be unseen before it is asked for.
const UNSEEN: Duration = Duration::from_secs(20);
/// Most objects of one page of a list.
const PAGE: u32 = 500;

impl Observer {
    /// Looks at everything that is live, and has a list read aside if something is nowhere to be seen.
    pub(super) fn sweep(&mut self, ready: &Arc<Ready>) {
        let elapsed = self.core.ctx.clock.monotonic();
        let uids: Vec<String> = self.scene.pods.keys().cloned().collect();
        for uid in uids {
            self.serve_pod(&uid);
        }
        let mut unseen = Vec::new();
        for trial in self.core.registry.ids() {
            let told = self.core.registry.with(&trial, |known| {
                if known.status.is_terminal() {
                    return None;
                }
                let is_ours = known.extra.given_up.is_none() && !known.extra.is_looked_on;
                let is_in_vain =
                    is_ours && is_over(known.extra.hopeless_since, elapsed, self.core.config.start_timeout);
                let is_late = is_over(known.extra.created_at, elapsed, UNSEEN);
                let in_vain = is_in_vain.then(|| known.why.clone());
                Some((in_vain, is_late, known.extra.is_looked_on))
            });
            let Some((in_vain, is_late, is_looked_on)) = told.flatten() else {
                continue;
            };
            if let Some(why) = in_vain {
                self.give_up(&trial, why);
            }
            if is_late && !self.scene.objects.contains_key(&trial) {
                unseen.push(trial.clone());
            }
            self.look(&trial);
            self.end_beside(&trial, elapsed);
            if !is_looked_on {
                for pod in self.scene.left_running(&trial, elapsed) {
                    submit::remove_pod(&self.spawner, pod);
                }
            }
        }
        if !unseen.is_empty() && !std::mem::replace(&mut self.is_listing, true) {
            let (core, ready) = (Arc::clone(&self.core), Arc::clone(ready));
            self.spawner.spawn(async move {
                let absent = absent(&core, &ready, unseen).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "the trials cannot be listed now");
                    Vec::new()
                });
                core.tell(News::Listed(absent));
            });
        }
    }

    fn give_up(&self, trial: &TrialId, why: Option<Reason>) {
        let core = &self.core;
        let now = core.ctx.clock.now();
        let said = why.as_ref().map_or("", |why| why.message.as_str());
        let minutes = core.config.start_timeout.as_secs().div_ceil(60);
        let reason = Reason::new(
            ReasonCode::StartRefused,
            format!("given up after {minutes} min (`startTimeout`): {said}"),
            now,
        );
        let unblock = why.and_then(|why| why.unblock);
        let end = End {
            status: TrialStatus::Failed,
            at: now,
            why: Some(unblock.into_iter().fold(reason, Reason::unblocked_by)),
        };
        core.registry.update(trial, |known| known.extra.given_up = Some(end));
        submit::remove_later(&self.spawner, trial.clone());
    }
}

fn is_over(since: Option<Duration>, now: Duration, most: Duration) -> bool {
    since.is_some_and(|since| now.saturating_sub(since) >= most)
}

/// Which of these trials have no object, by one list of all, page by page.
async fn absent(core: &Core, ready: &Ready, mut trials: Vec<TrialId>) -> Result<Vec<TrialId>> {
    let api = kinds::api(&ready.cluster, &ready.served.resource);
    let mut page = ListParams::default()
        .labels(&names::experiment_selector(&core.experiment))
        .limit(PAGE);
    let mut present = HashSet::new();
    loop {
        let list = api
            .list_metadata(&page)
            .await
            .map_err(|e| crate::error::of_api("list the trials", e))?;
        present.extend(list.items.iter().filter_map(|object| names::trial_of(&object.metadata)));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    trials.retain(|trial| !present.contains(trial));
    Ok(trials)
}
