//! The wire: one function per request that we make, with the limits that the server keeps. No policy, no loops.
//!
//! Source: microsoft/pai v1.8, `src/rest-server/docs/swagger.yaml` and `src/rest-server/src/routes`.

mod token;
mod types;

pub(crate) use types::{Event, ExitSpec, Info, Item, JobDetail, JobState, JobStatus, Storage, VirtualClusters};

use self::token::Login;
use crate::{PaiConfig, error};
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use ts_core::{
    Ctx, Error, ErrorKind, Result, Retry,
    http::{HttpClient, HttpSettings, Method, RateLimit, Reply, Request, Tokens, Url},
};

/// Key of the file of certificate authorities.
const CA_FILE: &str = "caFile";
/// What the server allows where it says nothing yet: the defaults of its code, lower than those of its deployment.
///
/// Source: microsoft/pai v1.8, `src/rest-server/src/config/rate-limit.js`.
const ALL_PER_MINUTE: usize = 600;
const LISTS_PER_MINUTE: usize = 60;
const SUBMITS_PER_HOUR: usize = 60;
/// Most jobs in one list; the server's own default. Source: `src/rest-server/src/controllers/v2/job.js`.
const MOST_JOBS: &str = "5000";
/// States of jobs that have not ended.
const LIVE: &str = "WAITING,RUNNING,STOPPING,UNKNOWN";

/// The cluster's REST server.
#[derive(Debug)]
pub(crate) struct Api {
    client: HttpClient,
    base: Url,
    user: String,
    tokens: Tokens,
    all: Arc<RateLimit>,
    lists: Arc<RateLimit>,
    submits: Arc<RateLimit>,
}

/// Jobs that have not ended, and how much time the next list must be away so that half of what the server allows is left to others.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) jobs: Vec<Item>,
    pub(crate) pace: Duration,
}

/// What became of a job that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The server took it.
    Taken,
    /// There is one of that name.
    Exists,
}

#[derive(Serialize)]
struct Execution {
    value: &'static str,
}

impl Api {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// Those of the file of certificate authorities.
    pub(crate) fn new(ctx: &Ctx, config: &PaiConfig) -> Result<Self> {
        let mut settings = HttpSettings::default();
        settings.ca_file.clone_from(&config.ca_file);
        let client = HttpClient::new(Arc::clone(&ctx.clock), &settings).map_err(|e| e.with_key(CA_FILE))?;
        let mut base = config.host.clone();
        let folder = base.path().trim_end_matches('/').to_owned();
        base.set_path(&format!("{folder}/rest-server"));
        let all = Arc::new(RateLimit::new(ALL_PER_MINUTE, Duration::from_mins(1)));
        let login = Login {
            client: client.clone(),
            base: base.clone(),
            user: config.user_name.clone(),
            credential: config.credential.clone(),
            secrets: Arc::clone(&ctx.secrets),
            all: Arc::clone(&all),
        };
        Ok(Self {
            client,
            base,
            user: config.user_name.clone(),
            tokens: Tokens::new(login, Arc::clone(&ctx.clock)),
            all,
            lists: Arc::new(RateLimit::new(LISTS_PER_MINUTE, Duration::from_mins(1))),
            submits: Arc::new(RateLimit::new(SUBMITS_PER_HOUR, Duration::from_hours(1))),
        })
    }

    /// How long the cluster's limit makes the next submit wait.
    pub(crate) fn submit_wait(&self, ctx: &Ctx) -> Duration {
        self.submits.wait(&*ctx.clock)
    }

    fn request(&self, what: &'static str, method: Method, path: &[&str]) -> Request {
        Request::new(what, method, url(&self.base, path)).limited_by(&self.all)
    }

    fn path_of<'a>(&self, job: &'a str) -> [std::borrow::Cow<'a, str>; 1] {
        [format!("{}~{job}", self.user).into()]
    }

    async fn get<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        self.client.send_as(&self.tokens, &request, |reply| json(&reply)).await
    }

    /// What the server is; needs no token.
    pub(crate) async fn info(&self) -> Result<Info> {
        let request = self.request("ask OpenPAI for its version", Method::GET, &["api", "v2", "info"]);
        let info = self.client.send(&request, |reply| json(&reply)).await;
        info.map_err(|e| match e.kind() {
            // Nobody asks for a token here; a proxy may, which gives an answer.
            ErrorKind::Auth if e.message().contains("certificate") => e.with_key(CA_FILE).with_help(
                "name the authority of the server, or of the proxy between, with `caFile` (PEM), or have this machine trust it",
            ),
            _ => e.with_key("host"),
        })
    }

    /// Our jobs whose names hold `prefix` and which have not ended.
    pub(crate) async fn live(&self, prefix: &str) -> Result<Listing> {
        let request = self
            .request("list the jobs", Method::GET, &["api", "v2", "jobs"])
            .with_query("username", &self.user)
            .with_query("keyword", prefix)
            .with_query("state", LIVE)
            .with_query("limit", MOST_JOBS)
            .limited_by(&self.lists);
        let read = |reply: Reply| {
            let jobs: Vec<Item> = json(&reply)?;
            Ok(Listing {
                jobs,
                pace: pace(&reply),
            })
        };
        self.client.send_as(&self.tokens, &request, read).await
    }

    /// One job of ours; `None` if the server does not know it, or not yet.
    pub(crate) async fn job(&self, name: &str) -> Result<Option<JobDetail>> {
        let [name] = self.path_of(name);
        let request = self.request("look at the job", Method::GET, &["api", "v2", "jobs", &name]);
        let read = |reply: Reply| match reply.status() {
            404 if error::code(&reply).as_deref() == Some(error::NO_JOB) => Ok(None),
            _ => json(&reply).map(Some),
        };
        self.client.send_as(&self.tokens, &request, read).await
    }

    /// Sends a job.
    ///
    /// # Errors
    /// As of any request; where it may have been taken, the caller looks.
    pub(crate) async fn submit(&self, document: &str) -> Result<Sent> {
        let request = self
            .request("submit the job", Method::POST, &["api", "v2", "jobs"])
            .with_body("text/yaml", document.to_owned())
            .limited_by(&self.submits);
        let read = |reply: Reply| match reply.status() {
            200..=299 => accepted(&reply).map(|()| Sent::Taken),
            409 if error::code(&reply).as_deref() == Some(error::CONFLICT) => Ok(Sent::Exists),
            _ => Err(error::of_reply(&reply)),
        };
        self.client.send_as(&self.tokens, &request, read).await
    }

    /// Asks for the end of a job; `false` if the server does not know it, or not yet.
    pub(crate) async fn stop(&self, name: &str) -> Result<bool> {
        let [name] = self.path_of(name);
        let path = ["api", "v2", "jobs", &name, "executionType"];
        let request = self
            .request("stop the job", Method::PUT, &path)
            .with_json(&Execution { value: "STOP" })?;
        let read = |reply: Reply| match reply.status() {
            200..=299 => accepted(&reply).map(|()| true),
            404 if error::code(&reply).as_deref() == Some(error::NO_JOB) => Ok(false),
            _ => Err(error::of_reply(&reply)),
        };
        self.client.send_as(&self.tokens, &request, read).await
    }

    /// What Kubernetes tells about a job, oldest first; empty where the cluster is too old to tell.
    pub(crate) async fn events(&self, name: &str) -> Result<Vec<Event>> {
        let [name] = self.path_of(name);
        let request = self.request(
            "ask why the job waits",
            Method::GET,
            &["api", "v2", "jobs", &name, "events"],
        );
        let read = |reply: Reply| match reply.status() {
            404 => Ok(Vec::new()),
            _ => json::<types::Events>(&reply).map(|events| events.data),
        };
        self.client.send_as(&self.tokens, &request, read).await
    }

    /// The storages that the user may mount.
    pub(crate) async fn storages(&self) -> Result<Vec<Storage>> {
        let request = self.request("list the storages", Method::GET, &["api", "v2", "storages"]);
        self.get::<types::Storages>(request).await.map(|list| list.storages)
    }

    /// The virtual clusters, with what is used of them.
    pub(crate) async fn virtual_clusters(&self) -> Result<VirtualClusters> {
        self.get(self.request(
            "list the virtual clusters",
            Method::GET,
            &["api", "v2", "virtual-clusters"],
        ))
        .await
    }

    /// The last 16 KiB of what the first attempt's instance `index` of a role printed, if the server has them.
    pub(crate) async fn log_tail(&self, name: &str, role: &str, index: u32) -> Result<Option<String>> {
        let [name] = self.path_of(name);
        let index = index.to_string();
        let path = [
            "api",
            "v2",
            "jobs",
            &name,
            "attempts",
            "0",
            "taskRoles",
            role,
            "taskIndex",
            &index,
            "attempts",
            "0",
            "logs",
        ];
        let request = self
            .request("ask for the job's log", Method::GET, &path)
            .with_query("tail-mode", "true");
        let read = |reply: Reply| match reply.status() {
            404 => Ok(None),
            _ => json::<types::Logs>(&reply).map(Some),
        };
        let Some(logs) = self.client.send_as(&self.tokens, &request, read).await? else {
            return Ok(None);
        };
        let Some(uri) = logs.best() else { return Ok(None) };
        // Relative to the portal, and with a token of its own.
        let address = self
            .base
            .join(uri)
            .map_err(|_| Error::new(ErrorKind::Protocol, "the address of the job's log is none"))?;
        if address.origin() != self.base.origin() {
            return Ok(None);
        }
        let request = Request::new("read the job's log", Method::GET, address).limited_by(&self.all);
        let read = |reply: Reply| match reply.status() {
            200..=299 => Ok(String::from_utf8_lossy(reply.body()).into_owned()),
            _ => Err(error::of_reply(&reply)),
        };
        self.client.send(&request, read).await.map(Some)
    }
}

fn url(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails for addresses without a host, which `PaiConfig` has not.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    url
}

fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    if reply.is_success() {
        return reply.json();
    }
    Err(error::of_reply(reply))
}

/// A login page, or whatever else answers in the server's place, accepts nothing.
///
/// Source: microsoft/pai v1.8, `src/rest-server/src/controllers/v2/job.js`: what is accepted is told in JSON.
fn accepted(reply: &Reply) -> Result<()> {
    let read = reply.json::<serde::de::IgnoredAny>();
    read.map(drop)
        .map_err(|e| e.with_retry(Retry::MaybeApplied { after: None }))
}

/// The time until the limit is renewed, spread over half of what it still allows.
fn pace(reply: &Reply) -> Duration {
    let remaining = reply
        .header("x-ratelimit-remaining")
        .and_then(|text| text.trim().parse::<u32>().ok());
    match (remaining, reply.wait_asked()) {
        (Some(remaining), Some(wait)) => wait / (remaining / 2).max(1),
        _ => Duration::ZERO,
    }
}
