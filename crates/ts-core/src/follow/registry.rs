//! What is known of every trial at present, and whom to tell when it changes.
//!
//! The table is the one truth; watchers hold a mark per changed trial and look the trial up when they are polled, so a
//! watcher that is not polled costs one mark per trial at most. Reading journals belongs to `watch`.

use super::End;
use crate::{CancelReason, Reason, Timestamp, TrialId, TrialStatus};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::Notify;

/// What is known of one trial; `X` is the platform's own part.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "platforms change its fields in place")]
pub struct Known<X> {
    /// Its status.
    pub status: TrialStatus,
    /// When it became so.
    pub at: Timestamp,
    /// Why it is so.
    pub why: Option<Reason>,
    /// When its command was started, if it was.
    pub started: Option<Timestamp>,
    /// The request to end it, once it is on disk.
    pub cancel: Option<CancelReason>,
    /// What only the platform knows, such as where it runs.
    pub extra: X,
}

impl<X> Known<X> {
    /// A trial that waits since `at`.
    pub fn waiting(at: Timestamp, why: Reason, extra: X) -> Self {
        Self {
            status: TrialStatus::Waiting,
            at,
            why: Some(why),
            started: None,
            cancel: None,
            extra,
        }
    }

    /// A trial whose command was started at `at`.
    pub fn running(at: Timestamp, extra: X) -> Self {
        Self {
            status: TrialStatus::Running,
            at,
            why: None,
            started: Some(at),
            cancel: None,
            extra,
        }
    }
}

/// All trials of the experiment that a service has started or adopted.
#[derive(Debug)]
pub struct Registry<X> {
    trials: Mutex<HashMap<TrialId, Known<X>>>,
    inboxes: Mutex<Vec<Weak<Inbox>>>,
}

impl<X> Default for Registry<X> {
    fn default() -> Self {
        Self {
            trials: Mutex::default(),
            inboxes: Mutex::default(),
        }
    }
}

impl<X> Registry<X> {
    /// Claims `trial` for the caller; `false` if it is known already.
    pub fn claim(&self, trial: &TrialId, known: Known<X>) -> bool {
        let mut trials = self.trials();
        if trials.contains_key(trial) {
            return false;
        }
        trials.insert(trial.clone(), known);
        true
    }

    /// A copy of what is known of `trial`.
    pub fn get(&self, trial: &TrialId) -> Option<Known<X>>
    where
        X: Clone,
    {
        self.trials().get(trial).cloned()
    }

    /// Looks at what is known of `trial`, without a copy. `look` must not use the registry.
    pub fn with<T>(&self, trial: &TrialId, look: impl FnOnce(&Known<X>) -> T) -> Option<T> {
        self.trials().get(trial).map(look)
    }

    /// Gives up a claim, or forgets a trial whose directory was removed.
    pub fn remove(&self, trial: &TrialId) {
        self.trials().remove(trial);
    }

    /// Every trial, in no order.
    pub fn ids(&self) -> Vec<TrialId> {
        self.trials().keys().cloned().collect()
    }

    /// Changes a trial that has not ended, tells the watchers, and gives what `change` returned.
    ///
    /// An ended trial never changes again.
    pub fn update<T>(&self, trial: &TrialId, change: impl FnOnce(&mut Known<X>) -> T) -> Option<T> {
        let result = {
            let mut trials = self.trials();
            let known = trials.get_mut(trial).filter(|known| !known.status.is_terminal())?;
            change(known)
        };
        self.tell(trial);
        Some(result)
    }

    /// Enters the end of a trial.
    pub fn conclude(&self, trial: &TrialId, end: End) {
        tracing::debug!(%trial, status = %end.status, "ended");
        self.update(trial, |known| {
            (known.status, known.at, known.why) = (end.status, end.at, end.why);
        });
    }

    /// Has a trial that has not ended say why it is as it is; tells nobody what is told already.
    pub fn explain(&self, trial: &TrialId, why: Reason) {
        let is_news = |known: &Known<X>| {
            let old = known.why.as_ref();
            let is_told = old.is_some_and(|old| old.code == why.code && old.message == why.message);
            !is_told && !known.status.is_terminal()
        };
        if self.with(trial, is_news) == Some(true) {
            self.update(trial, |known| known.why = Some(why));
        }
    }

    /// Waits until it is so, which is asked again after changes. Takes no time into account.
    pub async fn until(&self, is_so: impl Fn() -> bool) {
        let inbox = self.subscribe();
        while !is_so() {
            inbox.marked().await;
            while inbox.take().is_some() {}
        }
    }

    /// Marks `trial` for every watcher.
    pub fn tell(&self, trial: &TrialId) {
        self.inboxes()
            .retain(|inbox| inbox.upgrade().map(|inbox| inbox.mark(trial)).is_some());
    }

    /// Marks every trial that has not ended.
    pub fn tell_all(&self) {
        let live: Vec<TrialId> = {
            let trials = self.trials();
            trials
                .iter()
                .filter(|(_, k)| !k.status.is_terminal())
                .map(|(id, _)| id.clone())
                .collect()
        };
        for trial in &live {
            self.tell(trial);
        }
    }

    /// A new watcher's inbox; every change from now on is marked in it.
    pub fn subscribe(&self) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        self.inboxes().push(Arc::downgrade(&inbox));
        inbox
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<TrialId, Known<X>>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inboxes(&self) -> MutexGuard<'_, Vec<Weak<Inbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks of changed trials for one watcher, in the order of their first change.
#[derive(Debug, Default)]
pub struct Inbox {
    marks: Mutex<Marks>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    order: VecDeque<TrialId>,
    set: HashSet<TrialId>,
}

impl Inbox {
    /// Marks `trial`, unless it is marked.
    pub fn mark(&self, trial: &TrialId) {
        {
            let mut marks = self.marks();
            if !marks.set.insert(trial.clone()) {
                return;
            }
            marks.order.push_back(trial.clone());
        }
        self.bell.notify_one();
    }

    /// Takes the oldest mark.
    pub fn take(&self) -> Option<TrialId> {
        let mut marks = self.marks();
        let trial = marks.order.pop_front()?;
        marks.set.remove(&trial);
        Some(trial)
    }

    /// Waits for a mark made since the last wait.
    pub async fn marked(&self) {
        self.bell.notified().await;
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reason_is_told_once_and_an_end_is_waited_for() {
        let registry = Registry::<()>::default();
        let trial = TrialId::new("a").expect("legal");
        registry.claim(&trial, Known::running(Timestamp(1), ()));
        let inbox = registry.subscribe();
        let why = |at| Reason::new(crate::ReasonCode::Unreachable, "x", Timestamp(at));
        registry.explain(&trial, why(1));
        assert_eq!(inbox.take(), Some(trial.clone()));
        registry.explain(&trial, why(2));
        assert_eq!(inbox.take(), None, "nothing new");
        let has_ended = || registry.with(&trial, |known| known.status.is_terminal()) == Some(true);
        let end = async { registry.conclude(&trial, crate::follow::of_exit(0, "", Timestamp(7))) };
        futures_util::join!(registry.until(has_ended), end);
        registry.explain(&trial, why(3));
        let known = registry.get(&trial).expect("claimed");
        assert_eq!(
            (known.status, known.at, known.why),
            (TrialStatus::Succeeded, Timestamp(7), None)
        );
    }

    #[test]
    fn an_ended_trial_never_changes_and_a_mark_is_made_once() {
        let registry = Registry::<()>::default();
        let trial = TrialId::new("a").expect("legal");
        let inbox = registry.subscribe();
        assert!(registry.claim(&trial, Known::running(Timestamp(1), ())));
        assert!(
            !registry.claim(&trial, Known::running(Timestamp(2), ())),
            "claimed twice"
        );
        registry.update(&trial, |known| known.status = TrialStatus::Failed);
        assert_eq!(
            registry.update(&trial, |known| known.status = TrialStatus::Succeeded),
            None
        );
        registry.tell(&trial);
        assert_eq!(inbox.take(), Some(trial.clone()));
        assert_eq!(inbox.take(), None);
        assert_eq!(registry.get(&trial).map(|k| k.status), Some(TrialStatus::Failed));
    }
}
