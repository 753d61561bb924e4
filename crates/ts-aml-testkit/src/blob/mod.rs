//! Blob storage: which operation a request is, and those on containers.
//!
//! Source of all: "Blob service REST API", Microsoft Learn; the account is in the path, as in Azurite.

mod auth;
mod conditions;
mod list;
mod read;
pub(crate) mod sas;
pub(crate) mod store;
mod write;

use crate::{
    call::Call,
    clock,
    reply::Reply,
    shared::Shared,
    world::{World, uuid},
};

pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    let reply = shared
        .change(|world| operation(world, call))
        .unwrap_or_else(|refusal| refusal);
    let version = call
        .header("x-ms-version")
        .or_else(|| call.query("sv"))
        .unwrap_or("2021-08-06");
    let reply = reply
        .with("x-ms-request-id", uuid())
        .with("x-ms-version", version)
        .with("server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0");
    match call.header("x-ms-client-request-id") {
        Some(id) => reply.with("x-ms-client-request-id", id),
        None => reply,
    }
}

fn operation(world: &mut World, call: &Call) -> Result<Reply, Reply> {
    let [_, container, rest @ ..] = &call.path[..] else {
        return Err(unsupported());
    };
    let blob = rest.join("/");
    let of_container = call.query("restype") == Some("container");
    let component = call.query("comp").unwrap_or_default();
    if of_container || blob.is_empty() {
        if !of_container {
            return Err(unsupported());
        }
        return container_operation(world, call, container, component);
    }
    let needed = match (call.method.as_str(), component) {
        ("GET" | "HEAD", _) => "r",
        ("DELETE", _) => "d",
        ("PUT", "appendblock") => "aw",
        ("PUT", "" | "block" | "blocklist") => "cw",
        _ => "w",
    };
    auth::check(world, call, container, Some(&blob), needed)?;
    // Who may only create may not replace. Source: "Create a service SAS", permission `c`.
    if needed == "cw" && component != "block" && world.blobs.get(container, &blob).is_some() {
        auth::check(world, call, container, Some(&blob), "w")?;
    }
    let Some(found) = world.blobs.containers.get_mut(container) else {
        return Err(no_container());
    };
    match (call.method.as_str(), component) {
        ("GET" | "HEAD", "" | "metadata") => read::blob(found, call, &blob, component),
        ("GET", "blocklist") => read::block_list(found, &blob),
        ("PUT", "") => write::blob(found, call, &blob),
        ("PUT", "block") => write::block(found, call, &blob),
        ("PUT", "blocklist") => write::block_list(found, call, &blob),
        ("PUT", "appendblock") => write::append_block(found, call, &blob),
        ("PUT", "metadata" | "properties") => write::properties(found, call, &blob, component),
        ("DELETE", "") => write::delete(found, call, &blob),
        _ => Err(unsupported()),
    }
}

fn container_operation(world: &mut World, call: &Call, name: &str, component: &str) -> Result<Reply, Reply> {
    let needed = match (call.method.as_str(), component) {
        ("GET", "list") => "l",
        ("GET" | "HEAD", "") => "r",
        // No service SAS can make or remove a container.
        _ => "",
    };
    auth::check(world, call, name, None, needed)?;
    let is_there = world.blobs.containers.contains_key(name);
    if call.method == "PUT" && component.is_empty() {
        if is_there {
            let text = "The specified container already exists.";
            return Err(Reply::blob(409, "ContainerAlreadyExists", text));
        }
        if !is_container_name(name) {
            return Err(Reply::blob(
                400,
                "InvalidResourceName",
                "The specified resource name contains invalid characters.",
            ));
        }
        world.blobs.create_container(name);
        return Ok(Reply::empty(201));
    }
    let container = world.blobs.containers.get(name).ok_or_else(no_container)?;
    match (call.method.as_str(), component) {
        ("GET", "list") => list::blobs(name, container, call),
        ("GET" | "HEAD", "") => Ok(Reply::empty(200)
            .with("etag", container.etag.clone())
            .with("last-modified", clock::http_date(container.modified))),
        ("DELETE", "") => {
            world.blobs.containers.remove(name);
            Ok(Reply::empty(202))
        }
        _ => Err(unsupported()),
    }
}

/// Source: "Naming and Referencing Containers, Blobs, and Metadata", Microsoft Learn.
fn is_container_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

fn no_container() -> Reply {
    Reply::blob(404, "ContainerNotFound", "The specified container does not exist.")
}

fn no_blob() -> Reply {
    Reply::blob(404, "BlobNotFound", "The specified blob does not exist.")
}

fn unsupported() -> Reply {
    Reply::blob(
        400,
        "UnsupportedHttpVerb",
        "The resource doesn't support specified Http Verb.",
    )
}
