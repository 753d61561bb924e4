//! How many spans ended, and how many of them the collector took. The others are lost, wherever they got stuck.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Counts spans.
#[derive(Debug, Default)]
pub(super) struct Tally {
    n_ended: AtomicU64,
    n_taken: AtomicU64,
    is_told: AtomicBool,
    /// What went wrong with the newest request.
    problem: Mutex<Option<String>>,
}

impl Tally {
    /// A span is to be sent.
    pub(super) fn ended(&self) {
        self.n_ended.fetch_add(1, Ordering::Relaxed);
    }

    /// The collector has so many more.
    pub(super) fn taken(&self, n: usize) {
        self.n_taken.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Something went wrong with a request, which may be tried again.
    pub(super) fn note(&self, problem: String) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    /// Spans were given up. Said once; how many there are in the end is said then.
    pub(super) fn given_up(&self, error: &impl std::fmt::Display) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            let problem = self.problem().unwrap_or_else(|| error.to_string());
            tracing::warn!("traces are lost: {problem}; the experiment goes on without");
        }
    }

    /// What there is to say in the end.
    pub(super) fn lost(&self) -> Option<String> {
        let (n_ended, n_taken) = (
            self.n_ended.load(Ordering::Relaxed),
            self.n_taken.load(Ordering::Relaxed),
        );
        let n_lost = n_ended.saturating_sub(n_taken);
        let why = self.problem().map(|text| format!(": {text}")).unwrap_or_default();
        (n_lost > 0).then(|| format!("{n_lost} of {n_ended} spans did not reach the collector{why}"))
    }

    fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
