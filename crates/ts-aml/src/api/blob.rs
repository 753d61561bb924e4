//! The workspace's default datastore: reading from an offset, writing, listing and removing blobs.
//!
//! With a SAS that the workspace gives for an hour; where its storage takes no keys, with a token of our own.
//!
//! Source: "Blob service REST API", Microsoft Learn.

use super::{Arm, url_of};
use crate::error;
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use ts_core::{
    Error, ErrorKind, Result, Secret,
    http::{Method, Reply, Request, Token, TokenSource, Tokens, Url, header},
};

/// Source: "Versioning for the Azure Storage services".
const VERSION: &str = "2021-08-06";
/// How long a SAS is asked for, and when it is replaced.
const HOURS: u32 = 1;
const RENEW: Duration = Duration::from_mins(40);
/// Bytes of one block of an upload.
const BLOCK: usize = 8 << 20;
/// Most bytes of a file that are read at once.
const CHUNK: u64 = 16 << 20;

/// The default datastore.
#[derive(Debug)]
pub(crate) struct Store {
    arm: Arc<Arm>,
    place: OnceCell<Place>,
    sas: Tokens,
    /// For storage without keys.
    identity: Tokens,
}

#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Name of the datastore.
    pub(crate) name: String,
    /// Its container, without a SAS.
    pub(crate) container: Url,
}

/// Gets a SAS; an empty one where tokens are to be used.
#[derive(Debug)]
struct SasSource(Arc<Arm>);

#[async_trait]
impl TokenSource for SasSource {
    async fn fetch(&self) -> Result<Token> {
        let place = place(&self.0).await?;
        let path = ["datastores", &place.name, "listSecrets"];
        let request = self
            .0
            .request("ask for access to the storage", Method::POST, &path)
            .await?
            .repeatable()
            .with_json(&json!({"expirableSecret": true, "expireAfterHours": HOURS}))?;
        let answer: Json = self.0.json(&request).await?;
        let sas = match answer["secretsType"].as_str() {
            Some("Sas") => answer["sasToken"].as_str().unwrap_or_default().trim_start_matches('?'),
            Some("None") => "",
            other => {
                let message = format!(
                    "the workspace gives secrets of type `{}` for its default datastore, which we do not use",
                    other.unwrap_or("?")
                );
                return Err(Error::new(ErrorKind::Unsupported, message)
                    .with_help("let the default datastore have an account key, a SAS, or identity-based access"));
            }
        };
        Ok(Token {
            value: Secret::new(sas),
            renew_after: Some(RENEW),
        })
    }
}

async fn place(arm: &Arm) -> Result<Place> {
    let request = arm
        .request("ask for the default datastore", Method::GET, &["datastores"])
        .await?
        .with_query("isDefault", "true");
    let answer: Json = arm.json(&request).await?;
    let first = &answer["value"][0];
    let text = |name: &str| first["properties"][name].as_str().unwrap_or_default();
    let (protocol, endpoint) = (text("protocol"), text("endpoint"));
    let (account, container) = (text("accountName"), text("containerName"));
    // An account at an address of its own is in the path. Source: azure-storage-blob 12, `parse_connection_str`, "IP style".
    let is_ip = endpoint
        .split(':')
        .next()
        .is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok());
    let text = if is_ip {
        format!("{protocol}://{endpoint}/{account}/{container}")
    } else {
        format!("{protocol}://{account}.blob.{endpoint}/{container}")
    };
    let name = first["name"].as_str().unwrap_or_default().to_owned();
    match Url::parse(&text) {
        Ok(container) if first["properties"]["datastoreType"] == "AzureBlob" && !name.is_empty() => {
            Ok(Place { name, container })
        }
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            "the default datastore of the workspace is no container of blobs",
        )
        .with_help("make a datastore of type Azure Blob the default one")),
    }
}

impl Store {
    pub(super) fn new(arm: Arc<Arm>, identity: Tokens) -> Self {
        let clock = Arc::clone(&arm.clock);
        Self {
            sas: Tokens::new(SasSource(Arc::clone(&arm)), clock),
            place: OnceCell::new(),
            identity,
            arm,
        }
    }

    /// Which datastore it is.
    pub(crate) async fn place(&self) -> Result<&Place> {
        self.place.get_or_try_init(|| place(&self.arm)).await
    }

    /// Sends a request to the container, with a SAS or a token.
    async fn send<T>(
        &self,
        path: &str,
        query: &str,
        make: impl Fn(Url) -> Request,
        read: impl Fn(Reply) -> Result<T>,
    ) -> Result<T> {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let url = super::token::below(&self.place().await?.container, &segments);
        let mut tries = 0;
        loop {
            let sas = self.sas.get().await?;
            tries += 1;
            match self.send_with(&sas, url.clone(), query, &make, &read).await {
                Err(error) if error.kind() == ErrorKind::Auth && tries < 2 && !sas.expose().is_empty() => {
                    self.sas.forget(&sas);
                }
                done => return done,
            }
        }
    }

    /// The same with this SAS; with a token, if it is empty.
    async fn send_with<T>(
        &self,
        sas: &Secret,
        mut url: Url,
        query: &str,
        make: &impl Fn(Url) -> Request,
        read: &impl Fn(Reply) -> Result<T>,
    ) -> Result<T> {
        let version = header::HeaderValue::from_static(VERSION);
        let name = header::HeaderName::from_static("x-ms-version");
        let both = [query, sas.expose()].into_iter().filter(|part| !part.is_empty());
        let both = both.collect::<Vec<_>>().join("&");
        url.set_query((!both.is_empty()).then_some(&both));
        let request = make(url).with_header(name, version);
        if sas.expose().is_empty() {
            return self.arm.client.send_as(&self.identity, &request, read).await;
        }
        self.arm.client.send(&request.with_secret(sas), read).await
    }

    /// What a blob holds from this byte on, at most a chunk; nothing if it is not there or not longer.
    pub(crate) async fn read(&self, path: &str, offset: u64) -> Result<Vec<u8>> {
        let range = format!("bytes={offset}-{}", offset + CHUNK - 1);
        let range = header::HeaderValue::from_str(&range)
            .map_err(|e| Error::new(ErrorKind::Internal, "a range is no header").with_source(e))?;
        let make =
            |url| Request::new("read what a trial wrote", Method::GET, url).with_header(header::RANGE, range.clone());
        let read = |reply: Reply| match reply.status() {
            206 => Ok(reply.body().to_vec()),
            // Whoever ignores the range sends all of it.
            200 => Ok(reply
                .body()
                .get(usize::try_from(offset).unwrap_or(usize::MAX)..)
                .unwrap_or_default()
                .to_vec()),
            404 | 416 => Ok(Vec::new()),
            _ => Err(error::of_reply(&reply)),
        };
        self.send(path, "", make, read).await
    }

    /// Writes a blob.
    pub(crate) async fn put(&self, path: &str, content: Vec<u8>) -> Result<()> {
        let content = std::sync::Arc::<[u8]>::from(content);
        let make = |url| put_request(url, content.to_vec());
        self.send(path, "", make, done).await
    }

    /// Uploads a file to an address with a SAS, or with a token: in blocks, so that it need not fit into memory.
    pub(crate) async fn upload(&self, container: &Url, sas: &Secret, name: &str, file: &std::path::Path) -> Result<()> {
        use tokio::io::AsyncReadExt as _;
        let wrong = |e| Error::io("read", file, e);
        let mut source = tokio::fs::File::open(file).await.map_err(wrong)?;
        let url = super::token::below(container, &[name]);
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for n in 0.. {
            let mut block = Vec::new();
            let size = u64::try_from(BLOCK).unwrap_or(u64::MAX);
            (&mut source).take(size).read_to_end(&mut block).await.map_err(wrong)?;
            if block.is_empty() {
                break;
            }
            let id = block_id(n);
            let query = format!("comp=block&blockid={}", id.replace('=', "%3D"));
            let make = |url| {
                Request::new("upload the code", Method::PUT, url).with_body("application/octet-stream", block.clone())
            };
            self.send_with(sas, url.clone(), &query, &make, &done).await?;
            list.extend(["<Latest>", &id, "</Latest>"]);
        }
        list.push_str("</BlockList>");
        let make = |url| Request::new("upload the code", Method::PUT, url).with_body("application/xml", list.clone());
        self.send_with(sas, url.clone(), "comp=blocklist", &make, &done).await
    }

    /// Names of all blobs below a folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut marker = String::new();
        loop {
            let mut query =
                Url::parse("http://x/").map_err(|_| Error::new(ErrorKind::Internal, "an address is none"))?;
            query
                .query_pairs_mut()
                .append_pair("restype", "container")
                .append_pair("comp", "list")
                .append_pair("prefix", &format!("{folder}/"))
                .append_pair("marker", &marker);
            let make = |url| Request::new("list the files of the trials", Method::GET, url);
            let read = |reply: Reply| match reply.status() {
                200 => Ok(String::from_utf8_lossy(reply.body()).into_owned()),
                _ => Err(error::of_reply(&reply)),
            };
            let page = self.send("", query.query().unwrap_or_default(), make, read).await?;
            names.extend(elements(&page, "Name"));
            match elements(&page, "NextMarker").into_iter().next() {
                Some(next) if !next.is_empty() => marker = next,
                _ => return Ok(names),
            }
        }
    }

    /// Removes a blob; `false` if it was not there.
    pub(crate) async fn remove(&self, path: &str) -> Result<bool> {
        let make = |url| Request::new("remove a file of a trial", Method::DELETE, url);
        let read = |reply: Reply| match reply.status() {
            404 => Ok(false),
            _ => done(reply).map(|()| true),
        };
        self.send(path, "", make, read).await
    }
}

fn put_request(url: Url, content: Vec<u8>) -> Request {
    Request::new("write a file of a trial", Method::PUT, url)
        .with_header(
            header::HeaderName::from_static("x-ms-blob-type"),
            header::HeaderValue::from_static("BlockBlob"),
        )
        .with_body("application/octet-stream", content)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that the client takes")]
fn done(reply: Reply) -> Result<()> {
    if reply.is_success() {
        return Ok(());
    }
    Err(error::of_reply(&reply))
}

/// All ids of a blob have one length.
fn block_id(n: u32) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(format!("{n:08}"))
}

/// Texts of the elements of this name, which have no attributes.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(open.as_str()).skip(1);
    let inner = parts.filter_map(|part| part.split_once(close.as_str()));
    inner
        .map(|(text, _)| {
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            text.replace("&apos;", "'").replace("&amp;", "&")
        })
        .collect()
}

/// The place of a pending upload, and its SAS, if there is one.
pub(super) fn pending(answer: &Json) -> Result<(Url, Secret)> {
    let place = &answer["blobReferenceForConsumption"];
    let uri = place["blobUri"].as_str().unwrap_or_default();
    let sas = place["credential"]["sasUri"].as_str().unwrap_or_default();
    let sas = sas.split_once('?').map_or("", |(_, sas)| sas);
    Ok((url_of(uri)?, Secret::new(sas)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_unescaped() {
        let xml = "<a><Name>x &amp;lt; &lt;</Name></a><Name>b</Name><NextMarker></NextMarker>";
        assert_eq!(elements(xml, "Name"), ["x &lt; <", "b"]);
        assert_eq!(elements(xml, "NextMarker"), [""]);
    }
}
