//! Reading a blob: all of it, a range, its properties, its blocks.

use super::{
    conditions, no_blob,
    store::{Container, Kind},
};
use crate::{call::Call, clock, reply::Reply};
use bytes::Bytes;

/// Source: "Get Blob", "Get Blob Properties", "Get Blob Metadata", Microsoft Learn.
pub(super) fn blob(container: &Container, call: &Call, name: &str, component: &str) -> Result<Reply, Reply> {
    let blob = container.blobs.get(name).ok_or_else(no_blob)?;
    conditions::for_reading(call, blob)?;
    let mut reply = Reply::empty(200)
        .with("etag", blob.etag.clone())
        .with("last-modified", clock::http_date(blob.modified));
    reply.metadata.clone_from(&blob.metadata);
    if component == "metadata" {
        return Ok(reply);
    }
    reply = reply
        .with("content-type", blob.content_type.clone())
        .with("accept-ranges", "bytes")
        .with("x-ms-blob-type", blob.type_name())
        .with("x-ms-creation-time", clock::http_date(blob.created))
        .with("x-ms-lease-status", "unlocked")
        .with("x-ms-lease-state", "available")
        .with("x-ms-server-encrypted", "true");
    if let Kind::Append(count) = blob.kind {
        reply = reply.with("x-ms-blob-committed-block-count", count.to_string());
    }
    let all = &blob.content;
    let asked = call.header("x-ms-range").or_else(|| call.header("range"));
    if let Some((from, to)) = asked.and_then(range) {
        if from >= all.len() {
            return Err(Reply::blob(
                416,
                "InvalidRange",
                "The range specified is invalid for the current size of the resource.",
            )
            .with("content-range", format!("bytes */{}", all.len())));
        }
        let end = to.map_or(all.len(), |to| all.len().min(to.saturating_add(1)));
        reply.status = 206;
        reply.body = Bytes::copy_from_slice(&all[from..end]);
        return Ok(reply.with("content-range", format!("bytes {from}-{}/{}", end - 1, all.len())));
    }
    reply.body = Bytes::copy_from_slice(all);
    Ok(reply)
}

/// First and last byte. Source: "Specifying the range header for Blob service operations": others are ignored.
fn range(text: &str) -> Option<(usize, Option<usize>)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok()?;
    let to: Option<usize> = if to.is_empty() { None } else { Some(to.parse().ok()?) };
    to.is_none_or(|to| to >= from).then_some((from, to))
}

/// Source: "Get Block List", Microsoft Learn.
pub(super) fn block_list(container: &Container, name: &str) -> Result<Reply, Reply> {
    let empty = Vec::new();
    let committed = match container.blobs.get(name).map(|blob| &blob.kind) {
        Some(Kind::Block(blocks)) => blocks,
        Some(Kind::Append(_)) => return Err(super::write::wrong_type()),
        None => &empty,
    };
    let uncommitted = container.uncommitted.get(name).unwrap_or(&empty);
    if committed.is_empty() && uncommitted.is_empty() && !container.blobs.contains_key(name) {
        return Err(no_blob());
    }
    let list = |blocks: &[(String, Bytes)]| -> String {
        let block =
            |(id, content): &(String, Bytes)| format!("<Block><Name>{id}</Name><Size>{}</Size></Block>", content.len());
        blocks.iter().map(block).collect()
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><CommittedBlocks>{}</CommittedBlocks>\
         <UncommittedBlocks>{}</UncommittedBlocks></BlockList>",
        list(committed),
        list(uncommitted)
    );
    let mut reply = Reply::empty(200).with("content-type", "application/xml");
    reply.body = body.into();
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges() {
        assert_eq!(range("bytes=0-9"), Some((0, Some(9))));
        assert_eq!(range("bytes=7-"), Some((7, None)));
        for ignored in ["bytes=-5", "bytes=9-3", "items=0-1", "bytes=a-b"] {
            assert_eq!(range(ignored), None, "{ignored}");
        }
    }
}
