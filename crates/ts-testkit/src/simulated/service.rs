//! The client's side of the simulated platform: the thin `impl TrainingService`.

use super::{SimulatedCluster, watch};
use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use std::collections::HashSet;
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Error, ErrorKind, Event, ExperimentId,
    ExperimentSpec, GpuCount, Parameters, Prepared, Recovered, Rendered, Result, Submitted, Support, TrainingService,
    TrialId, TrialRecord, TrialSpec, Warnings, WatchRequest,
};

/// A client of a [`SimulatedCluster`].
///
/// One watch at a time: a new one takes over, and the old one ends. An ended trial is told about again only if `recover`
/// named it, because the platform keeps no more than a tombstone of it.
#[derive(Debug)]
pub struct SimulatedService {
    cluster: SimulatedCluster,
    experiment: ExperimentId,
    capabilities: Capabilities,
}

impl SimulatedService {
    /// A client for an experiment.
    pub fn new(cluster: &SimulatedCluster, experiment: ExperimentId) -> Self {
        let mut capabilities = Capabilities::pulled();
        capabilities.logs = Support::No("simulated trials write no logs");
        capabilities.next_parameters = Support::No("simulated trials take their parameters once");
        Self {
            cluster: cluster.clone(),
            experiment,
            capabilities,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TrainingService for SimulatedService {
    fn platform(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        if let GpuCount::Exactly(1..) = spec.gpus {
            return Err(Error::unsupported("simulated machines have no GPUs").with_key("trialGpuNumber"));
        }
        Ok(Warnings::new())
    }

    async fn prepare(&self, _code: &CodeDirectory) -> Result<Prepared> {
        Ok(Prepared::new(None, "simulated:code"))
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        let request = serde_json::json!({ "code": code, "trial": trial });
        Ok(Rendered::new(vec![("trial.json".into(), format!("{request:#}"))]))
    }

    async fn submit(&self, _code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        if trial.experiment != self.experiment {
            let message = format!("trial `{}` belongs to experiment `{}`", trial.id, trial.experiment);
            return Err(
                Error::new(ErrorKind::Conflict, message).with_help("submit it to the service of its experiment")
            );
        }
        self.cluster.submit(trial);
        Ok(Submitted::new(format!("simulated:{}", trial.id)))
    }

    async fn send_parameters(&self, _trial: &TrialId, _next: &Parameters) -> Result<()> {
        self.capabilities.next_parameters.require()
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        match self.capabilities.logs.require() {
            Err(refusal) if !what.logs.is_empty() => stream::iter([Err(refusal)]).boxed(),
            _ => watch::watch(self.cluster.clone(), &what),
        }
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        self.cluster.cancel(trial, why);
        Ok(())
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        let mut state = self.cluster.lock();
        let mut found = Recovered::new();
        for record in known {
            let id = record.spec.id.clone();
            if state.holds(&id) {
                state.adopt(&record.spec);
                found.adopted.push(id);
            } else {
                found.lost.push(id);
            }
        }
        let records: HashSet<&TrialId> = known.iter().map(|record| &record.spec.id).collect();
        found.strays = state.trials().filter(|id| !records.contains(id)).cloned().collect();
        Ok(found)
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        let mut state = self.cluster.lock();
        let trials: Vec<TrialId> = if let CleanupScope::Trials(trials) = scope {
            trials.clone()
        } else {
            state.trials().cloned().collect()
        };
        let mut report = CleanupReport::new();
        for trial in trials {
            report.removed += u64::from(state.remove(&trial, &self.cluster.clock));
        }
        report
    }
}
