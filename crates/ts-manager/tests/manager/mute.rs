//! A source that does not answer when running trials ask for further parameters.

use async_trait::async_trait;
use std::sync::Arc;
use ts_core::{Result, TrialId, TrialStatus};
use ts_manager::source::{ImportedResult, Observation, ParameterSource, PastTrial, SourceEvent};

#[derive(Debug)]
pub(crate) struct Mute(pub(crate) Box<dyn ParameterSource>);

#[async_trait]
impl ParameterSource for Mute {
    fn name(&self) -> &str {
        self.0.name()
    }
    async fn start(&mut self, history: &[PastTrial]) -> Result<()> {
        self.0.start(history).await
    }
    async fn request(&mut self, n: u32) -> Result<()> {
        self.0.request(n).await
    }
    async fn request_next(&mut self, _trial: &TrialId, _index: u32) -> Result<()> {
        Ok(())
    }
    async fn next_ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &[Arc<str>]) -> Result<()> {
        self.0.next_ended(trial, status, parameters).await
    }
    async fn assigned(&mut self, trial: &TrialId, parameters: &str) -> Result<()> {
        self.0.assigned(trial, parameters).await
    }
    async fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        self.0.observe(observation).await
    }
    async fn ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &str) -> Result<()> {
        self.0.ended(trial, status, parameters).await
    }
    async fn import(&mut self, results: &[ImportedResult]) -> Result<()> {
        self.0.import(results).await
    }
    async fn update_search_space(&mut self, space: &serde_json::Value) -> Result<()> {
        self.0.update_search_space(space).await
    }
    async fn next(&mut self) -> Result<SourceEvent> {
        self.0.next().await
    }
    async fn close(&mut self) {
        self.0.close().await;
    }
}
