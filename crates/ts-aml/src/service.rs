//! `AmlService`: the thin implementation of `TrainingService`; each body calls a module of the lifecycle's step.

use crate::{
    AmlConfig, cancel, cleanup,
    core::{self, Running},
    job, prepare, recover, submit, validate, watch,
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Event, ExperimentId, ExperimentSpec,
    GpuPlacement, Parameters, Prepared, Recovered, Rendered, Result, Submitted, TrainingService, TrialId, TrialRecord,
    TrialSpec, Warnings, WatchRequest,
};

/// Runs the trials of one experiment as jobs of an Azure ML workspace.
///
/// Trials do not depend on it: dropping it, the death of the whole program, or a cut of the network leaves them running, and
/// `recover` of a new service over the same folder takes them over.
pub struct AmlService {
    ctx: Ctx,
    config: AmlConfig,
    experiment: ExperimentId,
    running: Mutex<Option<Arc<Running>>>,
    capabilities: Capabilities,
}

impl AmlService {
    /// A service for the trials of `experiment`. Does no I/O.
    pub fn new(ctx: Ctx, config: AmlConfig, experiment: ExperimentId) -> Self {
        let mut capabilities = Capabilities::pulled();
        capabilities.gpu = if config.reuse {
            GpuPlacement::Ours
        } else {
            GpuPlacement::Platform
        };
        Self {
            ctx,
            config,
            experiment,
            running: Mutex::default(),
            capabilities,
        }
    }

    fn running(&self) -> Result<Arc<Running>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running {
            return Ok(Arc::clone(running));
        }
        let started = core::start(self.ctx.clone(), self.config.clone(), self.experiment.clone())?;
        Ok(Arc::clone(running.insert(started)))
    }
}

impl fmt::Debug for AmlService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmlService")
            .field("experiment", &self.experiment)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TrainingService for AmlService {
    fn platform(&self) -> &'static str {
        crate::PLATFORM.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        validate::validate(&self.running()?.core, spec).await
    }

    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        prepare::prepare(&self.running()?.core, code).await
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        job::render(&self.config, code, trial)
    }

    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        submit::submit(&self.running()?, code, trial)
            .await
            .map_err(|e| e.with_op("submit"))
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        submit::send_parameters(&self.running()?.core, trial, next)
            .await
            .map_err(|e| e.with_op("send_parameters"))
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        watch::stream(self.running(), what)
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        cancel::cancel(&self.running()?, trial, why).await;
        Ok(())
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        recover::recover(&self.running()?, known)
            .await
            .map_err(|e| e.with_op("recover"))
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        match self.running() {
            Ok(running) => cleanup::cleanup(&running, scope).await,
            Err(error) => {
                let mut report = CleanupReport::new();
                report.failures.push((crate::PLATFORM.name.to_owned(), error));
                report
            }
        }
    }
}
