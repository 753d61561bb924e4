//! Ids from a seed, so that a run of a test can be repeated to the letter.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Mutex, PoisonError};
use ts_core::{ExperimentId, IdSource, RandomIds, TrialId};

/// Mints the same ids, in the same order, for the same seed.
///
/// ```
/// use ts_core::IdSource;
/// use ts_testkit::SeededIds;
///
/// assert_eq!(SeededIds::new(7).trial(), SeededIds::new(7).trial());
/// assert_ne!(SeededIds::new(7).trial(), SeededIds::new(8).trial());
/// ```
#[derive(Debug)]
pub struct SeededIds(Mutex<ChaCha8Rng>);

impl SeededIds {
    /// Ids of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }

    /// A letter, then letters and digits.
    fn mint(&self, length: usize) -> String {
        const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        const N_LETTERS: usize = 26;
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (0..length)
            .map(|i| {
                let n = if i == 0 { N_LETTERS } else { ALPHABET.len() };
                char::from(ALPHABET[rng.random_range(0..n)])
            })
            .collect()
    }
}

impl IdSource for SeededIds {
    fn experiment(&self) -> ExperimentId {
        ExperimentId::new(&self.mint(8)).expect("the alphabet obeys the rule")
    }

    fn trial(&self) -> TrialId {
        TrialId::new(&self.mint(RandomIds::TRIAL_LEN)).expect("the alphabet obeys the rule")
    }
}
