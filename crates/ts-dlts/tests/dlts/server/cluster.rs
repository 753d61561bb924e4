//! The cluster behind the dashboard: its jobs, their states, and the pods, which are processes here.
//!
//! Sources: microsoft/DLWorkspace, `src/ClusterManager/job_manager.py`, `job_launcher.py`, `pod_template.py`;
//! `src/utils/JobRestAPIUtils.py`.

use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{process::Command, sync::Notify};
use ts_testkit::conformance::kill_marked;

/// Time between two states.
const STEP: Duration = Duration::from_millis(30);
/// How long Kubernetes lets a pod live that is to go.
const POD_GRACE: Duration = Duration::from_millis(2500);

/// What is to happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Kill,
    Pause,
    /// Its pods are lost: it is queued again.
    Requeue,
    /// Kubernetes refuses its pods for good.
    Refuse,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) params: Value,
    n: usize,
    state: Mutex<&'static str>,
    started: AtomicBool,
    polls: Mutex<u32>,
    asked: Mutex<Option<Asked>>,
    bell: Notify,
}

impl Job {
    pub(crate) fn state(&self) -> &'static str {
        *self.state.lock().expect("no panic")
    }
    fn set(&self, state: &'static str) {
        *self.state.lock().expect("no panic") = state;
        self.bell.notify_waiters();
    }
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state(), "finished" | "failed" | "error" | "killed")
    }
    pub(crate) fn ask(&self, asked: Asked) {
        *self.asked.lock().expect("no panic") = Some(asked);
        self.bell.notify_waiters();
    }
    fn take(&self) -> Option<Asked> {
        self.asked.lock().expect("no panic").take()
    }
    pub(crate) fn resume(&self) {
        self.set("unapproved");
    }
    /// As lists and details show it. What the pods do is not there at first.
    pub(crate) fn shown(&self, cluster: &Cluster, is_detail: bool) -> Value {
        let odd = cluster
            .odd_state
            .lock()
            .expect("no panic")
            .filter(|_| self.state() == "running");
        let mut job = json!({
            "jobId": self.id, "jobName": self.name, "userName": super::EMAIL, "vcName": super::TEAM,
            "jobStatus": odd.unwrap_or(self.state()),
            "jobType": "training", "jobTime": format!("2026-01-01T00:00:{:02}", self.n % 60), "jobParams": self.params, "priority": 100,
        });
        let mut polls = self.polls.lock().expect("no panic");
        *polls += 1;
        if self.started.load(Ordering::SeqCst) && *polls > 2 {
            job["jobStatusDetail"] =
                json!([{"startedAt": *cluster.started_at.lock().expect("no panic"), "message": ""}]);
        }
        if is_detail && self.state() == "error" {
            job["errorMsg"] = "Cannot submit job to kubernetes: no such image".into();
        }
        job
    }
}

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) node_dir: PathBuf,
    pub(crate) jobs: Mutex<Vec<Arc<Job>>>,
    pub(crate) is_held: AtomicBool,
    /// Whether jobs wait for an administrator.
    pub(crate) is_over_quota: AtomicBool,
    /// Whether the database gives no connection.
    pub(crate) has_no_database: AtomicBool,
    /// Whether logs are one text, without pods and cursors.
    pub(crate) has_plain_logs: AtomicBool,
    /// What is shown as state of every job that runs, if it is another.
    pub(crate) odd_state: Mutex<Option<&'static str>>,
    /// When jobs say that they were started.
    pub(crate) started_at: Mutex<&'static str>,
    pub(crate) released: Notify,
}

impl Cluster {
    pub(crate) fn new(node_dir: PathBuf) -> Self {
        Self {
            node_dir,
            jobs: Mutex::default(),
            is_held: AtomicBool::new(false),
            is_over_quota: AtomicBool::new(false),
            has_no_database: AtomicBool::new(false),
            has_plain_logs: AtomicBool::new(false),
            odd_state: Mutex::default(),
            started_at: Mutex::new("2026-01-01T00:00:00+00:00"),
            released: Notify::new(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the cluster does its work in the background; it ends with the runtime"
    )]
    /// Takes a job; `None` if there is one with its id: `MySQLDataHandler.py` has `UNIQUE(jobId)`.
    pub(crate) fn begin(self: &Arc<Self>, params: Value) -> Option<String> {
        let mut jobs = self.jobs.lock().expect("no panic");
        let n = jobs.len();
        let minted = format!("{n:08x}-0000-4000-8000-000000000000");
        let id = params["jobId"].as_str().filter(|id| !id.is_empty());
        let id = id.map_or(minted, str::to_owned);
        if jobs.iter().any(|job| job.id == id) {
            return None;
        }
        let job = Arc::new(Job {
            id,
            name: params["jobName"].as_str().expect("checked").to_owned(),
            params,
            n,
            state: Mutex::new("unapproved"),
            started: AtomicBool::new(false),
            polls: Mutex::default(),
            asked: Mutex::default(),
            bell: Notify::new(),
        });
        jobs.push(Arc::clone(&job));
        tokio::spawn(run(Arc::clone(self), Arc::clone(&job)));
        Some(job.id.clone())
    }

    pub(crate) fn job(&self, id: &str) -> Option<Arc<Job>> {
        let jobs = self.jobs.lock().expect("no panic");
        jobs.iter().find(|job| job.id == id).cloned()
    }

    /// The job whose name ends so.
    pub(crate) fn named(&self, end: &str) -> Option<Arc<Job>> {
        let jobs = self.jobs.lock().expect("no panic");
        jobs.iter().find(|job| job.name.ends_with(end)).cloned()
    }

    pub(crate) fn set(&self, flag: &AtomicBool, to: bool) {
        flag.store(to, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    /// Names of jobs that have not ended.
    pub(crate) fn live(&self) -> Vec<String> {
        let jobs = self.jobs.lock().expect("no panic");
        let live = jobs.iter().filter(|job| !job.is_over());
        live.map(|job| job.name.clone()).collect()
    }

    pub(crate) fn end_all(&self) {
        kill_marked(&format!("TEST_NODE={}", self.node_dir.display()));
    }

    /// What the pod of a job printed.
    pub(crate) fn log(&self, id: &str) -> Option<String> {
        fs::read_to_string(self.node_dir.join(id)).ok()
    }
}

/// Moves a job through its states to its end.
#[expect(clippy::disallowed_methods, reason = "a cluster takes real time")]
async fn run(cluster: Arc<Cluster>, job: Arc<Job>) {
    let mut attempt = 0;
    loop {
        // `unapproved` to `queued` to `scheduling`, unless something else is asked for.
        loop {
            let (released, asked) = (cluster.released.notified(), job.bell.notified());
            match job.take() {
                Some(Asked::Kill) => {
                    job.set("killing");
                    tokio::time::sleep(STEP).await;
                    return job.set("killed");
                }
                Some(Asked::Pause) => {
                    job.set("pausing");
                    tokio::time::sleep(STEP).await;
                    job.set("paused");
                }
                Some(Asked::Refuse) => return job.set("error"),
                Some(Asked::Requeue) | None => {}
            }
            match job.state() {
                "unapproved" if !cluster.is_over_quota.load(Ordering::SeqCst) => {
                    job.set("queued");
                    continue;
                }
                "queued" if !cluster.is_held.load(Ordering::SeqCst) => break,
                _ => {}
            }
            tokio::select! { () = released => {}, () = asked => {} }
        }
        job.set("scheduling");
        tokio::time::sleep(STEP).await;
        job.started.store(true, Ordering::SeqCst);
        job.set("running");
        attempt += 1;
        // Ids begin anew with each cluster; the node tells them apart.
        let mark = format!("TEST_POD={}/{}-{attempt}", cluster.node_dir.display(), job.id);
        let pod = pod(&cluster, &job, &mark);
        tokio::pin!(pod);
        let disturbed = async {
            loop {
                let bell = job.bell.notified();
                if let Some(asked) = job.take() {
                    return asked;
                }
                bell.await;
            }
        };
        let asked = tokio::select! {
            code = &mut pod => {
                kill_marked(&mark);
                tokio::time::sleep(STEP).await;
                return job.set(if code == Some(0) { "finished" } else { "failed" });
            }
            asked = disturbed => asked,
        };
        if asked != Asked::Requeue {
            job.set(if asked == Asked::Kill { "killing" } else { "pausing" });
            // The request to end reaches the pod's first process only, a shell that waits.
            let _ = tokio::time::timeout(POD_GRACE, &mut pod).await;
        }
        kill_marked(&mark);
        match asked {
            Asked::Kill => return job.set("killed"),
            Asked::Refuse => return job.set("error"),
            Asked::Pause => job.set("paused"),
            Asked::Requeue => job.set("queued"),
        }
    }
}

/// Runs the pod of a job; gives its exit code.
async fn pod(cluster: &Cluster, job: &Job, mark: &str) -> Option<i32> {
    let log = fs::File::create(cluster.node_dir.join(&job.id)).expect("room");
    let (mark_name, mark_value) = mark.split_once('=').expect("a variable");
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(job.params["cmd"].as_str().unwrap_or_default())
        .current_dir(&cluster.node_dir)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
        .env(mark_name, mark_value)
        .env("TEST_NODE", &cluster.node_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a handle"))
        .stderr(log)
        .process_group(0);
    for (name, value) in [
        ("JOB_ID", job.id.as_str()),
        ("VC_NAME", super::TEAM),
        ("USER_EMAIL", super::EMAIL),
    ] {
        command
            .env(format!("DLWS_{name}"), value)
            .env(format!("DLTS_{name}"), value);
    }
    // `pod_template.py` knows `envs`; `env` is read by nobody.
    for one in job.params["envs"].as_array().into_iter().flatten() {
        command.env(
            one["name"].as_str().expect("a name"),
            one["value"].as_str().expect("a value"),
        );
    }
    if job.params["resourcegpu"] == 0 {
        command.env("NVIDIA_VISIBLE_DEVICES", "");
    }
    command.spawn().expect("bash").wait().await.expect("waited for").code()
}
