//! The dashboard of DLTS on a port of this machine. As strict as the real one; what goes wrong on the way to it is in `Fault`.

mod cluster;
mod routes;

pub(crate) use cluster::{Asked, Cluster};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use ts_testkit::http_server::{FaultPlan, PathPart, RequestLog, Serving, broken, page, plain};

pub(crate) const EMAIL: &str = "alice@example.org";
pub(crate) const TEAM: &str = "platform";
pub(crate) const CLUSTER: &str = "c1";
const MASTER: &str = "master token";

/// The user's token. Source: microsoft/DLWorkspace, `src/dashboard/server/api/services/user.js`.
pub(crate) fn token() -> String {
    format!("{:x}", md5::compute(format!("{EMAIL}:{MASTER}")))
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A proxy in front answers with this status and a page.
    Page(u16),
    /// The dashboard cannot reach its cluster: plain text.
    Upstream,
    /// The connection breaks before the server got it.
    CutBefore,
    /// The server does it, and the answer is lost.
    CutAfter,
    /// The server does it, and a page comes in the answer's place.
    PageAfter,
    /// The server does it, and the answer stops in the middle.
    HalfAnswer,
    /// The answer comes so much later.
    Slow(Duration),
    /// The connection breaks at once, and the server does it so much later.
    Late(Duration),
    /// The server refuses the token.
    Forbidden,
    /// Answers with this status and text.
    Refused(u16, &'static str),
    /// A proxy's limit: try again in so many seconds.
    Limited(u64),
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Arc<Cluster>,
    /// `quota` of the team, as JSON.
    pub(crate) quota: Mutex<&'static str>,
    faults: FaultPlan<Fault>,
    was_late: AtomicBool,
    log: RequestLog,
}

/// A running server; its pods end with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    _serving: Serving,
}

impl Server {
    pub(crate) async fn start(node_dir: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            cluster: Arc::new(Cluster::new(node_dir)),
            quota: Mutex::new("{\"P40\": 4}"),
            faults: FaultPlan::default(),
            was_late: AtomicBool::new(false),
            log: RequestLog::default(),
        });
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let serving = Serving::start(app).await;
        Self {
            address: serving.address,
            shared,
            _serving: serving,
        }
    }

    /// Has the next `times` requests whose path ends so fail so.
    pub(crate) fn fail(&self, method: Method, path: &'static str, fault: Fault, times: u32) {
        self.shared.faults.add(method, PathPart::End(path), fault, times);
    }

    /// Has the next `times` requests with this in their path fail so.
    pub(crate) fn fail_below(&self, method: Method, path: &'static str, fault: Fault, times: u32) {
        self.shared.faults.add(method, PathPart::Within(path), fault, times);
    }

    /// Whether a request of [`Fault::Late`] has been carried out.
    pub(crate) fn was_late(&self) -> bool {
        self.shared.was_late.load(Ordering::SeqCst)
    }

    /// Jobs that the cluster has taken.
    pub(crate) fn n_jobs(&self) -> usize {
        self.shared.cluster.jobs.lock().expect("no panic").len()
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

#[expect(
    clippy::disallowed_methods,
    reason = "a slow server is slow in real time, and may do it when nobody listens any more"
)]
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
        Some(Fault::Upstream) => plain(502, "Bad Gateway"),
        Some(Fault::CutBefore) => broken(""),
        Some(Fault::CutAfter) => {
            answer();
            broken("")
        }
        Some(Fault::PageAfter) => {
            answer();
            page(200)
        }
        Some(Fault::HalfAnswer) => {
            answer();
            broken("{\"jobId\"")
        }
        Some(Fault::Slow(by)) => {
            tokio::time::sleep(by).await;
            answer()
        }
        Some(Fault::Late(by)) => {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                routes::route(&shared, &method, &uri, &headers, &body);
                shared.was_late.store(true, Ordering::SeqCst);
            });
            broken("")
        }
        Some(Fault::Refused(status, text)) => plain(status, text),
        Some(Fault::Limited(seconds)) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            (status, [("retry-after", seconds.to_string())], "slow down").into_response()
        }
        Some(Fault::Forbidden) => plain(403, "Invalid token"),
    }
}
