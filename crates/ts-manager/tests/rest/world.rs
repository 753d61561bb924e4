//! An experiment that is served: one that runs on the platform in memory, or one that is only a store.

use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use ts_core::{
    CodeDirectory, Ctx, ExperimentId, ExperimentSpec, JournalCursor, Parameters, Reason, ReasonCode, Timestamp,
    TrialId, TrialSpec, TrialStatus, Warnings,
};
use ts_manager::{
    ExperimentDirectory, Manager, ManagerHandle, Parts, RetryRules,
    rest::{Api, Listen, OverSocket, Port, Served, serve},
    source::{self, AlgorithmSpec},
    store::{Change, ExperimentStatus, Limits, MetricKind, MetricPlace, NewExperiment, Optimize, Store},
};
use ts_testkit::memory::{MemoryCluster, MemoryService};

/// Longest time that a test waits for anything.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

/// The search space of all of them.
pub(crate) fn space() -> Value {
    json!({"x": {"_type": "uniform", "_value": [0, 1]}})
}

/// What tsctl stores of a configuration of schema 2.
pub(crate) fn config() -> Value {
    json!({
        "searchSpace": space(),
        "resolved": {
            "experimentName": "mnist",
            "trialConcurrency": 2,
            "maxTrialNumber": 5,
            "tuner": {"name": "Random", "classArgs": {"optimize_mode": "minimize"}},
            "trainingService": {"platform": "local"},
        },
    })
}

/// The same of schema 1.
pub(crate) fn config_v1() -> Value {
    json!({
        "searchSpace": space(),
        "resolved": {
            "authorName": "a",
            "experimentName": "mnist",
            "trialConcurrency": 2,
            "maxTrialNum": 5,
            "trainingServicePlatform": "local",
            "tuner": {"builtinTunerName": "Random"},
        },
    })
}

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) directory: ExperimentDirectory,
    pub(crate) ctx: Ctx,
    pub(crate) id: ExperimentId,
    /// Whether trials may ask for further parameters.
    pub(crate) multi_phase: bool,
}

impl World {
    pub(crate) fn new(config: Value, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let id = ExperimentId::new("exp").unwrap();
        let directory = ExperimentDirectory::new(dir.path(), &id);
        directory.create().unwrap();
        let ctx = Ctx::new(directory.path());
        let new = NewExperiment::new(id.clone(), ctx.clock.now(), "password: hunter2", limits).with_config(config);
        Store::create(&directory.store(), &new, Arc::clone(&ctx.clock)).unwrap();
        Self {
            dir,
            directory,
            ctx,
            id,
            multi_phase: false,
        }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.directory.store(), Arc::clone(&self.ctx.clock)).unwrap()
    }

    pub(crate) fn manager(&self, command: &str) -> (Manager, MemoryCluster) {
        let cluster = MemoryCluster::new(Arc::clone(&self.ctx.clock));
        (self.manager_on(&cluster, command), cluster)
    }

    pub(crate) fn manager_on(&self, cluster: &MemoryCluster, command: &str) -> Manager {
        let mut spec = ExperimentSpec::new(self.id.clone(), CodeDirectory::new(self.directory.log()), command);
        spec.multi_phase = self.multi_phase;
        let algorithm = AlgorithmSpec::named("tuner", "Random", 7);
        Manager::new(Parts {
            service: Arc::new(MemoryService::new(cluster, self.id.clone(), &self.ctx)),
            ctx: self.ctx.clone(),
            spec,
            source: source::build(&algorithm, &space(), &mut Warnings::new()).unwrap(),
            assessor: None,
            store: self.store(),
            retry: RetryRules::default(),
            max_trial_duration: None,
            optimize: Optimize::Minimize,
            requests: Vec::new(),
        })
    }

    /// Serves a running manager.
    pub(crate) fn serve(&self, handle: ManagerHandle) -> (SocketAddr, Served) {
        self.serve_at(&Listen::on_port(0), Arc::new(handle), false)
    }

    /// Serves a running manager, and a channel for its trials.
    pub(crate) fn serve_trials(&self, handle: ManagerHandle) -> (SocketAddr, Served) {
        self.serve_at(&Listen::on_port(0), Arc::new(handle), true)
    }

    /// Serves the store alone.
    pub(crate) fn serve_stored(&self, listen: &Listen) -> (SocketAddr, Served) {
        let commands = OverSocket::new(self.directory.clone(), self.ctx.tasks.clone());
        self.serve_at(listen, Arc::new(commands), false)
    }

    fn serve_at(
        &self,
        listen: &Listen,
        commands: Arc<dyn ts_manager::rest::Commands>,
        trial_channel: bool,
    ) -> (SocketAddr, Served) {
        let port = Port::bind(listen).unwrap();
        let at = port.address();
        let served = serve(
            port,
            Api {
                ctx: self.ctx.clone(),
                directory: self.directory.clone(),
                optimize: Optimize::Minimize,
                commands,
                assets: None,
                trial_channel,
            },
        );
        (at, served.unwrap())
    }

    /// Five trials of every kind: succeeded, failed, running, cancelled, waiting; three metrics for each that ran.
    pub(crate) async fn fill(&self) {
        let store = self.store();
        let at = Timestamp;
        let running = Change::ExperimentStatus {
            status: ExperimentStatus::Running,
            at: at(1_000),
            message: None,
        };
        store.apply(vec![running]).await.unwrap();
        let statuses = [
            TrialStatus::Succeeded,
            TrialStatus::Failed,
            TrialStatus::Running,
            TrialStatus::UserCanceled,
            TrialStatus::Waiting,
        ];
        for (n, end) in (0u32..).zip(statuses) {
            let trial = id(n);
            let spec = self.spec(n, &format!(
                r#"{{"parameter_id": {n}, "parameter_source": "algorithm", "parameters": {{"x": {n}.50}}, "parameter_index": 0}}"#
            ));
            let mut changes = vec![Change::created(spec, at(2_000 + i64::from(n)))];
            if end != TrialStatus::Waiting {
                let url = format!("file://localhost{}", self.trial_directory(n).display());
                changes.push(Change::TrialSubmitted {
                    trial: trial.clone(),
                    at: at(3_000),
                    url,
                });
                changes.push(status(&trial, 4_000, TrialStatus::Running, None));
                changes.push(metric(&trial, 1, MetricKind::Intermediate, 0, "0.5"));
                changes.push(metric(&trial, 2, MetricKind::Intermediate, 1, "NaN"));
                changes.push(metric(
                    &trial,
                    3,
                    MetricKind::Final,
                    0,
                    r#"{"default": 0.25, "note": "é\"'"}"#,
                ));
            }
            if end.is_terminal() {
                let why = (end == TrialStatus::Failed)
                    .then(|| Reason::new(ReasonCode::ExitCode, "it ended with exit code 3", at(5_000)));
                changes.push(status(&trial, 5_000, end, why));
            }
            store.apply(changes).await.unwrap();
        }
    }

    /// The trial that runs asks for further parameters twice, which there are once, reports a result of both, and succeeds.
    pub(crate) async fn fill_phases(&self) {
        let (trial, at) = (id(2), Timestamp(6_000));
        let asked = |index| Change::ParametersRequested {
            trial: trial.clone(),
            at,
            index,
            cursor: None,
            is_counted: false,
        };
        let given = |index, text: &str| Change::ParametersSent {
            trial: trial.clone(),
            at,
            parameters: Parameters {
                text: text.into(),
                index,
            },
        };
        let mut second = metric(&trial, 4, MetricKind::Final, 0, "0.75");
        if let Change::Metric { parameter_index, .. } = &mut second {
            *parameter_index = 1;
        }
        let packed =
            r#"{"parameter_id": 17, "parameter_source": "algorithm", "parameters": {"x": 9}, "parameter_index": 1}"#;
        let changes = vec![
            asked(1),
            given(1, packed),
            second,
            asked(2),
            given(2, &source::pack_no_more(2)),
            // Less is better here.
            Change::ResultChosen {
                trial: trial.clone(),
                index: 0,
            },
            status(&trial, 7_000, TrialStatus::Succeeded, None),
        ];
        self.store().apply(changes).await.unwrap();
    }

    pub(crate) fn spec(&self, n: u32, parameters: &str) -> TrialSpec {
        let spec = ExperimentSpec::new(self.id.clone(), CodeDirectory::new("/code"), "./train");
        TrialSpec::new(&spec, id(n), n, Parameters::new(parameters))
    }

    pub(crate) fn trial_directory(&self, n: u32) -> std::path::PathBuf {
        self.directory.path().join("trials").join(id(n).as_str())
    }
}

pub(crate) fn write(path: &Path, text: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn id(n: u32) -> TrialId {
    TrialId::new(&format!("t{n}")).unwrap()
}

pub(crate) fn status(trial: &TrialId, at: i64, status: TrialStatus, reason: Option<Reason>) -> Change {
    Change::TrialStatus {
        trial: trial.clone(),
        at: Timestamp(at),
        status,
        reason,
    }
}

pub(crate) fn metric(trial: &TrialId, seq: u64, kind: MetricKind, sequence: u32, value: &str) -> Change {
    let parsed: Value = serde_json::from_str(value).unwrap_or_default();
    Change::Metric {
        trial: trial.clone(),
        at: Timestamp(4_000 + i64::try_from(seq).unwrap()),
        place: MetricPlace::Journal(JournalCursor {
            base: 0,
            offset: seq,
            check: 0,
        }),
        kind,
        sequence,
        value: value.into(),
        number: parsed.as_f64().or_else(|| parsed["default"].as_f64()),
        parameter_index: 0,
    }
}

pub(crate) fn limits(concurrency: u32, max: u32) -> Limits {
    let mut limits = Limits::new(concurrency);
    limits.max_trials = Some(max);
    limits
}

/// A served store with five trials.
pub(crate) async fn stored(config: Value) -> (World, SocketAddr, Served) {
    let world = World::new(config, limits(2, 5));
    world.fill().await;
    let (at, served) = world.serve_stored(&Listen::on_port(0));
    (world, at, served)
}
