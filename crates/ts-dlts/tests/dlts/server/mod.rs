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
struct Planned {
    method: Method,
    path: &'static str,
    /// Whether it is for all paths with this in them, and not just for those that end so.
    is_for_all_below: bool,
    fault: Fault,
    left: u32,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Arc<Cluster>,
    /// `quota` of the team, as JSON.
    pub(crate) quota: Mutex<&'static str>,
    faults: Mutex<Vec<Planned>>,
    was_late: AtomicBool,
    /// Method and path of each request, in order.
    log: Mutex<Vec<String>>,
}

/// A running server; its pods end with it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the server")]
    pub(crate) async fn start(node_dir: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            cluster: Arc::new(Cluster::new(node_dir)),
            quota: Mutex::new("{\"P40\": 4}"),
            faults: Mutex::default(),
            was_late: AtomicBool::new(false),
            log: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let app = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("served");
        });
        Self { address, shared, task }
    }

    /// Has the next `left` such requests fail so.
    pub(crate) fn fail(&self, method: Method, path: &'static str, fault: Fault, left: u32) {
        self.plan(Planned {
            method,
            path,
            is_for_all_below: false,
            fault,
            left,
        });
    }

    /// Has the next `left` such requests with this in their path fail so.
    pub(crate) fn fail_below(&self, method: Method, path: &'static str, fault: Fault, left: u32) {
        self.plan(Planned {
            method,
            path,
            is_for_all_below: true,
            fault,
            left,
        });
    }

    fn plan(&self, planned: Planned) {
        self.shared.faults.lock().expect("no panic").push(planned);
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
        self.shared.faults.lock().expect("no panic").clear();
    }

    /// How many requests had this method and this in their path.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        let log = self.shared.log.lock().expect("no panic");
        let lines = log
            .iter()
            .filter(|line| line.starts_with(method) && line.contains(path));
        lines.count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.cluster.end_all();
    }
}

impl Shared {
    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("no panic");
        let at = faults.iter().position(|p| {
            let fits = path.ends_with(p.path) || p.is_for_all_below && path.contains(p.path);
            p.method == *method && fits
        })?;
        faults[at].left -= 1;
        let fault = faults[at].fault.clone();
        if faults[at].left == 0 {
            faults.remove(at);
        }
        Some(fault)
    }
}

/// An answer that breaks off: hyper closes the connection when the body fails.
fn broken(head: &'static str) -> Response {
    let pieces = futures_util::stream::iter([
        Ok(Bytes::from_static(head.as_bytes())),
        Err(std::io::Error::other("cut")),
    ]);
    let mut response = Response::new(axum::body::Body::from_stream(pieces));
    let length = "4096".parse().expect("a number");
    response.headers_mut().insert("content-length", length);
    response
}

fn page(status: u16) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
    (status, [("content-type", "text/html")], page).into_response()
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
    shared.log.lock().expect("no panic").push(format!("{method} {path}"));
    let answer = || routes::route(&shared, &method, &uri, &headers, &body);
    match shared.fault(&method, &path) {
        None => answer(),
        Some(Fault::Page(status)) => page(status),
        Some(Fault::Upstream) => (StatusCode::BAD_GATEWAY, "Bad Gateway").into_response(),
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
        Some(Fault::Refused(status, text)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, text).into_response()
        }
        Some(Fault::Limited(seconds)) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            (status, [("retry-after", seconds.to_string())], "slow down").into_response()
        }
        Some(Fault::Forbidden) => (StatusCode::FORBIDDEN, "Invalid token").into_response(),
    }
}
