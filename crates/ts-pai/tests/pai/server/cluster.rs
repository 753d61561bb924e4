//! What the cluster knows: users' grants, jobs and their states, and the late database that the REST server reads them from.
//!
//! Sources: microsoft/pai v1.8, `src/rest-server/src/models/v2/utils/frameworkConverter.js` (`convertState`); microsoft/frameworkcontroller,
//! `pkg/apis/frameworkcontroller/v1/types.go`.

use super::{Setting, limits, node, protocol::Protocol};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use ts_testkit::conformance::kill_marked;

/// State of a Framework, as far as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    AttemptCreationPending,
    AttemptPreparing,
    AttemptRunning,
    AttemptDeleting,
    Completed,
}

/// What is known of a job at some time.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    pub(crate) code: Option<i32>,
    pub(crate) retries: u32,
    pub(crate) launched: Option<u128>,
    pub(crate) completed: Option<u128>,
    pub(crate) trigger: Option<(String, u64)>,
    pub(crate) diagnostics: Option<String>,
}

impl Snapshot {
    /// `convertState`.
    pub(crate) fn state(&self) -> &'static str {
        let is_stop = matches!(self.code, Some(-210 | -220));
        match self.phase {
            Phase::AttemptCreationPending | Phase::AttemptPreparing => "WAITING",
            Phase::AttemptDeleting if is_stop => "STOPPING",
            Phase::AttemptRunning | Phase::AttemptDeleting => "RUNNING",
            Phase::Completed if self.code == Some(0) => "SUCCEEDED",
            Phase::Completed if is_stop => "STOPPED",
            Phase::Completed => "FAILED",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) user: String,
    pub(crate) text: String,
    pub(crate) protocol: Protocol,
    pub(crate) submitted: u128,
    history: Mutex<Vec<(Duration, Snapshot)>>,
    pub(crate) is_stopped: AtomicBool,
    /// Rings when the job is to be stopped, or loses its node.
    pub(crate) bell: Notify,
    /// Exit code of a platform failure that is to happen.
    pub(crate) accident: Mutex<Option<i32>>,
    pub(crate) tags: Mutex<Vec<String>>,
    pub(crate) events: Mutex<Vec<(String, String)>>,
}

impl Job {
    /// What the database has by now; nothing, if the job is too new.
    pub(crate) fn shown(&self, lag: Duration) -> Option<Snapshot> {
        let history = self.history.lock().expect("no panic");
        let known = history.iter().rev().find(|(at, _)| *at + lag <= limits::now());
        known.map(|(_, snapshot)| snapshot.clone())
    }
    /// How it is.
    pub(crate) fn truth(&self) -> Snapshot {
        let history = self.history.lock().expect("no panic");
        history.last().expect("never empty").1.clone()
    }
    pub(crate) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut history = self.history.lock().expect("no panic");
        let mut snapshot = history.last().expect("never empty").1.clone();
        change(&mut snapshot);
        history.push((limits::now(), snapshot));
    }
}

/// Names of storages and of virtual clusters.
pub(crate) type Grants = (Vec<String>, Vec<String>);

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) setting: Setting,
    /// By `user~name`.
    pub(crate) jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    pub(crate) is_held: AtomicBool,
    pub(crate) released: Notify,
    /// Storages and virtual clusters of each user.
    pub(crate) grants: Mutex<HashMap<String, Grants>>,
    /// Tokens, whose they are, and until when.
    pub(crate) tokens: Mutex<HashMap<String, (String, Duration)>>,
    pub(crate) n_logins: Mutex<u32>,
    pub(crate) passwords: Mutex<HashMap<String, String>>,
}

impl Cluster {
    pub(crate) fn new(setting: Setting) -> Self {
        let grants = (vec!["nfs".to_owned()], vec!["default".to_owned(), "gpu".to_owned()]);
        let never = Duration::from_secs(u64::from(u32::MAX));
        Self {
            setting,
            jobs: Mutex::default(),
            is_held: AtomicBool::new(false),
            released: Notify::new(),
            grants: Mutex::new([(super::USER.to_owned(), grants)].into()),
            tokens: Mutex::new([(super::TOKEN.to_owned(), (super::USER.to_owned(), never))].into()),
            n_logins: Mutex::default(),
            passwords: Mutex::new([(super::USER.to_owned(), super::PASSWORD.to_owned())].into()),
        }
    }

    /// Makes a job and begins it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the cluster does its work in the background; it ends with the runtime"
    )]
    pub(crate) fn begin(&self, user: &str, text: &str, protocol: Protocol, shared: &Arc<super::Shared>) {
        let first = Snapshot {
            phase: Phase::AttemptCreationPending,
            code: None,
            retries: 0,
            launched: None,
            completed: None,
            trigger: None,
            diagnostics: None,
        };
        let key = format!("{user}~{}", protocol.name);
        let job = Arc::new(Job {
            user: user.to_owned(),
            text: text.to_owned(),
            submitted: limits::now().as_millis(),
            history: Mutex::new(vec![(limits::now(), first)]),
            is_stopped: AtomicBool::new(false),
            bell: Notify::new(),
            accident: Mutex::default(),
            tags: Mutex::default(),
            events: Mutex::default(),
            protocol,
        });
        self.jobs.lock().expect("no panic").insert(key, Arc::clone(&job));
        tokio::spawn(node::run(Arc::clone(shared), job));
    }

    pub(crate) fn job(&self, key: &str) -> Option<Arc<Job>> {
        self.jobs.lock().expect("no panic").get(key).cloned()
    }

    /// The job whose name ends so.
    pub(crate) fn named(&self, end: &str) -> Arc<Job> {
        let jobs = self.jobs.lock().expect("no panic");
        let found = jobs.iter().find(|(key, _)| key.ends_with(end));
        Arc::clone(found.expect("such a job").1)
    }

    pub(crate) fn hold(&self, held: bool) {
        self.is_held.store(held, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    /// Keys of jobs that have not ended.
    pub(crate) fn live(&self) -> Vec<String> {
        let jobs = self.jobs.lock().expect("no panic");
        let live = jobs.iter().filter(|(_, job)| job.truth().phase != Phase::Completed);
        live.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn end_all(&self) {
        kill_marked(&format!("TEST_NODE={}", self.setting.node_dir.display()));
    }
}
