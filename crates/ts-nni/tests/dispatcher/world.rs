//! A source before a scripted dispatcher, and the log of what that was told.

use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use ts_core::{Ctx, Error, TrialId, TrialStatus};
use ts_manager::source::{Observation, ParameterSource, PastTrial, SourceEvent};
use ts_nni::{Algorithm, Class, Nni, NniSource, NniSpec};
use ts_testkit::FastClock;

/// One release of each protocol.
pub(crate) const RELEASES: [&str; 3] = ["1.9", "2.10", "3.0"];

pub(crate) fn id(text: &str) -> TrialId {
    TrialId::new(text).unwrap()
}

pub(crate) fn packed(n: u32) -> String {
    format!(
        r#"{{"parameter_id": {n}, "parameter_source": "algorithm", "parameters": {{"x": NaN}}, "parameter_index": 0}}"#
    )
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) ctx: Ctx,
    pub(crate) source: NniSource,
}

impl World {
    pub(crate) fn new(version: &str, script: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ctx = Ctx::new(folder.path());
        let source = NniSource::new(nni(folder.path(), version, script), ctx.clone());
        Self { folder, ctx, source }
    }

    /// One whose tuner has this name, and whose time goes faster.
    pub(crate) fn of(name: &str, script: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ctx = Ctx::new(folder.path());
        ctx.clock = Arc::new(FastClock::new(PACE));
        let mut spec = scripted(folder.path(), "3.0", script);
        spec.tuner.class = Class::Named(name.into());
        let source = NniSource::new(Nni::new(spec), ctx.clone());
        Self { folder, ctx, source }
    }

    pub(crate) async fn next(&mut self) -> Result<SourceEvent, Error> {
        tokio::time::timeout(Duration::from_mins(2), self.source.next())
            .await
            .expect("an event in time")
    }

    pub(crate) async fn proposal(&mut self) -> String {
        match self.next().await.unwrap() {
            SourceEvent::Proposal(proposal) => proposal.text.to_string(),
            other => panic!("{other:?} instead of a proposal"),
        }
    }

    pub(crate) async fn finish(&mut self, trial: &str, text: &str, value: &str) {
        let trial = id(trial);
        let observation = Observation {
            trial: &trial,
            sequence_id: 0,
            parameters: text,
            is_final: true,
            sequence: 0,
            value,
            number: None,
        };
        self.source.observe(observation).await.unwrap();
        self.source.ended(&trial, TrialStatus::Succeeded, text).await.unwrap();
    }

    /// What the dispatcher was told, once it holds this line.
    pub(crate) async fn told(&self, last: &str) -> Vec<String> {
        let look = async {
            loop {
                let lines: Vec<_> = self.log().lines().map(str::to_owned).collect();
                if lines.iter().any(|line| line.starts_with(last)) {
                    return lines;
                }
                self.ctx.clock.sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_mins(2), look).await;
        found.unwrap_or_else(|_| panic!("no `{last}` in\n{}", self.log()))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log_of(self.folder.path())).unwrap_or_default()
    }

    /// Ids of the processes that were started.
    pub(crate) fn processes(&self) -> Vec<String> {
        let log = self.log();
        let started = log.lines().filter_map(|line| line.strip_prefix("-- "));
        started.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Waits until a process is gone.
    pub(crate) async fn gone(&self, process: &str) {
        let look = async {
            while is_running(process) {
                self.ctx.clock.sleep(Duration::from_millis(10)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_mins(2), look).await;
        assert!(ended.is_ok(), "process {process} is left");
    }
}

fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// How many times faster.
const PACE: u32 = 10;

pub(crate) fn nni(folder: &Path, version: &str, script: Value) -> Nni {
    Nni::new(scripted(folder, version, script))
}

fn scripted(folder: &Path, version: &str, mut script: Value) -> NniSpec {
    if !version.is_empty() {
        script["version"] = json!(version);
    }
    script["log"] = json!(log_of(folder));
    script["crash_once"] = json!(folder.join("crashed"));
    let Value::Object(class_args) = script else {
        panic!("no map")
    };
    let python = Some(env!("CARGO_BIN_EXE_ts-nni-scripted-dispatcher"));
    spec(folder, python, class_args)
}

pub(crate) fn spec(folder: &Path, python: Option<&str>, class_args: Map<String, Value>) -> NniSpec {
    NniSpec {
        python: python.map(str::to_owned),
        tuner: Algorithm {
            key: "tuner".into(),
            class: Class::Named("Scripted".into()),
            class_args,
        },
        assessor: None,
        search_space: json!({"x": {"_type": "choice", "_value": [1]}}),
        gpu_indices: None,
        log_level: "info",
        include_intermediate_results: false,
        multi_phase: true,
        directory: folder.to_owned(),
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("told.txt")
}

pub(crate) fn past(trial: &str, text: &str, value: Option<&str>) -> PastTrial {
    PastTrial {
        trial: id(trial),
        sequence_id: 0,
        index: 0,
        parameters: text.into(),
        status: if value.is_some() {
            TrialStatus::Succeeded
        } else {
            TrialStatus::Running
        },
        final_value: value.map(Into::into),
        final_number: None,
    }
}
