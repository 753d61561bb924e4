//! `KubernetesService`: the thin implementation of `TrainingService`; each body calls a module of the lifecycle's step.

use crate::{
    JobKind, KubernetesConfig, cancel, cleanup, core::Running, exec, names, object::WORK_DIR, prepare, recover,
    relay::Mirror, submit, validate,
};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Error, ErrorKind, Event, ExperimentId,
    ExperimentSpec, GpuPlacement, Parameters, Prepared, Recovered, Rendered, Result, Submitted, TrainingService,
    TrialId, TrialRecord, TrialSpec, Warnings, WatchRequest, follow, launch::quote,
};

/// Runs the trials of one experiment as objects of a Kubernetes cluster.
///
/// Trials do not depend on it: dropping it, the death of the whole program, or a cut of the network leaves them running, and
/// `recover` of a new service on the same [`Ctx::work_dir`] takes them over.
pub struct KubernetesService {
    ctx: Ctx,
    config: KubernetesConfig,
    experiment: ExperimentId,
    running: Mutex<Option<Arc<Running>>>,
    capabilities: Capabilities,
}

impl KubernetesService {
    /// A service for the trials of `experiment`; what it must remember of them is kept below `ctx.work_dir`. Does no I/O.
    pub fn new(ctx: Ctx, config: KubernetesConfig, experiment: ExperimentId) -> Self {
        let mut capabilities = Capabilities::pulled();
        capabilities.gpu = GpuPlacement::Platform;
        Self {
            ctx,
            config,
            experiment,
            running: Mutex::default(),
            capabilities,
        }
    }

    fn running(&self) -> Arc<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let mirror = Mirror::new(&self.ctx.work_dir);
            Running::start(self.ctx.clone(), self.config.clone(), self.experiment.clone(), mirror)
        };
        Arc::clone(running.get_or_insert_with(start))
    }
}

impl fmt::Debug for KubernetesService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesService")
            .field("experiment", &self.experiment)
            .field("kind", &self.config.kind)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TrainingService for KubernetesService {
    fn platform(&self) -> &'static str {
        match self.config.kind {
            JobKind::TfJob | JobKind::PyTorchJob | JobKind::TrainJob => crate::KUBEFLOW.name,
            JobKind::Framework => crate::FRAMEWORK_CONTROLLER.name,
            JobKind::Job => crate::KUBERNETES.name,
        }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        validate::validate(&self.config, spec).await
    }

    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        prepare::prepare(&self.running().core, code).await
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        submit::render(&self.config, code, trial)
    }

    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        submit::submit(&self.running(), code, trial)
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        send_parameters(&self.running(), trial, next).await
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        let running = self.running();
        let (registry, clock) = (Arc::clone(&running.core.registry), Arc::clone(&running.core.ctx.clock));
        follow::watch(registry, running, clock, what)
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        cancel::cancel(&self.running(), trial, why);
        Ok(())
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        recover::recover(&self.running(), known).await
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        cleanup::cleanup(&self.running(), scope).await
    }
}

/// Gives the running pods of a trial their next parameters, all of the file or none of it.
async fn send_parameters(running: &Running, trial: &TrialId, next: &Parameters) -> Result<()> {
    use k8s_openapi::api::core::v1::Pod;
    use kube::{Api, api::ListParams};
    let core = &running.core;
    let Some(is_over) = core.registry.with(trial, |known| known.status.is_terminal()) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("trial `{trial}` is not known here"),
        ));
    };
    if is_over {
        return Err(Error::new(ErrorKind::Conflict, format!("trial `{trial}` has ended")));
    }
    let ready = core.ready().await;
    let pods: Api<Pod> = Api::namespaced(ready.cluster.client.clone(), &ready.cluster.namespace);
    let ours = ListParams::default().labels(&names::trial_selector(&core.experiment, trial));
    let pods = pods
        .list(&ours)
        .await
        .map_err(|e| crate::error::of_api("list pods", e))?;
    let pods = pods.items.iter().filter_map(crate::pods::PodView::of);
    let live: Vec<_> = pods
        .filter(|pod| matches!(pod.main, crate::pods::Main::Running(_)))
        .collect();
    if live.is_empty() {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("trial `{trial}` waits and cannot take parameters yet"),
        )
        .with_retry(ts_core::Retry::NotApplied { after: None }));
    }
    let file = format!("{WORK_DIR}/trial/{}", next.file_name());
    let command = format!("printf %s {} >{file}.new && mv {file}.new {file}", quote(&next.text));
    for pod in live {
        let command = ["/bin/sh", "-c", &command];
        let done = exec::run(&*core.ctx.clock, &ready.cluster, &pod.name, &pod.container, &command).await?;
        done.into_stdout("write the parameters")?;
    }
    Ok(())
}
