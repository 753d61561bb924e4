//! What is known of every trial at present, and whom to tell when it changes.
//!
//! The table is the one truth; watchers hold a mark per changed trial and look the trial up when they are polled, so a
//! watcher that is not polled costs one mark per trial at most. Reading journals belongs to `watch`.

use rustix::process::Pid;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::Notify;
use ts_core::{CancelReason, Reason, Timestamp, TrialId, TrialStatus};

/// What is known of one trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) status: TrialStatus,
    /// When it became so.
    pub(crate) at: Timestamp,
    pub(crate) why: Option<Reason>,
    /// When its command was started, if it was.
    pub(crate) started: Option<Timestamp>,
    /// The request to end it, once it is on disk.
    pub(crate) cancel: Option<CancelReason>,
    /// Its shell, which leads its process group, while that is known to be its.
    pub(crate) shell: Option<Pid>,
}

impl Known {
    pub(crate) fn waiting(at: Timestamp, why: Reason) -> Self {
        Self {
            status: TrialStatus::Waiting,
            at,
            why: Some(why),
            started: None,
            cancel: None,
            shell: None,
        }
    }

    pub(crate) fn running(at: Timestamp) -> Self {
        Self {
            status: TrialStatus::Running,
            at,
            why: None,
            started: Some(at),
            cancel: None,
            shell: None,
        }
    }
}

/// All trials of the experiment that this service has started or adopted.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    trials: Mutex<HashMap<TrialId, Known>>,
    inboxes: Mutex<Vec<Weak<Inbox>>>,
}

impl Registry {
    /// Claims `trial` for the caller; `false` if it is known already.
    pub(crate) fn claim(&self, trial: &TrialId, known: Known) -> bool {
        let mut trials = self.trials();
        if trials.contains_key(trial) {
            return false;
        }
        trials.insert(trial.clone(), known);
        true
    }

    pub(crate) fn get(&self, trial: &TrialId) -> Option<Known> {
        self.trials().get(trial).cloned()
    }

    /// Gives up a claim, or forgets a trial whose directory was removed.
    pub(crate) fn remove(&self, trial: &TrialId) {
        self.trials().remove(trial);
    }

    pub(crate) fn ids(&self) -> Vec<TrialId> {
        self.trials().keys().cloned().collect()
    }

    /// Changes a trial that has not ended, tells the watchers, and gives what `change` returned.
    ///
    /// An ended trial never changes again.
    pub(crate) fn update<T>(&self, trial: &TrialId, change: impl FnOnce(&mut Known) -> T) -> Option<T> {
        let result = {
            let mut trials = self.trials();
            let known = trials.get_mut(trial).filter(|known| !known.status.is_terminal())?;
            change(known)
        };
        self.tell(trial);
        Some(result)
    }

    /// Marks `trial` for every watcher.
    pub(crate) fn tell(&self, trial: &TrialId) {
        self.inboxes()
            .retain(|inbox| inbox.upgrade().map(|inbox| inbox.mark(trial)).is_some());
    }

    /// Marks every trial that has not ended.
    pub(crate) fn tell_all(&self) {
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
    pub(crate) fn subscribe(&self) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        self.inboxes().push(Arc::downgrade(&inbox));
        inbox
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<TrialId, Known>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inboxes(&self) -> MutexGuard<'_, Vec<Weak<Inbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks of changed trials for one watcher, in the order of their first change.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    marks: Mutex<Marks>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    order: VecDeque<TrialId>,
    set: HashSet<TrialId>,
}

impl Inbox {
    pub(crate) fn mark(&self, trial: &TrialId) {
        {
            let mut marks = self.marks();
            if !marks.set.insert(trial.clone()) {
                return;
            }
            marks.order.push_back(trial.clone());
        }
        self.bell.notify_one();
    }

    pub(crate) fn take(&self) -> Option<TrialId> {
        let mut marks = self.marks();
        let trial = marks.order.pop_front()?;
        marks.set.remove(&trial);
        Some(trial)
    }

    /// Waits for a mark made since the last wait.
    pub(crate) async fn marked(&self) {
        self.bell.notified().await;
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_trial_never_changes_and_a_mark_is_made_once() {
        let registry = Registry::default();
        let trial = TrialId::new("a").expect("legal");
        let inbox = registry.subscribe();
        assert!(registry.claim(&trial, Known::running(Timestamp(1))));
        assert!(!registry.claim(&trial, Known::running(Timestamp(2))), "claimed twice");
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
