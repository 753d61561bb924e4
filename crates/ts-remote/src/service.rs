//! `RemoteService`: the thin implementation of `TrainingService`; each body calls a module of the lifecycle's step.

use crate::{RemoteConfig, cancel, cleanup, core::Running, prepare, recover, submit, validate, warm::Warm};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Event, ExperimentId, ExperimentSpec,
    GpuPlacement, Parameters, Prepared, Recovered, Rendered, Result, Submitted, TrainingService, TrialId, TrialRecord,
    TrialSpec, Warnings, WatchRequest, follow,
};

/// Runs the trials of one experiment on machines that are reached by SSH.
///
/// Trials do not depend on it: dropping it, the death of the whole program, or a cut of the network leaves them running, and
/// `recover` of a new service on the same [`Ctx::work_dir`] takes them over.
pub struct RemoteService {
    ctx: Ctx,
    config: RemoteConfig,
    experiment: ExperimentId,
    running: Mutex<Option<Arc<Running>>>,
    warm: Arc<Warm>,
    capabilities: Capabilities,
}

impl RemoteService {
    /// A service for the trials of `experiment`; what it must remember of them is kept below `ctx.work_dir`. Does no I/O.
    pub fn new(ctx: Ctx, config: RemoteConfig, experiment: ExperimentId) -> Self {
        let mut capabilities = Capabilities::pulled();
        capabilities.gpu = GpuPlacement::Ours;
        Self {
            ctx,
            config,
            experiment,
            running: Mutex::default(),
            warm: Arc::default(),
            capabilities,
        }
    }

    /// The running side with all its machines, made when it is first needed. Must be called inside a runtime.
    fn running(&self) -> Arc<Running> {
        let running = self.looking_on();
        running.core.need_all();
        running
    }

    /// The running side, which connects to those machines that are needed.
    fn looking_on(&self) -> Arc<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (ctx, config, experiment) = (self.ctx.clone(), self.config.clone(), self.experiment.clone());
            Running::start(ctx, config, experiment, Arc::clone(&self.warm))
        };
        Arc::clone(running.get_or_insert_with(start))
    }
}

impl fmt::Debug for RemoteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteService")
            .field("work_dir", &self.ctx.work_dir)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TrainingService for RemoteService {
    fn platform(&self) -> &'static str {
        crate::NAME
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        validate::validate(&self.ctx, &self.config, &self.warm, spec).await
    }

    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        prepare::prepare(&self.running().core, code)
            .await
            .map_err(|e| e.with_op("prepare"))
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        submit::render(&self.config, code, trial)
    }

    async fn submit(&self, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        submit::submit(&self.running().core, prepared, trial).map_err(|e| e.with_op("submit"))
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        submit::send_parameters(&self.running().core, trial, next)
            .await
            .map_err(|e| e.with_op("send_parameters"))
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        let running = self.looking_on();
        let (registry, clock) = (Arc::clone(&running.core.registry), Arc::clone(&running.core.ctx.clock));
        follow::watch(registry, running, clock, what)
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        cancel::cancel(&self.running().core, trial, why)
            .await
            .map_err(|e| e.with_op("cancel"))
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        recover::recover(&self.running().core, known)
            .await
            .map_err(|e| e.with_op("recover"))
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        cleanup::cleanup(&self.running().core, scope).await
    }
}
