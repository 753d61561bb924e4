//! OpenPAI's REST server on a port of this machine, with a node that runs the jobs for real.
//!
//! As strict as the real one: each rule names its source. What it lets pass by its own fault is in `Fault`.

mod answers;
mod cluster;
mod limits;
mod node;
mod protocol;
mod routes;

pub(crate) use cluster::Cluster;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use limits::Limiter;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use ts_testkit::http_server::{FaultPlan, PathPart, RequestLog, Serving, broken, page};

pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const TOKEN: &str = "token-of-alice";

/// What a server is like.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Where logs of containers go.
    pub(crate) node_dir: PathBuf,
    /// What programs images have. `None`: those of this machine.
    pub(crate) path: Option<PathBuf>,
    /// How late the database is.
    pub(crate) lag: Duration,
    /// How long Kubernetes lets a container live that is to go.
    pub(crate) pod_grace: Duration,
    /// Requests: all in a minute, lists in a minute, submits in an hour.
    pub(crate) limits: [u32; 3],
    /// How long tokens for a password are good.
    pub(crate) login_life: Duration,
}

impl Setting {
    pub(crate) fn new(node_dir: PathBuf) -> Self {
        Self {
            node_dir,
            path: None,
            lag: Duration::from_millis(60),
            pod_grace: Duration::from_millis(2500),
            limits: [100_000; 3],
            login_life: Duration::from_hours(1),
        }
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The proxy in front answers with this status and a page.
    Page(u16),
    /// The connection breaks before the server got it.
    CutBefore,
    /// The server does it, and the answer is lost.
    CutAfter,
    /// The server does it, and the answer stops in the middle.
    HalfAnswer,
    /// The answer comes so much later.
    Slow(Duration),
    /// The server refuses the token.
    Unauthorized,
    /// A limiter refuses it, with a window that ends after so many seconds.
    Limited(u64),
    /// The server refuses it with this status and code.
    Refused(u16, &'static str),
    /// Sends us to another address.
    Redirect(String),
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) setting: Setting,
    pub(crate) cluster: Cluster,
    all: Limiter,
    lists: Limiter,
    submits: Limiter,
    faults: FaultPlan<Fault>,
    pub(crate) log: RequestLog,
}

/// A running server; its containers end with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    _serving: Serving,
}

impl Server {
    pub(crate) async fn start(setting: Setting) -> Self {
        let [all, lists, submits] = setting.limits;
        let shared = Arc::new(Shared {
            cluster: Cluster::new(setting.clone()),
            all: Limiter::new(all, Duration::from_mins(1)),
            lists: Limiter::new(lists, Duration::from_mins(1)),
            submits: Limiter::new(submits, Duration::from_hours(1)),
            faults: FaultPlan::default(),
            log: RequestLog::default(),
            setting,
        });
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let serving = Serving::start(app).await;
        Self {
            address: serving.address,
            shared,
            _serving: serving,
        }
    }

    /// Has the next `times` such requests fail so.
    pub(crate) fn fail(&self, method: Method, path: &'static str, fault: Fault, times: u32) {
        self.shared.faults.add(method, PathPart::Within(path), fault, times);
    }

    /// Ends all planned faults.
    pub(crate) fn heal(&self) {
        self.shared.faults.clear();
    }

    /// How many requests had this method and this in their path.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.shared.log.count(method, path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.cluster.end_all();
    }
}

#[expect(clippy::disallowed_methods, reason = "a slow server is slow in real time")]
async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    shared.log.note(&method, &uri);
    let answer = || routes::route(&shared, &method, &uri, &headers, &body);
    match shared.faults.take(&method, &path) {
        None => answer(),
        Some(Fault::Page(status)) => page(status),
        Some(Fault::CutBefore) => broken(""),
        Some(Fault::CutAfter) => {
            answer();
            broken("")
        }
        Some(Fault::HalfAnswer) => {
            answer();
            broken("{\"status\"")
        }
        Some(Fault::Slow(by)) => {
            tokio::time::sleep(by).await;
            answer()
        }
        Some(Fault::Unauthorized) => routes::invalid_token(),
        Some(Fault::Limited(seconds)) => limits::refusal(shared.setting.limits[0], seconds, 60),
        Some(Fault::Refused(status, code)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            routes::refused(status, code, "no")
        }
        Some(Fault::Redirect(to)) => (StatusCode::MOVED_PERMANENTLY, [("location", to)]).into_response(),
    }
}
