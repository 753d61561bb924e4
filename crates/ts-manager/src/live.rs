//! The trials that have not ended, as the loop knows them. The store has the rest.

use crate::{phases::Phases, store::FIRST_REPORT};
use std::{collections::HashMap, sync::Arc, time::Duration};
use ts_core::{CancelReason, JournalCursor, TrialId, TrialSpec, TrialStatus};

/// A trial that has not ended.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) spec: TrialSpec,
    pub(crate) status: TrialStatus,
    /// Where its journal has been read to.
    pub(crate) cursor: JournalCursor,
    /// Whether the platform has it.
    pub(crate) submitted: bool,
    /// Whether a submit is under way.
    pub(crate) submitting: bool,
    /// Submits that failed so far.
    pub(crate) tries: u32,
    /// Whether the present watch has reported on it.
    pub(crate) seen: bool,
    /// Number of this attempt, from 1.
    pub(crate) attempt: u32,
    /// The reason of the request to end it, if there was one.
    pub(crate) cancel: Option<CancelReason>,
    /// Its parameters, the first and further ones.
    pub(crate) phases: Phases,
    /// Place of the next metric that does not come through the journal.
    pub(crate) next_report: u64,
    /// The final result that counts.
    pub(crate) result: Option<Arc<str>>,
    /// When its time is over, by the monotonic clock.
    pub(crate) deadline: Option<Duration>,
}

impl Live {
    pub(crate) fn new(spec: TrialSpec, attempt: u32) -> Self {
        Self {
            phases: Phases::new(Arc::clone(&spec.parameters.text)),
            next_report: FIRST_REPORT,
            spec,
            status: TrialStatus::Waiting,
            cursor: JournalCursor::default(),
            submitted: false,
            submitting: false,
            tries: 0,
            seen: true,
            attempt,
            cancel: None,
            result: None,
            deadline: None,
        }
    }
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct LiveTrials {
    trials: HashMap<TrialId, Live>,
}

impl LiveTrials {
    pub(crate) fn insert(&mut self, live: Live) {
        self.trials.insert(live.spec.id.clone(), live);
    }
    pub(crate) fn get_mut(&mut self, id: &TrialId) -> Option<&mut Live> {
        self.trials.get_mut(id)
    }
    pub(crate) fn get(&self, id: &TrialId) -> Option<&Live> {
        self.trials.get(id)
    }
    pub(crate) fn remove(&mut self, id: &TrialId) -> Option<Live> {
        self.trials.remove(id)
    }
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Live> {
        self.trials.values_mut()
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Live> {
        self.trials.values()
    }
    pub(crate) fn ids(&self) -> Vec<TrialId> {
        self.trials.keys().cloned().collect()
    }
}
