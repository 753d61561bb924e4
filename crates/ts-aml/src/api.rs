//! The wire: one function per request to Resource Manager and run history. No policy, no loops but over pages.
//!
//! Source: Azure/azure-rest-api-specs, `specification/machinelearningservices`, `stable/2024-10-01`.

mod blob;
mod clouds;
mod token;

pub(crate) use blob::Store;
pub(crate) use clouds::Clouds;

use self::token::{Account, Devices, Source, below};
use crate::{AmlConfig, error};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;
use ts_core::{
    Clock, Ctx, Error, ErrorKind, Result,
    http::{HttpClient, HttpSettings, Method, RateLimit, Reply, Request, Tokens, Url},
};

const VERSION: &str = "2024-10-01";
/// What we allow ourselves; far below what a bucket of Resource Manager holds. What is left of it is told by its answers.
const MOST_REQUESTS: usize = 200;
const WINDOW: Duration = Duration::from_secs(10);
/// Source: "Authorize access to blobs using Microsoft Entra ID": the same in all clouds.
const STORAGE: &str = "https://storage.azure.com";
/// Reads that are left of an hour's, below which the lists become fewer, and the length of that hour.
const FEW_READS: u32 = 2_000;
const HOUR: Duration = Duration::from_hours(1);

/// Resource Manager, as one who is logged in.
#[derive(Debug)]
pub(crate) struct Arm {
    client: HttpClient,
    tokens: Tokens,
    clouds: Arc<Clouds>,
    /// Path of the workspace.
    scope: String,
    limit: Arc<RateLimit>,
    clock: Arc<dyn Clock>,
}

/// The services of a workspace.
#[derive(Debug)]
pub(crate) struct Api {
    arm: Arc<Arm>,
    pub(crate) store: Store,
    devices: Devices,
}

/// A job as lists and answers show it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    properties: JobProperties,
}

#[derive(Debug, Clone, Deserialize)]
struct JobProperties {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    tags: Option<HashMap<String, Json>>,
}

impl Job {
    pub(crate) fn status(&self) -> &str {
        self.properties.status.as_deref().unwrap_or("Unknown")
    }
    /// The value of a tag.
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        self.properties.tags.as_ref()?.get(key)?.as_str()
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    value: Vec<Job>,
    #[serde(default, rename = "nextLink")]
    next: Option<String>,
}

/// Jobs of an experiment, the newest first, and how far the next list is to be away.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) jobs: Vec<Job>,
    pub(crate) pace: Duration,
}

/// What became of the request to cancel a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canceling {
    /// It was taken.
    Taken,
    /// There is no such job, or not yet.
    Unknown,
    /// The job has ended, or is about to.
    TooLate,
}

impl Arm {
    /// Path of the workspace in Resource Manager.
    pub(crate) fn scope(config: &AmlConfig) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}",
            config.subscription_id, config.resource_group, config.workspace_name
        )
    }

    async fn request(&self, what: &'static str, method: Method, path: &[&str]) -> Result<Request> {
        let scope = self.scope.split('/').filter(|part| !part.is_empty());
        let all: Vec<&str> = scope.chain(path.iter().copied()).collect();
        let base = &self.clouds.get().await?.arm;
        Ok(Request::new(what, method, below(base, &all))
            .limited_by(&self.limit)
            .with_query("api-version", VERSION))
    }

    async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        self.client
            .send_as(&self.tokens, request, |reply| json_of(&reply))
            .await
    }

    /// As above; `None` if it is not there.
    async fn find<T: DeserializeOwned>(&self, request: &Request) -> Result<Option<T>> {
        let read = |reply: Reply| match reply.status() {
            // A workspace that is not there is an error, what is in it may be missing.
            404 if !is_scope_missing(&reply) => Ok(None),
            _ => json_of(&reply).map(Some),
        };
        self.client.send_as(&self.tokens, request, read).await
    }
}

fn is_scope_missing(reply: &Reply) -> bool {
    error::said(reply).is_none_or(|(code, _)| {
        [
            "SubscriptionNotFound",
            "ResourceGroupNotFound",
            "ResourceNotFound",
            "InvalidResourceType",
        ]
        .contains(&code.as_str())
    })
}

fn json_of<T: DeserializeOwned>(reply: &Reply) -> Result<T> {
    if reply.is_success() {
        return reply.json();
    }
    Err(error::of_reply(reply))
}

fn url_of(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|_| Error::new(ErrorKind::Protocol, "an address in an answer of Azure is none"))
}

impl Api {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// Those of the file of certificate authorities.
    pub(crate) fn new(ctx: &Ctx, config: &AmlConfig) -> Result<Self> {
        let mut settings = HttpSettings::default();
        settings.ca_file.clone_from(&config.ca_file);
        let client = HttpClient::new(Arc::clone(&ctx.clock), &settings).map_err(|e| e.with_key("caFile"))?;
        settings.uses_proxies = false;
        settings.connect_timeout = Duration::from_secs(1);
        let direct = HttpClient::new(Arc::clone(&ctx.clock), &settings).map_err(|e| e.with_key("caFile"))?;
        let clouds = Arc::new(Clouds::new(client.clone(), Arc::clone(&ctx.secrets), config));
        let devices = Devices::new();
        let login = Source {
            clouds: Arc::clone(&clouds),
            resource: None,
            account: Account {
                client: client.clone(),
                direct,
                credential: config.credential.clone(),
                secrets: Arc::clone(&ctx.secrets),
                clock: Arc::clone(&ctx.clock),
                ids: Arc::clone(&ctx.ids),
                devices: devices.clone(),
            },
        };
        let storage = Source {
            resource: Some(STORAGE.to_owned()),
            ..login.clone()
        };
        let arm = Arc::new(Arm {
            client,
            tokens: Tokens::new(login, Arc::clone(&ctx.clock)),
            clouds,
            scope: Arm::scope(config),
            limit: Arc::new(RateLimit::new(MOST_REQUESTS, WINDOW)),
            clock: Arc::clone(&ctx.clock),
        });
        let identity = Tokens::new(storage, Arc::clone(&ctx.clock));
        Ok(Self {
            store: Store::new(Arc::clone(&arm), identity),
            arm,
            devices,
        })
    }

    /// What a person is asked to do so that we are let in, while we wait for it.
    pub(crate) fn asked(&self) -> watch::Receiver<Option<String>> {
        self.devices.asked.subscribe()
    }

    /// Where the services are, as far as that is known.
    pub(crate) fn clouds(&self) -> &Clouds {
        &self.arm.clouds
    }

    /// The workspace.
    pub(crate) async fn workspace(&self) -> Result<Json> {
        let request = self.arm.request("look at the workspace", Method::GET, &[]).await?;
        self.arm.json(&request).await
    }

    /// A compute target; `None` if there is none of that name.
    pub(crate) async fn compute(&self, name: &str) -> Result<Option<Json>> {
        let request = self
            .arm
            .request("look at the compute target", Method::GET, &["computes", name])
            .await?;
        self.arm.find(&request).await
    }

    /// Registers an image as an environment, unless it is.
    pub(crate) async fn put_environment(&self, name: &str, image: &str) -> Result<()> {
        let path = ["environments", name, "versions", "1"];
        let look = self.arm.request("look for the environment", Method::GET, &path).await?;
        if self.arm.find::<Json>(&look).await?.is_some() {
            return Ok(());
        }
        let body = json!({"properties": {"image": image, "isAnonymous": true, "osType": "Linux"}});
        let request = self
            .arm
            .request("register the image", Method::PUT, &path)
            .await?
            .with_json(&body)?;
        match self.arm.json::<Json>(&request).await {
            // Another manager was faster.
            Err(error) if error.kind() == ErrorKind::Conflict && self.arm.find::<Json>(&look).await?.is_some() => {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Registers a package of code as this version, unless it is; `name` is that of the file there.
    pub(crate) async fn put_code(&self, version: &str, file: &Path, name: &str) -> Result<()> {
        let path = ["codes", crate::names::CODE, "versions", version];
        let look = self.arm.request("look for the code", Method::GET, &path).await?;
        if self.arm.find::<Json>(&look).await?.is_some() {
            return Ok(());
        }
        let container = match self.upload_code(&path, file, name).await {
            // What lets us in there may have expired, or have been taken back; the next call gives another.
            Err(error) if error.kind() == ErrorKind::Auth => {
                tracing::debug!(%error, "the code is uploaded to a new place");
                self.upload_code(&path, file, name).await?
            }
            done => done?,
        };
        let body = json!({"properties": {"codeUri": container.as_str(), "isAnonymous": true}});
        let request = self
            .arm
            .request("register the code", Method::PUT, &path)
            .await?
            .with_json(&body)?;
        match self.arm.json::<Json>(&request).await {
            // Another manager was faster with the same content.
            Err(error)
                if matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Conflict)
                    && self.arm.find::<Json>(&look).await?.is_some() =>
            {
                tracing::debug!(%error, "the code is there already");
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Uploads a package to a place of its own; where that is.
    async fn upload_code(&self, code: &[&str], file: &Path, name: &str) -> Result<Url> {
        let start = [code, &["startPendingUpload"]].concat();
        let request = self
            .arm
            .request("begin the upload of the code", Method::POST, &start)
            .await?
            // Each call gives a new place; one that is not used is empty.
            .repeatable()
            .with_json(&json!({"pendingUploadType": "TemporaryBlobReference"}))?;
        let (container, sas) = blob::pending(&self.arm.json(&request).await?)?;
        self.store.upload(&container, &sas, name, file).await?;
        Ok(container)
    }

    /// Sends a job; again it is the same one.
    pub(crate) async fn put_job(&self, name: &str, body: &Json) -> Result<()> {
        let request = self
            .arm
            .request("submit the job", Method::PUT, &["jobs", name])
            .await?
            .with_json(body)?;
        self.arm.json::<Json>(&request).await.map(drop)
    }

    /// A job; `None` if the service does not know it.
    pub(crate) async fn job(&self, name: &str) -> Result<Option<Job>> {
        let request = self
            .arm
            .request("look at the job", Method::GET, &["jobs", name])
            .await?;
        self.arm.find(&request).await
    }

    /// The jobs with this tag, until `is_enough` of those so far.
    pub(crate) async fn jobs(&self, tag: &str, is_enough: impl Fn(&[Job]) -> bool) -> Result<Listing> {
        let mut request = self
            .arm
            .request("list the jobs", Method::GET, &["jobs"])
            .await?
            .with_query("jobType", "Command")
            .with_query("tag", tag)
            .with_query("listViewType", "All");
        let mut jobs = Vec::new();
        loop {
            let read = |reply: Reply| Ok((json_of::<Page>(&reply)?, pace(&reply)));
            let (page, until_next) = self.arm.client.send_as(&self.arm.tokens, &request, read).await?;
            jobs.extend(page.value);
            let next = page.next.filter(|next| !next.is_empty() && !is_enough(&jobs));
            let Some(next) = next else {
                return Ok(Listing { jobs, pace: until_next });
            };
            let next = url_of(&next)?;
            if next.origin() != self.arm.clouds.get().await?.arm.origin() {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    "the next page of the jobs is at another server",
                ));
            }
            request = Request::new("list the jobs", Method::GET, next).limited_by(&self.arm.limit);
        }
    }

    /// Asks for the end of a job.
    pub(crate) async fn cancel(&self, name: &str) -> Result<Canceling> {
        let request = self
            .arm
            .request("cancel the job", Method::POST, &["jobs", name, "cancel"])
            .await?
            .repeatable();
        let read = |reply: Reply| match reply.status() {
            200..=299 => Ok(Canceling::Taken),
            404 if !is_scope_missing(&reply) => Ok(Canceling::Unknown),
            400 | 409 => Ok(Canceling::TooLate),
            _ => Err(error::of_reply(&reply)),
        };
        self.arm.client.send_as(&self.arm.tokens, &request, read).await
    }

    /// Why a job failed, in the words of run history.
    pub(crate) async fn failure(&self, name: &str) -> Result<Option<(String, String)>> {
        let workspace = self.workspace().await?;
        let discovery = url_of(workspace["properties"]["discoveryUrl"].as_str().unwrap_or_default())?;
        // Microsoft's clients show no token there.
        let request = Request::new("look for run history", Method::GET, discovery);
        let services: Json = self.arm.client.send(&request, |reply| json_of(&reply)).await?;
        let base = url_of(services["api"].as_str().unwrap_or_default())?;
        let scope = self.arm.scope.split('/').filter(|part| !part.is_empty());
        let path: Vec<&str> = ["history", "v1.0"]
            .into_iter()
            .chain(scope)
            .chain(["runs", name])
            .collect();
        let request = Request::new("ask why the job failed", Method::GET, below(&base, &path));
        let run: Json = match self.arm.find(&request).await? {
            Some(run) => run,
            None => return Ok(None),
        };
        let error = &run["error"]["error"];
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        Ok(error
            .is_object()
            .then(|| (text(&error["code"]), text(&error["message"]))))
    }
}

/// What is left of an hour's reads, spread over it, where it is little: others use them, too.
///
/// Source: "Understand how Azure Resource Manager throttles requests", Microsoft Learn.
fn pace(reply: &Reply) -> Duration {
    let left = reply
        .header("x-ms-ratelimit-remaining-subscription-reads")
        .and_then(|text| text.trim().parse::<u32>().ok());
    match left {
        Some(left) if left < FEW_READS => HOUR / (left / 2).max(60),
        _ => Duration::ZERO,
    }
}
