//! A source that notes which results it learns of which parameters, and that may leave running trials without an answer.

use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use ts_core::{Result, TrialId, TrialStatus};
use ts_manager::source::{ImportedResult, Observation, ParameterSource, PastTrial, SourceEvent};

/// Packed parameters and the text of their result, as the source was told.
pub(crate) type Told = Arc<Mutex<Vec<(String, String)>>>;

#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) inner: Box<dyn ParameterSource>,
    /// Whether running trials wait for ever.
    pub(crate) mute: bool,
    pub(crate) told: Told,
}

impl Listening {
    fn note(&self, parameters: &str, value: &str) {
        let mut told = self.told.lock().expect("no panic");
        told.push((parameters.to_owned(), value.to_owned()));
    }
}

#[async_trait]
impl ParameterSource for Listening {
    fn name(&self) -> &str {
        self.inner.name()
    }
    async fn start(&mut self, history: &[PastTrial]) -> Result<()> {
        for past in history {
            if let Some(value) = &past.final_value {
                self.note(&past.parameters, value);
            }
        }
        self.inner.start(history).await
    }
    async fn request(&mut self, n: u32) -> Result<()> {
        self.inner.request(n).await
    }
    async fn request_next(&mut self, trial: &TrialId, index: u32) -> Result<()> {
        if self.mute {
            return Ok(());
        }
        self.inner.request_next(trial, index).await
    }
    async fn next_ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &[Arc<str>]) -> Result<()> {
        self.inner.next_ended(trial, status, parameters).await
    }
    async fn assigned(&mut self, trial: &TrialId, parameters: &str) -> Result<()> {
        self.inner.assigned(trial, parameters).await
    }
    async fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        if observation.is_final {
            self.note(observation.parameters, observation.value);
        }
        self.inner.observe(observation).await
    }
    async fn ended(&mut self, trial: &TrialId, status: TrialStatus, parameters: &str) -> Result<()> {
        self.inner.ended(trial, status, parameters).await
    }
    async fn import(&mut self, results: &[ImportedResult]) -> Result<()> {
        self.inner.import(results).await
    }
    async fn update_search_space(&mut self, space: &serde_json::Value) -> Result<()> {
        self.inner.update_search_space(space).await
    }
    async fn next(&mut self) -> Result<SourceEvent> {
        self.inner.next().await
    }
    async fn close(&mut self) {
        self.inner.close().await;
    }
}
