//! Lists of blobs, in pages.
//!
//! Source: "List Blobs", Microsoft Learn.

use super::store::{Blob, Container};
use crate::{call::Call, clock, reply::Reply};
use std::fmt::Write as _;

/// Most entries of a page.
const MOST: usize = 5000;

pub(super) fn blobs(container_name: &str, container: &Container, call: &Call) -> Result<Reply, Reply> {
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").filter(|delimiter| !delimiter.is_empty());
    let marker = call.query("marker").unwrap_or_default();
    let with_metadata = call
        .query("include")
        .is_some_and(|include| include.split(',').any(|one| one == "metadata"));
    let most = match call.query("maxresults") {
        None => MOST,
        Some(text) => {
            let parsed = text.parse::<usize>().ok().filter(|most| *most > 0);
            let text = "Value for one of the query parameters specified in the request URI is invalid. maxresults";
            parsed
                .ok_or_else(|| Reply::blob(400, "OutOfRangeQueryParameterValue", text))?
                .min(MOST)
        }
    };
    let mut entries = String::new();
    let (mut count, mut next) = (0, "");
    let mut folder: Option<&str> = None;
    for (name, blob) in &container.blobs {
        let Some(rest) = name.strip_prefix(prefix).filter(|_| name.as_str() >= marker) else {
            continue;
        };
        let cut = delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| prefix.len() + at + delimiter.len()));
        let shown = cut.map(|end| &name[..end]);
        if shown.is_some() && shown == folder {
            continue;
        }
        if count == most {
            next = name;
            break;
        }
        count += 1;
        if let Some(shown) = shown {
            folder = Some(shown);
            let _ = write!(entries, "<BlobPrefix><Name>{}</Name></BlobPrefix>", escape(shown));
        } else {
            entries.push_str(&entry(name, blob, with_metadata));
        }
    }
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"\" \
         ContainerName=\"{container_name}\"><Prefix>{}</Prefix><Marker>{}</Marker><MaxResults>{most}</MaxResults>\
         <Blobs>{entries}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>",
        escape(prefix),
        escape(marker),
        escape(next)
    );
    let mut reply = Reply::empty(200).with("content-type", "application/xml");
    reply.body = body.into();
    Ok(reply)
}

fn entry(name: &str, blob: &Blob, with_metadata: bool) -> String {
    let mut metadata = String::new();
    if with_metadata {
        metadata.push_str("<Metadata>");
        for (key, value) in &blob.metadata {
            let _ = write!(metadata, "<{key}>{}</{key}>", escape(value));
        }
        metadata.push_str("</Metadata>");
    }
    format!(
        "<Blob><Name>{}</Name><Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified><Etag>{}</Etag>\
         <Content-Length>{}</Content-Length><Content-Type>{}</Content-Type><BlobType>{}</BlobType>\
         <LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>\
         </Properties>{metadata}</Blob>",
        escape(name),
        clock::http_date(blob.created),
        clock::http_date(blob.modified),
        blob.etag.trim_matches('"'),
        blob.content.len(),
        escape(&blob.content_type),
        blob.type_name()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
