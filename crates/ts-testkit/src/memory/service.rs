//! The client's side of the reference platform: the thin `impl TrainingService`. It holds nothing that the cluster does not,
//! so dropping it and making another is what a crash and a restart of the manager look like.

use super::{MemoryCluster, code, watch};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::collections::HashSet;
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Error, ErrorKind, Event, ExperimentId,
    ExperimentSpec, GpuCount, Parameters, Prepared, Recovered, Rendered, Result, Secret, Submitted, Support,
    TrainingService, TrialId, TrialRecord, TrialSpec, Warnings, WatchRequest,
};

/// A client of a [`MemoryCluster`] for one experiment.
#[derive(Debug)]
pub struct MemoryService {
    cluster: MemoryCluster,
    experiment: ExperimentId,
    ctx: Ctx,
    token: Secret,
    capabilities: Capabilities,
}

impl MemoryService {
    /// A client that presents the cluster's own token and can do everything but place GPUs.
    pub fn new(cluster: &MemoryCluster, experiment: ExperimentId, ctx: &Ctx) -> Self {
        Self {
            token: cluster.token(),
            cluster: cluster.clone(),
            experiment,
            ctx: ctx.clone(),
            capabilities: Capabilities::pulled(),
        }
    }

    /// A client that refuses whatever a platform may refuse, so that refusals are tested.
    pub fn refusing(cluster: &MemoryCluster, experiment: ExperimentId, ctx: &Ctx) -> Self {
        let mut service = Self::new(cluster, experiment, ctx);
        service.capabilities.logs = Support::No("this platform keeps no logs");
        service.capabilities.next_parameters = Support::No("a job of this platform takes its parameters once");
        service.capabilities.recover = Support::No("jobs of this platform cannot be listed");
        service
    }

    /// The same client with other credentials.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = token;
        self
    }

    fn stamp(&self, trial: &TrialId) -> (ExperimentId, TrialId) {
        (self.experiment.clone(), trial.clone())
    }

    /// A request on its way: a point at which the caller may drop it. The platform looks at the token when it arrives.
    async fn request(&self) -> Result<()> {
        travel().await;
        if self.token.expose() == self.cluster.token().expose() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Auth, "the platform refused the token")
            .with_key("token")
            .with_help("present the token that the cluster was made with"))
    }
}

/// The way there or back.
async fn travel() {
    tokio::task::yield_now().await;
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TrainingService for MemoryService {
    fn platform(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        self.request().await?;
        if let GpuCount::Exactly(1..) = spec.gpus {
            return Err(Error::unsupported("this platform has no GPUs").with_key("trialGpuNumber"));
        }
        Ok(Warnings::new())
    }

    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        let path = code.path.clone();
        let digest = self.ctx.tasks.blocking(move || code::digest(&path)).await?;
        self.request().await?;
        let stored = (self.experiment.clone(), digest.clone());
        self.cluster.change(|state| state.code.insert(stored));
        travel().await;
        let location = format!("memory:code/{digest}");
        Ok(Prepared::new(Some(digest), location))
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        let request = serde_json::json!({
            "token": self.token,
            "experiment": self.experiment,
            "trial": trial.id,
            "sequence": trial.sequence_id,
            "code": code.location,
            "command": trial.command,
            "parameters": trial.parameters.text.as_ref(),
        });
        Ok(Rendered::new(vec![("job.json".into(), format!("{request:#}"))]))
    }

    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        if trial.experiment != self.experiment {
            let message = format!("trial `{}` belongs to experiment `{}`", trial.id, trial.experiment);
            return Err(
                Error::new(ErrorKind::Conflict, message).with_help("submit it to the service of its experiment")
            );
        }
        self.request().await?;
        let stored = |digest: &String| {
            let stored = (self.experiment.clone(), digest.clone());
            self.cluster.read(|state| state.code.contains(&stored))
        };
        if !code.digest.as_ref().is_some_and(stored) {
            let message = format!("the platform holds no code `{}`", code.location);
            return Err(Error::new(ErrorKind::Rejected, message).with_help("prepare the code directory first"));
        }
        self.cluster.create(trial);
        travel().await;
        Ok(Submitted::new(format!("memory:{}/{}", self.experiment, trial.id)))
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        self.capabilities.next_parameters.require()?;
        self.request().await?;
        self.cluster.give(&self.stamp(trial), next)?;
        travel().await;
        Ok(())
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        if !what.logs.is_empty()
            && let Err(refusal) = self.capabilities.logs.require()
        {
            return watch::refused(refusal);
        }
        watch::watch(self.cluster.clone(), self.experiment.clone(), what)
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        self.request().await?;
        self.cluster.cancel(&self.stamp(trial), why);
        travel().await;
        Ok(())
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        self.capabilities.recover.require()?;
        self.request().await?;
        let held: HashSet<TrialId> = self.trials_held().into_iter().collect();
        let records: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
        let mut found = Recovered::new();
        for record in known {
            let id = record.spec.id.clone();
            if held.contains(&id) {
                found.adopted.push(id);
            } else {
                found.lost.push(id);
            }
        }
        found.strays = held.iter().filter(|id| !records.contains(id)).cloned().collect();
        found.strays.sort();
        Ok(found)
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        let mut report = CleanupReport::new();
        if let Err(error) = self.request().await {
            report.failures.push(("everything".into(), error));
            return report;
        }
        let trials = if let CleanupScope::Trials(trials) = scope {
            trials.clone()
        } else {
            let mine = |(experiment, _): &(ExperimentId, String)| *experiment == self.experiment;
            let code = self.cluster.change(|state| state.code.extract_if(.., mine).count());
            report.removed += code as u64;
            self.trials_held()
        };
        for trial in trials {
            report.removed += u64::from(self.cluster.remove(&self.stamp(&trial)));
            travel().await;
        }
        report
    }
}

impl MemoryService {
    fn trials_held(&self) -> Vec<TrialId> {
        self.cluster.read(|state| {
            let mine = state
                .jobs
                .keys()
                .filter(|(experiment, _)| *experiment == self.experiment);
            mine.map(|(_, trial)| trial.clone()).collect()
        })
    }
}
