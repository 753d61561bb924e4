//! Which trial holds which GPUs of one machine. Nothing here asks the driver or decides who gets what.

use crate::{Error, ErrorKind, Result, TrialId};
use std::collections::BTreeMap;

/// The reservations on one machine, by trial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GpuLedger {
    held: BTreeMap<TrialId, Vec<u32>>,
}

impl GpuLedger {
    /// Nothing reserved.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reserves these GPUs for a trial, all or none.
    ///
    /// # Errors
    /// `Conflict` if the trial holds GPUs already, if an index is given twice, or if a GPU has `max_trials_per_gpu`.
    pub fn reserve(&mut self, trial: &TrialId, indices: &[u32], max_trials_per_gpu: u32) -> Result<()> {
        let conflict = |message| Err(Error::new(ErrorKind::Conflict, message));
        if let Some(held) = self.held.get(trial) {
            return conflict(format!("trial `{trial}` holds GPUs {held:?} already"));
        }
        for (i, index) in indices.iter().enumerate() {
            if indices[..i].contains(index) {
                return conflict(format!("GPU {index} is given twice to trial `{trial}`"));
            }
            let n_trials = self.trials_on(*index);
            if n_trials >= max_trials_per_gpu {
                return conflict(format!(
                    "GPU {index} holds {n_trials} of at most {max_trials_per_gpu} trials, no room for `{trial}`"
                ));
            }
        }
        self.held.insert(trial.clone(), indices.to_vec());
        Ok(())
    }

    /// Enters what an adopted trial holds. It runs there already, so no limit applies; it replaces an earlier entry.
    pub fn restore(&mut self, trial: &TrialId, indices: &[u32]) {
        let mut indices = indices.to_vec();
        indices.sort_unstable();
        indices.dedup();
        self.held.insert(trial.clone(), indices);
    }

    /// Frees what a trial holds and returns it; `None` if it held nothing, so that releasing twice is harmless.
    pub fn release(&mut self, trial: &TrialId) -> Option<Vec<u32>> {
        self.held.remove(trial)
    }

    /// What a trial holds.
    pub fn held_by(&self, trial: &TrialId) -> Option<&[u32]> {
        self.held.get(trial).map(Vec::as_slice)
    }

    /// How many trials hold this GPU.
    pub fn trials_on(&self, index: u32) -> u32 {
        let holds = self.held.values().filter(|held| held.contains(&index)).count();
        u32::try_from(holds).unwrap_or(u32::MAX)
    }
}
