//! `Random`: every proposal drawn from the search space, without regard to results.

use super::built_in::{Algorithm, rng};
use crate::search_space::SearchSpace;
use serde_json::Value;
use ts_core::Result;

/// Draws from the space; proposal `id` depends on seed and `id` alone.
#[derive(Debug)]
pub(super) struct Random {
    space: SearchSpace,
    seed: u64,
}

impl Random {
    pub(super) fn new(space: SearchSpace, seed: u64) -> Self {
        Self { space, seed }
    }
}

impl Algorithm for Random {
    fn name(&self) -> &'static str {
        "Random"
    }

    fn propose(&mut self, id: u64) -> Result<Option<Value>> {
        let point = self.space.sample(&mut rng(self.seed, id));
        Ok(Some(self.space.render(&point)))
    }

    fn adopt(&mut self, _parameters: &str) {}

    fn result(&mut self, _parameters: &str, _number: Option<f64>) {}

    fn ended(&mut self, _parameters: &str) {}

    fn import(&mut self, _parameters: &Value, _number: Option<f64>) {}

    fn update_search_space(&mut self, space: &Value) -> Result<()> {
        self.space = SearchSpace::parse(space)?;
        Ok(())
    }
}
