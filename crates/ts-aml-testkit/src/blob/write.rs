//! Writing blobs: whole, in blocks, by appending; their properties; and removal.

use super::{
    conditions, no_blob,
    store::{Blob, Container, Kind},
};
use crate::{call::Call, clock, reply::Reply};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// Most blocks of an append blob. Source: "Append Block", Microsoft Learn.
const MOST_APPENDS: u32 = 50_000;

pub(super) fn wrong_type() -> Reply {
    Reply::blob(409, "InvalidBlobType", "The blob type is invalid for this operation.")
}

/// Source: "Put Blob", Microsoft Learn.
pub(super) fn blob(container: &mut Container, call: &Call, name: &str) -> Result<Reply, Reply> {
    if name.len() > 1024 {
        return Err(Reply::blob(
            400,
            "OutOfRangeInput",
            "One of the request inputs is out of range.",
        ));
    }
    let Some(kind) = call.header("x-ms-blob-type") else {
        let text = "An HTTP header that's mandatory for this request is not specified. x-ms-blob-type";
        return Err(Reply::blob(400, "MissingRequiredHeader", text));
    };
    let before = container.blobs.get(name);
    conditions::for_writing(call, before)?;
    let mut blob = match kind {
        "BlockBlob" => Blob::new(Kind::Block(Vec::new()), call.body.to_vec()),
        "AppendBlob" if call.body.is_empty() => Blob::new(Kind::Append(0), Vec::new()),
        _ => {
            let text = "The value for one of the HTTP headers is not in the correct format. x-ms-blob-type";
            return Err(Reply::blob(400, "InvalidHeaderValue", text));
        }
    };
    if before.is_some_and(|before| before.type_name() != blob.type_name()) {
        return Err(wrong_type());
    }
    set_headers(&mut blob, call)?;
    container.uncommitted.remove(name);
    Ok(store(container, name, blob))
}

/// Source: "Put Block", Microsoft Learn.
pub(super) fn block(container: &mut Container, call: &Call, name: &str) -> Result<Reply, Reply> {
    if matches!(container.blobs.get(name).map(|blob| &blob.kind), Some(Kind::Append(_))) {
        return Err(wrong_type());
    }
    let id = call.query("blockid").unwrap_or_default();
    let is_id = STANDARD.decode(id).is_ok_and(|bytes| (1..=64).contains(&bytes.len()));
    if !is_id {
        let text = "Value for one of the query parameters specified in the request URI is invalid. blockid";
        return Err(Reply::blob(400, "InvalidQueryParameterValue", text));
    }
    if call.body.is_empty() {
        let text = "The value for one of the HTTP headers is not in the correct format. Content-Length";
        return Err(Reply::blob(400, "InvalidHeaderValue", text));
    }
    let blocks = container.uncommitted.entry(name.to_owned()).or_default();
    // All ids of a blob have one length.
    if blocks.iter().any(|(known, _)| known.len() != id.len()) {
        return Err(Reply::blob(
            400,
            "InvalidBlobOrBlock",
            "The specified blob or block content is invalid.",
        ));
    }
    blocks.retain(|(known, _)| known != id);
    blocks.push((id.to_owned(), call.body.clone()));
    Ok(Reply::empty(201).with("x-ms-request-server-encrypted", "true"))
}

/// Source: "Put Block List", Microsoft Learn.
pub(super) fn block_list(container: &mut Container, call: &Call, name: &str) -> Result<Reply, Reply> {
    let before = container.blobs.get(name);
    conditions::for_writing(call, before)?;
    let committed = match before.map(|blob| &blob.kind) {
        Some(Kind::Append(_)) => return Err(wrong_type()),
        Some(Kind::Block(blocks)) => blocks.clone(),
        None => Vec::new(),
    };
    let uncommitted = container.uncommitted.get(name).cloned().unwrap_or_default();
    let text = String::from_utf8_lossy(&call.body);
    let wanted = parse_list(&text)
        .ok_or_else(|| Reply::blob(400, "InvalidXmlDocument", "XML specified is not syntactically valid."))?;
    let mut blocks = Vec::new();
    for (kind, id) in wanted {
        let find = |among: &[(String, Bytes)]| among.iter().find(|(known, _)| *known == id).cloned();
        let found = match kind {
            "Committed" => find(&committed),
            "Uncommitted" => find(&uncommitted),
            _ => find(&uncommitted).or_else(|| find(&committed)),
        };
        blocks.push(found.ok_or_else(|| Reply::blob(400, "InvalidBlockList", "The specified block list is invalid."))?);
    }
    let content = blocks.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    let mut blob = Blob::new(Kind::Block(blocks), content);
    set_headers(&mut blob, call)?;
    container.uncommitted.remove(name);
    Ok(store(container, name, blob))
}

/// Kinds and ids of a list of blocks, in its order.
fn parse_list(text: &str) -> Option<Vec<(&str, String)>> {
    let mut rest = text.split_once("<BlockList>")?.1.split_once("</BlockList>")?.0.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (kind, after) = rest.strip_prefix('<')?.split_once('>')?;
        if !["Committed", "Uncommitted", "Latest"].contains(&kind) {
            return None;
        }
        let (id, after) = after.split_once(&format!("</{kind}>"))?;
        found.push((kind, id.trim().to_owned()));
        rest = after.trim_start();
    }
    Some(found)
}

/// Source: "Append Block", Microsoft Learn.
pub(super) fn append_block(container: &mut Container, call: &Call, name: &str) -> Result<Reply, Reply> {
    let blob = container.blobs.get_mut(name).ok_or_else(no_blob)?;
    conditions::for_writing(call, Some(blob))?;
    let Kind::Append(count) = blob.kind else {
        return Err(wrong_type());
    };
    if call.body.is_empty() {
        let text = "The value for one of the HTTP headers is not in the correct format. Content-Length";
        return Err(Reply::blob(400, "InvalidHeaderValue", text));
    }
    let newer = call.header("x-ms-version").or_else(|| call.query("sv"));
    let most = if newer >= Some("2022-11-02") {
        100 << 20
    } else {
        4 << 20
    };
    if call.body.len() > most {
        let text = "The request body is too large and exceeds the maximum permissible limit.";
        return Err(Reply::blob(413, "RequestBodyTooLarge", text));
    }
    if count >= MOST_APPENDS {
        let text = "The committed block count cannot exceed the maximum limit of 50,000 blocks.";
        return Err(Reply::blob(409, "BlockCountExceedsLimit", text));
    }
    let number = |name: &str| call.header(name).and_then(|value| value.parse::<usize>().ok());
    if number("x-ms-blob-condition-appendpos").is_some_and(|position| position != blob.content.len()) {
        let text = "The append position condition specified was not met.";
        return Err(Reply::blob(412, "AppendPositionConditionNotMet", text));
    }
    let after = blob.content.len() + call.body.len();
    if number("x-ms-blob-condition-maxsize").is_some_and(|most| after > most) {
        let text = "The max blob size condition specified was not met.";
        return Err(Reply::blob(412, "MaxBlobSizeConditionNotMet", text));
    }
    let offset = blob.content.len();
    blob.content.extend_from_slice(&call.body);
    blob.kind = Kind::Append(count + 1);
    blob.touch();
    Ok(written(blob, 201)
        .with("x-ms-blob-append-offset", offset.to_string())
        .with("x-ms-blob-committed-block-count", (count + 1).to_string()))
}

/// Source: "Set Blob Metadata", "Set Blob Properties", Microsoft Learn.
pub(super) fn properties(container: &mut Container, call: &Call, name: &str, component: &str) -> Result<Reply, Reply> {
    let blob = container.blobs.get_mut(name).ok_or_else(no_blob)?;
    conditions::for_writing(call, Some(blob))?;
    if component == "metadata" {
        blob.metadata = metadata(call)?;
    } else if let Some(kind) = call.header("x-ms-blob-content-type") {
        kind.clone_into(&mut blob.content_type);
    }
    blob.touch();
    Ok(written(blob, 200))
}

/// Source: "Delete Blob", Microsoft Learn.
pub(super) fn delete(container: &mut Container, call: &Call, name: &str) -> Result<Reply, Reply> {
    let blob = container.blobs.get(name).ok_or_else(no_blob)?;
    conditions::for_writing(call, Some(blob))?;
    container.blobs.remove(name);
    Ok(Reply::empty(202))
}

fn set_headers(blob: &mut Blob, call: &Call) -> Result<(), Reply> {
    let kind = call
        .header("x-ms-blob-content-type")
        .or_else(|| call.header("content-type"));
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        kind.clone_into(&mut blob.content_type);
    }
    blob.metadata = metadata(call)?;
    Ok(())
}

/// Source: "Naming and Referencing Containers, Blobs, and Metadata": names are C# identifiers.
fn metadata(call: &Call) -> Result<Vec<(String, String)>, Reply> {
    let mut found = Vec::new();
    for (name, value) in &call.headers {
        let Some(key) = name.as_str().strip_prefix("x-ms-meta-") else {
            continue;
        };
        let is_name = !key.is_empty()
            && !key.starts_with(|first: char| first.is_ascii_digit())
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            let text = "The metadata specified is invalid. It has characters that are not permitted.";
            return Err(Reply::blob(400, "InvalidMetadata", text));
        }
        found.push((key.to_owned(), value.to_str().unwrap_or_default().to_owned()));
    }
    Ok(found)
}

fn store(container: &mut Container, name: &str, mut blob: Blob) -> Reply {
    if let Some(before) = container.blobs.get(name) {
        blob.created = before.created;
    }
    let reply = written(&blob, 201);
    container.blobs.insert(name.to_owned(), blob);
    reply
}

fn written(blob: &Blob, status: u16) -> Reply {
    Reply::empty(status)
        .with("etag", blob.etag.clone())
        .with("last-modified", clock::http_date(blob.modified))
        .with("x-ms-request-server-encrypted", "true")
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn lists_of_blocks() {
        let text = "<?xml version=\"1.0\"?><BlockList>\n<Latest>QQ==</Latest><Committed>Qg==</Committed></BlockList>";
        assert_eq!(
            parse_list(text),
            Some(vec![("Latest", "QQ==".to_owned()), ("Committed", "Qg==".to_owned())])
        );
        for bad in [
            "",
            "<BlockList><Other>a</Other></BlockList>",
            "<BlockList><Latest>a</BlockList>",
        ] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }
}
