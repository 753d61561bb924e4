//! The wire: one function per request that we make. No policy, no loops that try again.
//!
//! The token travels in the query, where the dashboard wants it; the client never shows a query.
//!
//! Source: microsoft/DLWorkspace, `src/dashboard/server/api/router.js`, `v2/router.js`.

mod types;

pub(crate) use types::{JobState, JobView, Team};

use crate::{
    DltsConfig,
    config::{EMAIL_VARIABLE, TEAM_VARIABLE},
    error,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use tokio::sync::OnceCell;
use ts_core::{
    Ctx, Error, ErrorKind, Result, Retry, Secret, SecretSource,
    http::{HttpClient, HttpSettings, Method, Reply, Request},
};

/// Ended jobs in one list, newest first; the others are all in it. Sources: `src/utils/MySQLDataHandler.py`, `get_union_job_list_v2`;
/// `src/dashboard/server/api/v2/controllers/cluster/team/jobs.js`: 10 unless it is said.
const MOST_JOBS: &str = "1000";
/// Jobs that are killed with one request. The dashboard passes the ids on in an address, whose length servers limit to 4 KiB, often.
pub(crate) const MOST_KILLED: usize = 20;
/// Pieces of a log that are read, and the bytes of its end that are kept.
const MOST_PIECES: usize = 20;
const MOST_LOG: usize = 4096;

/// Who we are, once the references are looked up.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) team: String,
    pub(crate) email: String,
    token: Secret,
}

/// The dashboard.
#[derive(Debug)]
pub(crate) struct Api {
    client: HttpClient,
    config: DltsConfig,
    secrets: Arc<dyn SecretSource>,
    identity: OnceCell<Identity>,
}

#[derive(Serialize)]
struct Change {
    status: &'static str,
}

#[derive(Serialize)]
struct Changes {
    status: Map<String, Json>,
}

const KILLING: &str = "killing";

impl Api {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// Those of the file of certificate authorities.
    pub(crate) fn new(ctx: &Ctx, config: &DltsConfig) -> Result<Self> {
        let mut settings = HttpSettings::default();
        settings.ca_file.clone_from(&config.ca_file);
        Ok(Self {
            client: HttpClient::new(Arc::clone(&ctx.clock), &settings).map_err(|e| e.with_key("caFile"))?,
            config: config.clone(),
            secrets: Arc::clone(&ctx.secrets),
            identity: OnceCell::new(),
        })
    }

    /// Who we are.
    ///
    /// # Errors
    /// `Config` if it is neither written nor known from a job of DLTS around us.
    pub(crate) async fn identity(&self) -> Result<&Identity> {
        let named = async |own: &Option<String>, key: &'static str, variable: &str| match own {
            Some(text) => Ok(text.clone()),
            None => match self.secrets.resolve(variable).await {
                Ok(text) => Ok(text.expose().trim().to_owned()),
                Err(error) => Err(unknown(key, &error)),
            },
        };
        self.identity
            .get_or_try_init(async || {
                let token = self.config.password.resolve(&*self.secrets).await;
                Ok(Identity {
                    team: named(&self.config.team, "team", TEAM_VARIABLE).await?,
                    email: named(&self.config.email, "email", EMAIL_VARIABLE).await?,
                    token: Secret::new(token.map_err(|e| unknown("password", &e))?.expose().trim()),
                })
            })
            .await
    }

    async fn request(&self, what: &'static str, method: Method, path: &[&str]) -> Result<Request> {
        let who = self.identity().await?;
        let mut url = self.config.dashboard.clone();
        // Fails for addresses without a host, which `DltsConfig` has not.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        Ok(Request::new(what, method, url)
            .with_query("email", &who.email)
            .with_secret_query("password", &who.token))
    }

    /// What the team may use in the cluster.
    pub(crate) async fn team(&self) -> Result<Team> {
        let team = &self.identity().await?.team;
        let path = ["teams", team, "clusters", &self.config.cluster];
        let request = self.request("look at the team", Method::GET, &path).await?;
        self.client.send(&request, |reply| json(&reply)).await
    }

    /// Our own jobs in the team whose names begin so, newest first: all that have not ended, and the newest of the others.
    ///
    /// # Errors
    /// `Unreachable`, too, where the database of the cluster fails: its list of four kinds of jobs is then one of four nothings.
    /// Sources: `src/utils/JobRestAPIUtils.py`, `get_job_list_v2`; `src/dashboard/server/api/v2/services/cluster.js`, `getJobs`.
    pub(crate) async fn jobs(&self, prefix: &str) -> Result<Vec<JobView>> {
        let team = &self.identity().await?.team;
        let path = ["v2", "clusters", &self.config.cluster, "teams", team, "jobs"];
        let request = self
            .request("list the jobs", Method::GET, &path)
            .await?
            .with_query("limit", MOST_JOBS);
        let read = |reply: Reply| {
            let jobs: Vec<Option<JobView>> = json(&reply)?;
            jobs.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| {
                Error::new(
                    ErrorKind::Unreachable,
                    "cannot list the jobs: the database of the cluster gives no answer",
                )
                .with_retry(Retry::NotApplied { after: None })
            })
        };
        let mut jobs = self.client.send(&request, read).await?;
        jobs.retain(|job| job.name.starts_with(prefix) && !job.id.is_empty());
        Ok(jobs)
    }

    /// Id of our job with this id, or of this name, if there is one; of several one that is not over.
    pub(crate) async fn find(&self, id: &str, name: &str) -> Result<Option<String>> {
        if let Some(job) = self.job(id).await? {
            return Ok(Some(job.id));
        }
        // A cluster that gives ids of its own.
        let mut jobs = self.jobs(name).await?;
        jobs.retain(|job| job.name == name);
        let at = jobs.iter().position(|job| !job.state.is_over()).unwrap_or(0);
        Ok((at < jobs.len()).then(|| jobs.swap_remove(at).id))
    }

    /// One job; `None` if the cluster does not know it, or it is not ours to see.
    pub(crate) async fn job(&self, id: &str) -> Result<Option<JobView>> {
        let path = ["v2", "clusters", &self.config.cluster, "jobs", id];
        let request = self.request("look at the job", Method::GET, &path).await?;
        let job: JobView = self.client.send(&request, |reply| json(&reply)).await?;
        // What is not there is told as `{}`.
        Ok((!job.id.is_empty()).then_some(job))
    }

    /// Sends a job; gives its id.
    ///
    /// # Errors
    /// As of any request; where it may have been taken, the caller looks.
    pub(crate) async fn submit(&self, body: &Json) -> Result<String> {
        let path = ["clusters", &self.config.cluster, "jobs"];
        let request = self
            .request("submit the job", Method::POST, &path)
            .await?
            .with_json(body)?;
        let read = |reply: Reply| {
            // An answer that nobody understands may stand for a job.
            let posted: types::Posted = json(&reply).map_err(|e| {
                if reply.is_success() {
                    e.with_retry(Retry::MaybeApplied { after: None })
                } else {
                    e
                }
            })?;
            match (posted.job_id, posted.error) {
                (Some(id), _) if !id.is_empty() => Ok(id),
                (_, Some(said)) => {
                    let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
                    Err(error::of_refused_job(&reply.masked(&said)))
                }
                // Neither: who answers so is not the cluster that we know.
                _ => Err(Error::new(
                    ErrorKind::Protocol,
                    "cannot submit the job: the answer has neither a `jobId` nor an `error`",
                )
                .with_retry(Retry::MaybeApplied { after: None })),
            }
        };
        self.client.send(&request, read).await
    }

    /// Asks for the end of a job; `false` if the cluster cannot: it is over, is ending, or is not known.
    pub(crate) async fn kill(&self, id: &str) -> Result<bool> {
        let path = ["clusters", &self.config.cluster, "jobs", id, "status"];
        let request = self
            .request("kill the job", Method::PUT, &path)
            .await?
            .with_json(&Change { status: KILLING })?;
        // The status of the answer says nothing; its text does.
        let read = |reply: Reply| json::<types::Changed>(&reply).map(|done| done.result.starts_with("Success"));
        self.client.send(&request, read).await
    }

    /// Asks for the end of several jobs at once, [`MOST_KILLED`] at most; gives those of which the answer does not say that they will.
    pub(crate) async fn kill_all(&self, ids: &[String]) -> Result<Vec<String>> {
        let path = ["clusters", &self.config.cluster, "jobs", "status"];
        let status = ids.iter().map(|id| (id.clone(), KILLING.into())).collect();
        let request = self
            .request("kill the jobs", Method::POST, &path)
            .await?
            .repeatable()
            .with_json(&Changes { status })?;
        let killed: types::Killed = self.client.send(&request, |reply| json(&reply)).await?;
        let is_left = |id: &&String| !killed.ids.contains(id.as_str());
        Ok(ids.iter().filter(is_left).cloned().collect())
    }

    /// The end of what the job's containers printed, up to 4 KiB; empty if nothing is there.
    pub(crate) async fn log_tail(&self, id: &str) -> Result<String> {
        let (mut text, mut cursor) = (String::new(), None);
        for _ in 0..MOST_PIECES {
            let Some(piece) = self.log(id, cursor.as_deref()).await? else {
                break;
            };
            text.push_str(&piece.text);
            if text.len() > MOST_LOG {
                let from = text.ceil_char_boundary(text.len() - MOST_LOG);
                text.drain(..from);
            }
            if piece.cursor.is_none() || piece.cursor == cursor || piece.text.is_empty() {
                break;
            }
            cursor = piece.cursor;
        }
        Ok(text)
    }

    /// A piece of the job's log; `None` while there is none.
    async fn log(&self, id: &str, cursor: Option<&str>) -> Result<Option<types::Piece>> {
        let path = ["clusters", &self.config.cluster, "jobs", id, "log"];
        let request = self.request("read the job's log", Method::GET, &path).await?;
        let request = cursor
            .into_iter()
            .fold(request, |request, cursor| request.with_query("cursor", cursor));
        let read = |reply: Reply| match reply.status() {
            404 => Ok(None),
            _ => json(&reply).map(Some),
        };
        self.client.send(&request, read).await
    }
}

fn unknown(key: &'static str, error: &Error) -> Error {
    Error::new(ErrorKind::Config, format!("the `{key}` for DLTS is not known: {error}"))
        .with_key(key)
        .with_help(format!("add `{key}: …`; within a job of DLTS it is known without"))
}

/// JSON, whatever the answer calls itself: the dashboard passes the cluster's words on as plain text.
fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    if reply.is_success() {
        return reply.json();
    }
    Err(error::of_reply(reply))
}
