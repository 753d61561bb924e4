//! A whole new platform in one file: each trial is a child process of this program, and ends with it. Its settings, its
//! service, its constant for `tsctl`'s list, and the fixture by which the conformance suite proves it.
//!
//! What it cannot do it says and refuses: no logs, no second parameters, no GPUs, and no recovery. A real crate spreads this
//! over the files that CONTRIBUTING.md names. Linux only: it finds the processes of a trial in `/proc`.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::{oneshot, watch},
};
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, DEFAULT_GRACE, Error, ErrorKind,
    Event, ExperimentId, ExperimentSpec, Finding, FindingState, GpuCount, IdSource as _, Parameters, Platform,
    Prepared, RandomIds, Reason, ReasonCode, Recovered, Rendered, Result, Secret, Submitted, Support, Timestamp,
    TrainingService, TrialId, TrialRecord, TrialSpec, TrialStatus, Warnings, WatchRequest,
    config::{ConfigSource, PlatformSection, Problems, Schema, Shortcuts},
    journal::{Chunk, JournalItem, JournalSource, Tailer},
    judge,
    launch::{LaunchScript, StateClock, TrialContext, TrialPaths, trial_environment},
};
use ts_testkit::conformance::{Behavior, Fixture, cases, run, stamped_processes};

// 1. The constant: all that a program which knows many platforms needs.

/// This platform.
pub(crate) const PLATFORM: Platform = Platform {
    name: "child",
    aliases: &[],
    v1_sections: &["childConfig"],
    v1_trial_keys: &[],
    check: |section, problems| {
        grace_period(section, problems);
    },
    build: |section, spec, ctx| {
        let mut problems = Problems::new();
        let grace = grace_period(section, &mut problems);
        problems.into_result()?;
        Ok(Arc::new(ChildService::new(ctx.clone(), spec.id.clone(), grace)))
    },
    diagnose: |_, _| {
        Box::pin(async {
            let (state, message) = if Path::new("/proc/self/environ").exists() {
                (FindingState::Good, "processes can be found by their stamp")
            } else {
                (FindingState::Bad, "there is no `/proc`")
            };
            vec![Finding::new("processes", state, message)]
        })
    },
};

/// The one setting, `gracePeriod`: time between the request to end and the forced end. Default 5 s.
fn grace_period(section: &PlatformSection, problems: &mut Problems) -> Duration {
    let grace = section.read(problems, |s| match s.schema() {
        Schema::V1 => s.section("childConfig", |s| s.duration("gracePeriod")).flatten(),
        Schema::V2 => s.duration("gracePeriod"),
    });
    grace.unwrap_or(DEFAULT_GRACE)
}

// 2. The service. Everything that it knows of its jobs is in memory, which is why it cannot recover.

/// Runs each trial of one experiment as a child process.
#[derive(Debug, Clone)]
struct ChildService {
    ctx: Ctx,
    experiment: ExperimentId,
    grace: Duration,
    capabilities: Capabilities,
    jobs: Arc<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    by_trial: Mutex<BTreeMap<TrialId, Job>>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Job {
    status: TrialStatus,
    at: Timestamp,
    why: Option<Reason>,
    /// Takes the first request to end, and only that.
    end: Option<oneshot::Sender<CancelReason>>,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TrialId, Job>> {
        self.by_trial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChildService {
    fn new(ctx: Ctx, experiment: ExperimentId, grace: Duration) -> Self {
        let mut capabilities = Capabilities::pulled();
        capabilities.logs = Support::No("the output of a child process stays in its directory");
        capabilities.next_parameters = Support::No("a child process gets its parameters once");
        capabilities.recover = Support::No("child processes end with the program that started them");
        Self {
            ctx,
            experiment,
            grace,
            capabilities,
            jobs: Arc::default(),
        }
    }

    fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.ctx.work_dir.join("trials").join(trial.as_str()))
    }

    /// The stamp, and all else that NNI's SDK wants to know.
    fn environment(&self, code: &Prepared, trial: &TrialSpec) -> Vec<(String, String)> {
        let directory = self.paths(&trial.id).dir().display().to_string();
        trial_environment(&TrialContext {
            platform: "local",
            experiment: &trial.experiment,
            trial: &trial.id,
            sequence_id: trial.sequence_id,
            sys_dir: &directory,
            output_dir: &directory,
            code_dir: &code.location,
            multi_phase: trial.multi_phase,
            traceparent: trial.traceparent.as_deref(),
        })
    }

    /// Writes the trial's directory and starts its script there.
    fn start(&self, code: &Prepared, trial: &TrialSpec) -> Result<Child> {
        let paths = self.paths(&trial.id);
        let exchange = paths.exchange();
        fs::create_dir_all(&exchange).map_err(|e| Error::io("create", &exchange, e))?;
        for (name, text) in self.render(code, trial)?.documents {
            let file = paths.dir().join(name);
            fs::write(&file, text).map_err(|e| Error::io("write", &file, e))?;
        }
        Command::new("sh")
            .arg(paths.script())
            .envs(self.environment(code, trial))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                Error::new(ErrorKind::Io, format!("cannot start trial `{}`", trial.id))
                    .with_help("see whether `sh` is in `PATH` and whether the machine has room for another process")
                    .with_source(e)
            })
    }

    /// Waits for the end of a job, which a request may bring about, and notes it.
    async fn attend(self, tree: Tree, mut child: Child, end: oneshot::Receiver<CancelReason>) {
        let asked = tokio::select! {
            biased;
            _ = child.wait() => None,
            Ok(why) = end => {
                tree.signal(Signal::TERM);
                tokio::select! {
                    _ = child.wait() => {}
                    () = self.ctx.clock.sleep(self.grace) => {}
                }
                Some(why)
            }
        };
        let trial = tree.trial.clone();
        drop(tree);
        let ended = child.wait().await;
        let at = self.ctx.clock.now();
        let (status, why) = match (asked, ended.map(|status| status.code())) {
            (Some(why), _) => (why.status(), Some(canceled(why, at))),
            (None, Ok(Some(0))) => (TrialStatus::Succeeded, None),
            (None, Ok(Some(code))) => {
                let errors = fs::read(self.paths(&trial).log(ts_core::LogKind::Stderr)).unwrap_or_default();
                (TrialStatus::Failed, judge(code, &String::from_utf8_lossy(&errors), at))
            }
            (None, Ok(None) | Err(_)) => {
                let reason = Reason::new(ReasonCode::Lost, "the trial's shell was killed from outside", at);
                (TrialStatus::SysCanceled, Some(reason))
            }
        };
        if let Some(job) = self.jobs.lock().get_mut(&trial) {
            (job.status, job.at, job.why, job.end) = (status, at, why, None);
        }
        self.jobs.changed.send_replace(());
    }
}

fn canceled(why: CancelReason, at: Timestamp) -> Reason {
    let (code, message) = match why {
        CancelReason::EarlyStop => (ReasonCode::EarlyStopped, "its results were poor"),
        CancelReason::TimeLimit => (ReasonCode::TimeLimit, "its time was over"),
        _ => (ReasonCode::Canceled, "somebody asked for it"),
    };
    Reason::new(code, message, at)
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TrainingService for ChildService {
    fn platform(&self) -> &'static str {
        PLATFORM.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        if let GpuCount::Exactly(1..) = spec.gpus {
            return Err(Error::unsupported("this platform places no trials on GPUs").with_key("trialGpuNumber"));
        }
        Ok(Warnings::new())
    }

    /// Trials run in the code directory itself: nothing travels.
    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        if !code.path.is_dir() {
            let message = format!("there is no code directory `{}`", code.path.display());
            let error = Error::new(ErrorKind::CodeDir, message).with_key("trialCodeDirectory");
            return Err(error.with_help("name a directory that exists"));
        }
        Ok(Prepared::new(None, code.path.display().to_string()))
    }

    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        let directory = self.paths(&trial.id).dir().display().to_string();
        let script = LaunchScript::new(directory, &code.location, &trial.command)
            .with_env(self.environment(code, trial))
            .with_clock(StateClock::FileTime)
            .render()?;
        Ok(Rendered::new(vec![
            (trial.parameters.file_name(), trial.parameters.text.to_string()),
            (TrialPaths::SCRIPT.to_owned(), script),
        ]))
    }

    /// Without an await: whoever drops the request drops it before or after, never between.
    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        if trial.experiment != self.experiment {
            let message = format!("trial `{}` belongs to experiment `{}`", trial.id, trial.experiment);
            let error = Error::new(ErrorKind::Conflict, message);
            return Err(error.with_help("submit it to the service of its experiment"));
        }
        let submitted = Submitted::new(self.paths(&trial.id).dir().display().to_string());
        let mut jobs = self.jobs.lock();
        if jobs.contains_key(&trial.id) {
            return Ok(submitted);
        }
        let child = self.start(code, trial)?;
        let (sender, receiver) = oneshot::channel();
        let job = Job {
            status: TrialStatus::Running,
            at: self.ctx.clock.now(),
            why: None,
            end: Some(sender),
        };
        jobs.insert(trial.id.clone(), job);
        drop(jobs);
        let tree = Tree {
            experiment: self.experiment.clone(),
            trial: trial.id.clone(),
        };
        self.ctx.tasks.spawn(self.clone().attend(tree, child, receiver));
        self.jobs.changed.send_replace(());
        Ok(submitted)
    }

    async fn send_parameters(&self, _trial: &TrialId, _next: &Parameters) -> Result<()> {
        self.capabilities.next_parameters.require()
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        if !what.logs.is_empty()
            && let Err(refusal) = self.capabilities.logs.require()
        {
            return stream::iter([Err(refusal)]).boxed();
        }
        let watcher = Watcher {
            changes: self.jobs.changed.subscribe(),
            service: self.clone(),
            request: what,
            followed: HashMap::new(),
            synced: false,
            pending: VecDeque::new(),
        };
        stream::unfold(watcher, |mut watcher| async move {
            let item = watcher.next().await;
            Some((item, watcher))
        })
        .boxed()
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        let end = self.jobs.lock().get_mut(trial).and_then(|job| job.end.take());
        // A job that ended in between no longer listens: nothing is left to stop.
        end.map_or(Ok(()), |end| end.send(why).or(Ok(())))
    }

    async fn recover(&self, _known: &[TrialRecord]) -> Result<Recovered> {
        self.capabilities.recover.require()?;
        Ok(Recovered::new())
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        let mut report = CleanupReport::new();
        let trials = match scope {
            CleanupScope::Trials(trials) => trials.clone(),
            _ => self.jobs.lock().keys().cloned().collect(),
        };
        for trial in trials {
            if self.jobs.lock().remove(&trial).is_none() {
                continue;
            }
            let directory = self.paths(&trial).dir().to_path_buf();
            drop(Tree {
                experiment: self.experiment.clone(),
                trial,
            });
            report.removed += 1;
            if let Err(error) = fs::remove_dir_all(&directory) {
                let what = directory.display().to_string();
                report.failures.push((what, Error::io("remove", &directory, error)));
            }
        }
        report
    }
}

/// All processes of a trial, detached ones included, by the stamp in their environment. Dropping it ends them.
#[derive(Debug)]
struct Tree {
    experiment: ExperimentId,
    trial: TrialId,
}

impl Tree {
    /// Most sweeps at the end: each finds what was started during the one before.
    const SWEEPS: usize = 1000;

    /// Sends a signal to each process; says how many took it.
    fn signal(&self, signal: Signal) -> usize {
        let stamps = [
            format!("NNI_EXP_ID={}", self.experiment),
            format!("NNI_TRIAL_JOB_ID={}", self.trial),
        ];
        let Ok(listing) = fs::read_dir("/proc") else { return 0 };
        let pids = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let mine = pids.filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let holds = |stamp: &String| environment.split(|byte| *byte == 0).any(|v| v == stamp.as_bytes());
            stamps.iter().all(holds)
        });
        // A process that has ended since it was listed takes none, and needs none.
        mine.filter_map(Pid::from_raw)
            .filter(|pid| kill_process(*pid, signal).is_ok())
            .count()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for _ in 0..Self::SWEEPS {
            if self.signal(Signal::KILL) == 0 {
                break;
            }
        }
    }
}

// 3. The watch: looks at each job and its journal, tells what is new, and looks again.

/// How often journals are looked at while nothing else happens. A real platform waits for a signal, or waits longer.
const PACE: Duration = Duration::from_millis(20);

struct Watcher {
    service: ChildService,
    changes: watch::Receiver<()>,
    request: WatchRequest,
    followed: HashMap<TrialId, Followed>,
    synced: bool,
    pending: VecDeque<Event>,
}

/// What a watcher has told of a trial.
struct Followed {
    status: Option<TrialStatus>,
    tailer: Tailer,
}

impl Watcher {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            self.changes.mark_unchanged();
            self.look().await?;
            if !self.synced {
                self.synced = true;
                self.pending.push_back(Event::Synced);
            }
            if self.pending.is_empty() {
                tokio::select! {
                    _ = self.changes.changed() => {}
                    () = self.service.ctx.clock.sleep(PACE) => {}
                }
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let jobs: Vec<_> = {
            let jobs = self.service.jobs.lock();
            let present = jobs.iter();
            present
                .map(|(trial, job)| (trial.clone(), job.status, job.at, job.why.clone()))
                .collect()
        };
        for (trial, status, at, why) in jobs {
            let from = self.request.from.get(&trial).copied().unwrap_or_default();
            let followed = self.followed.entry(trial.clone()).or_insert_with(|| Followed {
                status: None,
                tailer: Tailer::new(from),
            });
            if followed.status.is_some_and(TrialStatus::is_terminal) {
                continue;
            }
            let news = (followed.status != Some(status)).then(|| Event::Status {
                trial: trial.clone(),
                at,
                status,
                why,
            });
            // A beginning is told before the metrics, an end after them.
            let (end, beginning) = if status.is_terminal() {
                (news, None)
            } else {
                (None, news)
            };
            let mut journal = JournalFile(self.service.paths(&trial).metrics());
            let items = followed.tailer.drain(&mut journal, status.is_terminal()).await?;
            followed.status = Some(status);
            let now = self.service.ctx.clock.now();
            self.pending.extend(beginning);
            self.pending
                .extend(items.into_iter().filter_map(|item| reported(&trial, now, item)));
            self.pending.extend(end);
        }
        Ok(())
    }
}

/// A piece of the journal as an event.
fn reported(trial: &TrialId, at: Timestamp, item: JournalItem) -> Option<Event> {
    let trial = trial.clone();
    match item {
        JournalItem::Frame { cursor, body } => Some(Event::Metric {
            trial,
            at,
            cursor,
            body,
        }),
        JournalItem::Skipped {
            cursor,
            n_bytes,
            problem,
        } => Some(Event::Skipped {
            trial,
            at,
            cursor,
            n_bytes,
            problem: problem.to_string(),
        }),
        _ => None,
    }
}

struct JournalFile(PathBuf);

#[async_trait]
impl JournalSource for JournalFile {
    async fn read_at(&mut self, offset: u64, len: usize) -> Result<Chunk> {
        let read = || -> io::Result<Chunk> {
            let file = fs::File::open(&self.0)?;
            let file_len = file.metadata()?.len();
            let present = usize::try_from(file_len.saturating_sub(offset)).unwrap_or(len);
            let mut bytes = vec![0; len.min(present)];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(Chunk {
                bytes: Bytes::from(bytes),
                file_len,
            })
        };
        match read() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Chunk::default()),
            chunk => chunk.map_err(|e| Error::io("read", &self.0, e)),
        }
    }
}

// 4. The proof: a world for one test, and how to look into it.

/// A world with its own experiment and directory.
pub(crate) struct World {
    spec: ExperimentSpec,
    directory: tempfile::TempDir,
}

/// The platform's section of a configuration.
pub(crate) fn section(text: &str, problems: &mut Problems) -> PlatformSection {
    let source = ConfigSource {
        file: "experiment.yml".into(),
        base_dir: "/".into(),
        home: None,
    };
    PlatformSection::from_text(PLATFORM.name, Schema::V2, text, &source, Shortcuts::default(), problems)
        .expect("the text is YAML")
}

#[async_trait]
impl Fixture for World {
    async fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in ["code", "gates"] {
            fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        let code = CodeDirectory::new(directory.path().join("code"));
        let spec = ExperimentSpec::new(RandomIds.experiment(), code, "exit 0");
        Self { spec, directory }
    }
    fn ctx(&self) -> Ctx {
        Ctx::new(self.directory.path().join("work"))
    }
    fn service(&self, ctx: &Ctx) -> Arc<dyn TrainingService> {
        let section = section("gracePeriod: 1s", &mut Problems::new());
        (PLATFORM.build)(&section, &self.spec, ctx).expect("the section is right")
    }
    fn spec(&self) -> ExperimentSpec {
        self.spec.clone()
    }
    fn command(&self, behavior: &Behavior) -> String {
        behavior.to_shell(&self.directory.path().join("gates"))
    }
    async fn open_gate(&self, gate: &str) {
        fs::write(self.directory.path().join("gates").join(gate), "").expect("a file");
    }
    async fn hold_queue(&self, _held: bool) -> Support {
        Support::No("a child process starts at once")
    }
    async fn running(&self, trial: &TrialId) -> Vec<String> {
        stamped_processes(&self.spec.id, Some(trial))
    }
    async fn leftovers(&self) -> Vec<String> {
        let mut left = stamped_processes(&self.spec.id, None);
        if let Ok(trials) = fs::read_dir(self.directory.path().join("work/trials")) {
            left.extend(trials.flatten().map(|entry| entry.path().display().to_string()));
        }
        left
    }
    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// Runs one case of the suite; `tests/new_platform.rs` runs them all.
fn main() {
    run::<World>(cases::lifecycle::a_trial_waits_runs_and_succeeds_in_this_order);
}
