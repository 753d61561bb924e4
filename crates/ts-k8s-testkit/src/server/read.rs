//! Reads: one object, or a list in parts.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apiserver/pkg/storage/etcd3/store.go`; kube-apiserver v1.20.2, observed. A later
//! part of a list shows objects as they are when it is asked for, not as they were at the first part.

use super::call::Call;
use super::failure::Failure;
use super::store::Key;
use super::world::World;
use base64::Engine as _;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers a GET of one object.
pub(crate) fn get(world: &World, call: &Call) -> Result<(u16, Value), Failure> {
    Ok((200, call.shown(&*world.find(&call.kind, &call.key())?)))
}

/// Answers a GET of a collection.
pub(crate) fn list(world: &World, call: &Call) -> Result<(u16, Value), Failure> {
    let selector = call.selector()?;
    let limit = call.query.number("limit")?.filter(|limit| *limit > 0);
    let token = call.query.get("continue");
    let mut version = world.store.version();
    let mut start: Option<Key> = None;
    if token.is_empty() {
        let wanted = version_of(call)?;
        if wanted > version {
            return Err(too_large(wanted, version));
        }
    } else {
        let (from, first) = parse_token(token)?;
        if from < world.store.compacted() {
            return Err(expired_token(call, &first, version));
        }
        // A token of an expired list continues with what is there now.
        version = if from == 0 { version } else { from };
        start = Some(first);
    }
    let mut items: Vec<(Key, Arc<Value>)> = world
        .store
        .list(&call.kind.id(), call.namespace())
        .into_iter()
        .filter(|(key, object)| start.as_ref().is_none_or(|start| key > start) && selector.matches(object))
        .collect();
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    let rest = items.len().saturating_sub(limit);
    items.truncate(limit);
    let mut more = None;
    if let (true, Some((last, _))) = (rest > 0, items.last()) {
        let remaining = selector.is_empty().then_some(rest);
        more = Some((write_token(version, last), remaining));
    }
    Ok((
        200,
        list_body(call, items.iter().map(|(_, object)| object), version, more),
    ))
}

/// The parameter `resourceVersion`; 0 if there is none.
pub(crate) fn version_of(call: &Call) -> Result<u64, Failure> {
    let text = call.query.get("resourceVersion");
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        Failure::new(500, "", format!("resourceVersion: Invalid value: {text:?}: {why}"))
    })
}

/// The real server waits three seconds for such a version to come; this one knows that it will not.
fn too_large(wanted: u64, current: u64) -> Failure {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let mut failure = Failure::new(504, "Timeout", message);
    failure = failure.with(json!({"causes": [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}));
    failure.retry_after = Some(1);
    failure
}

/// A list: items of Kubernetes' own kinds do not repeat what they are.
pub(crate) fn list_body<'a>(
    call: &Call,
    items: impl Iterator<Item = &'a Arc<Value>>,
    version: u64,
    more: Option<(String, Option<usize>)>,
) -> Value {
    let custom = call.kind.custom();
    let items: Vec<Value> = items
        .map(|object| {
            let mut object = call.shown(object);
            if let (false, Some(fields)) = (custom, object.as_object_mut()) {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
            object
        })
        .collect();
    let mut meta = json!({"resourceVersion": version.to_string()});
    if custom {
        meta["continue"] = "".into();
    }
    if let Some((token, remaining)) = more {
        meta["continue"] = token.into();
        if let Some(remaining) = remaining {
            meta["remainingItemCount"] = remaining.into();
        }
    }
    json!({"kind": format!("{}List", call.kind.kind), "apiVersion": call.api_version(), "metadata": meta, "items": items})
}

fn write_token(version: u64, last: &Key) -> String {
    let start = format!("{}/{}\u{0}", last.namespace, last.name);
    let token = json!({"v": "meta.k8s.io/v1", "rv": version, "start": start, "kind": last.kind});
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token.to_string())
}

fn parse_token(token: &str) -> Result<(u64, Key), Failure> {
    let bad = |why: &str| Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| bad("illegal base64 data at input byte 0"))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| bad("it holds no JSON"))?;
    let start = token["start"].as_str().unwrap_or_default().trim_end_matches('\u{0}');
    let (namespace, name) = start.split_once('/').ok_or_else(|| bad("it has no start"))?;
    let kind = token["kind"].as_str().unwrap_or_default().to_owned();
    let key = Key {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Ok((token["rv"].as_u64().unwrap_or_default(), key))
}

/// The list has to start over, or to go on inconsistently with the token in the answer.
fn expired_token(call: &Call, start: &Key, current: u64) -> Failure {
    let mut failure = Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the \
         continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing \
         with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the \
         time the first chunk was returned and now may show up in the list.",
    );
    let start = Key {
        kind: call.kind.id(),
        ..start.clone()
    };
    failure.proceed = Some(write_token(current, &start));
    failure
}
