//! `LocalService`: the thin implementation of `TrainingService`; each body calls a module of the lifecycle's step.

use crate::{LocalConfig, cancel, cleanup, core::Core, prepare, recover, submit, validate, watch};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::{fmt, sync::Arc};
use tokio::sync::OnceCell;
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Event, ExperimentSpec, GpuPlacement,
    Parameters, Prepared, Recovered, Rendered, Result, Submitted, TrainingService, TrialId, TrialRecord, TrialSpec,
    Warnings, WatchRequest, launch::TrialPaths,
};

/// Runs the trials of one experiment as processes of this machine.
///
/// Trials do not depend on it: dropping it, or the death of the whole program, leaves them running, and `recover` of a new
/// service on the same [`Ctx::work_dir`] takes them over.
pub struct LocalService {
    start: Start,
    capabilities: Capabilities,
}

impl LocalService {
    /// A service whose trials live below `ctx.work_dir`. Does no I/O.
    pub fn new(ctx: Ctx, config: LocalConfig) -> Self {
        let mut capabilities = Capabilities::pulled();
        capabilities.gpu = GpuPlacement::Ours;
        Self {
            start: Start {
                ctx,
                config,
                core: Arc::default(),
            },
            capabilities,
        }
    }
}

impl fmt::Debug for LocalService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalService")
            .field("work_dir", &self.start.ctx.work_dir)
            .field("config", &self.start.config)
            .finish_non_exhaustive()
    }
}

/// Makes the running side of the service when it is first needed.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    ctx: Ctx,
    config: LocalConfig,
    core: Arc<OnceCell<Arc<Core>>>,
}

impl Start {
    pub(crate) async fn core(&self) -> Result<Arc<Core>> {
        let start = || async { Core::start(self.ctx.clone(), self.config.clone()) };
        self.core.get_or_try_init(start).await.cloned()
    }
}

#[async_trait]
impl TrainingService for LocalService {
    fn platform(&self) -> &'static str {
        crate::NAME
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        validate::validate(&self.start.ctx, &self.start.config, spec).await
    }

    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        let (start, code) = (self.start.clone(), code.clone());
        let work = move || prepare::prepare(&start.config, &start.ctx.work_dir, &code);
        self.start.ctx.tasks.blocking(work).await
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        let paths = TrialPaths::new(self.start.ctx.work_dir.join("trials").join(trial.id.as_str()));
        submit::render(&self.start.config, code, trial, &paths)
    }

    async fn submit(&self, prepared: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        let core = self.start.core().await?;
        submit::submit(&core, prepared, trial).map_err(|e| e.with_op("submit"))
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        let core = self.start.core().await?;
        submit::send_parameters(&core, trial, next).map_err(|e| e.with_op("send_parameters"))
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        watch::stream(self.start.clone(), what)
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        let core = self.start.core().await?;
        cancel::cancel(&core, trial, why);
        Ok(())
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        let core = self.start.core().await?;
        recover::recover(&core, known).map_err(|e| e.with_op("recover"))
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        match self.start.core().await {
            Ok(core) => cleanup::cleanup(&core, scope).await,
            Err(error) => {
                let mut report = CleanupReport::new();
                report.failures.push((crate::NAME.to_owned(), error));
                report
            }
        }
    }
}
