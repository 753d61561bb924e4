//! A place of its own for one test: directories, a service, and a watcher that remembers what it was told.

use futures_util::{StreamExt as _, stream::BoxStream};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use ts_core::{
    Ctx, Event, ExperimentId, ExperimentSpec, GpuCount, JournalCursor, Parameters, Prepared, Reason, Result,
    TrainingService as _, TrialId, TrialRecord, TrialSpec, TrialStatus, WatchRequest,
};
use ts_local::{LocalConfig, LocalService};

/// No wait of a test is longer.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub(crate) ctx: Ctx,
    pub(crate) config: LocalConfig,
    pub(crate) service: Arc<LocalService>,
    pub(crate) spec: ExperimentSpec,
    pub(crate) code: Prepared,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(LocalConfig::default()).await
    }

    pub(crate) async fn with(config: LocalConfig) -> Self {
        let dir = tempfile::tempdir().expect("room for files");
        let code = dir.path().join("code");
        std::fs::create_dir(&code).expect("room for files");
        let ctx = Ctx::new(dir.path().join("work"));
        let service = Arc::new(LocalService::new(ctx.clone(), config.clone()));
        let directory = ts_core::CodeDirectory::new(&code);
        let spec = ExperimentSpec::new(ExperimentId::new("exp").expect("legal"), directory, "true");
        let code = service.prepare(&spec.code).await.expect("the code directory is there");
        Self {
            dir,
            ctx,
            config,
            service,
            spec,
            code,
        }
    }

    pub(crate) fn code_dir(&self) -> PathBuf {
        self.dir.path().join("code")
    }

    pub(crate) fn trial_dir(&self, trial: &TrialId) -> PathBuf {
        self.ctx.work_dir.join("trials").join(trial.as_str())
    }

    pub(crate) fn trial(&self, id: &str, command: &str) -> TrialSpec {
        let id = TrialId::new(id).expect("legal");
        let mut trial = TrialSpec::new(&self.spec, id, 0, Parameters::new(r#"{"parameter_id":0}"#));
        command.clone_into(&mut trial.command);
        trial
    }

    pub(crate) async fn submit(&self, id: &str, command: &str) -> TrialId {
        let trial = self.trial(id, command);
        self.service.submit(&self.code, &trial).await.expect("the trial starts");
        trial.id
    }

    pub(crate) async fn submit_on_gpus(&self, id: &str, n_gpus: u32, command: &str) -> TrialId {
        let mut trial = self.trial(id, command);
        trial.gpus = GpuCount::Exactly(n_gpus);
        self.service
            .submit(&self.code, &trial)
            .await
            .expect("the trial is queued");
        trial.id
    }

    pub(crate) fn watch(&self) -> Watcher {
        Watcher::new(self.service.watch(WatchRequest::new()))
    }

    /// The manager dies: its tasks and its service are gone, its trials are not. A new one starts in its place.
    pub(crate) async fn crash(&mut self) {
        self.ctx.tasks.close().await;
        self.ctx = Ctx::new(&self.ctx.work_dir);
        self.service = Arc::new(LocalService::new(self.ctx.clone(), self.config.clone()));
    }
}

/// What one watcher was told, in order.
pub(crate) struct Watcher {
    stream: BoxStream<'static, Result<Event>>,
    pub(crate) seen: Vec<Event>,
}

impl Watcher {
    pub(crate) fn new(stream: BoxStream<'static, Result<Event>>) -> Self {
        Self {
            stream,
            seen: Vec::new(),
        }
    }

    /// Reads on until `done` holds for what was told so far.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&[Event]) -> bool) {
        let read = async {
            while !done(&self.seen) {
                let event = self.stream.next().await.expect("the stream does not end");
                self.seen.push(event.expect("no failure"));
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, read).await.is_ok();
        assert!(in_time, "{what} did not come; told so far: {:#?}", self.seen);
    }

    /// The end of `trial` and its reason.
    pub(crate) async fn end_of(&mut self, trial: &TrialId) -> (TrialStatus, Option<Reason>) {
        self.until("the end", |seen| end_in(seen, trial).is_some()).await;
        end_in(&self.seen, trial).expect("just seen")
    }

    pub(crate) fn statuses(&self, of: &TrialId) -> Vec<TrialStatus> {
        let status = |event: &Event| match event {
            Event::Status { trial, status, .. } if trial == of => Some(*status),
            _ => None,
        };
        self.seen.iter().filter_map(status).collect()
    }

    pub(crate) fn metrics(&self, of: &TrialId) -> Vec<String> {
        let body = |event: &Event| match event {
            Event::Metric { trial, body, .. } if trial == of => Some(body.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(body).collect()
    }
}

fn end_in(seen: &[Event], of: &TrialId) -> Option<(TrialStatus, Option<Reason>)> {
    seen.iter().find_map(|event| match event {
        Event::Status { trial, status, why, .. } if trial == of && status.is_terminal() => Some((*status, why.clone())),
        _ => None,
    })
}

/// A shell command that appends one frame to the journal.
pub(crate) fn report(body: &str) -> String {
    format!(
        r#"printf 'ME%06d%s\n' {} '{body}' >>"$NNI_SYS_DIR/.nni/metrics""#,
        body.len() + 1
    )
}

/// Waits until `path` holds a line, and gives it.
pub(crate) async fn line_of(path: &Path) -> String {
    let wait = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(path)
                && let Some((line, _)) = text.split_once('\n')
            {
                return line.to_owned();
            }
            pause().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the file appears")
}

/// Waits until no live process has this pid.
pub(crate) async fn gone(pid: &str) {
    let wait = async {
        while is_alive(pid) {
            pause().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, wait).await.is_ok();
    assert!(in_time, "process {pid} is still there");
}

pub(crate) fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()),
            Some('Z' | 'X')
        )
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pace of a wait for a condition, which has a deadline"
)]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// What a store would know of a submitted trial.
pub(crate) fn record(trial: &TrialSpec) -> TrialRecord {
    TrialRecord::new(trial.clone(), true, TrialStatus::Running, JournalCursor::default())
}
