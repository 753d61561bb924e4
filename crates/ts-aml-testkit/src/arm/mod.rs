//! Resource Manager: who asks, for which version, in which scope, how often; and then the resource's own part.

mod asset;
mod code;
mod compute;
pub(crate) mod datastore;
mod environment;
mod jobs;
pub(crate) mod rules;
mod workspace;

use crate::{
    call::Call,
    entra::tokens::{Audience, Bad},
    reply::Reply,
    shared::Shared,
    world::uuid,
};
use std::sync::Arc;

/// Versions that the provider serves; the previews are those that Microsoft's client asks for.
///
/// Source: Azure/azure-rest-api-specs, `specification/machinelearningservices/resource-manager`; azure-ai-ml 1.35.2, `_ml_client.py`.
const VERSIONS: &[&str] = &[
    "2022-10-01",
    "2023-02-01-preview",
    "2023-04-01",
    "2023-04-01-preview",
    "2023-06-01-preview",
    "2023-08-01-preview",
    "2023-10-01",
    "2024-01-01-preview",
    "2024-04-01",
    "2024-04-01-preview",
    "2024-07-01-preview",
    "2024-10-01",
    "2024-10-01-preview",
    "2025-01-01-preview",
    "2025-09-01",
    "2025-12-01",
];

/// Answers a request, with the headers that every answer has.
pub(crate) fn answer(shared: &Arc<Shared>, call: &Call) -> Reply {
    let reply = checked(shared, call).unwrap_or_else(|refusal| refusal);
    let request = uuid();
    // Source: "Understand and resolve... correlation", Resource Manager common API details: a client's correlation id is kept.
    let correlation = call
        .header("x-ms-correlation-request-id")
        .map_or_else(|| request.clone(), str::to_owned);
    let mut reply = reply
        .with("x-ms-request-id", request.clone())
        .with("x-ms-correlation-request-id", correlation)
        .with(
            "x-ms-routing-request-id",
            format!("WESTEUROPE:20240101T000000Z:{request}"),
        );
    if let Some(id) = call.header("x-ms-client-request-id") {
        reply = reply.with("x-ms-client-request-id", id);
    }
    reply
}

fn checked(shared: &Arc<Shared>, call: &Call) -> Result<Reply, Reply> {
    authenticate(shared, call)?;
    let version = call.query("api-version").ok_or_else(missing_api_version)?;
    let (remaining, left) = spend(shared, call)?;
    let rest = scope(shared, &call.path)?;
    if !VERSIONS.contains(&version) {
        let known = VERSIONS.join(", ");
        // Source: Resource Manager, common error `NoRegisteredProviderFound`, "Resolve errors for resource provider registration".
        return Err(Reply::arm(
            400,
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for location '{}' and API version '{version}' for type 'workspaces'. The \
                 supported api-versions are '{known}'. The supported locations are '{}'.",
                shared.setting.location, shared.setting.location
            ),
        ));
    }
    let parts: Vec<&str> = rest.iter().map(String::as_str).collect();
    let reply = resource(shared, call, &parts).unwrap_or_else(|refusal| refusal);
    Ok(reply.with(remaining, left.to_string()))
}

/// Types of resources are matched without regard to case; names below are not.
///
/// Source: "Resource Manager template functions": resource types and ids are case-insensitive; AML's run ids are not.
fn resource(shared: &Arc<Shared>, call: &Call, rest: &[&str]) -> Result<Reply, Reply> {
    let kinds: Vec<String> = rest.iter().map(|part| part.to_ascii_lowercase()).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    match (call.method.as_str(), &kinds[..]) {
        ("GET", []) => Ok(workspace::get(shared)),
        ("GET", ["computes"]) => Ok(compute::list(shared)),
        ("GET", ["computes", _]) => compute::get(shared, rest[1]),
        ("GET", ["datastores"]) => Ok(datastore::list(shared, call)),
        ("GET", ["datastores", "default"]) => datastore::get(shared, datastore::DEFAULT),
        ("GET", ["datastores", _]) => datastore::get(shared, rest[1]),
        ("POST", ["datastores", _, "listsecrets"]) => datastore::list_secrets(shared, call, rest[1]),
        ("GET", ["codes", _, "versions"]) => Ok(code::list(shared, call, rest[1])),
        ("GET", ["codes", _, "versions", _]) => code::get(shared, rest[1], rest[3]),
        ("PUT", ["codes", _, "versions", _]) => code::put(shared, call, rest[1], rest[3]),
        ("POST", ["codes", _, "versions", _, "startpendingupload"]) => {
            code::start_pending_upload(shared, call, rest[1], rest[3])
        }
        ("GET", ["environments", _, "versions"]) => Ok(environment::list(shared, rest[1])),
        ("GET", ["environments", _, "versions", _]) => environment::get(shared, rest[1], rest[3]),
        ("PUT", ["environments", _, "versions", _]) => environment::put(shared, call, rest[1], rest[3]),
        ("GET", ["jobs"]) => jobs::list(shared, call),
        ("PUT", ["jobs", _]) => jobs::put(shared, call, rest[1]),
        ("GET", ["jobs", _]) => jobs::get(shared, rest[1]),
        ("DELETE", ["jobs", _]) => jobs::delete(shared, call, rest[1]),
        ("POST", ["jobs", _, "cancel"]) => jobs::cancel(shared, call, rest[1]),
        ("GET", ["mfeoperationresults", _]) => Ok(jobs::operation(shared, call, rest[1])),
        _ => Err(Reply::arm(
            404,
            "InvalidResourceType",
            format!(
                "The resource type could not be found in the namespace 'Microsoft.MachineLearningServices' for api version '{}'.",
                call.query("api-version").unwrap_or_default()
            ),
        )),
    }
}

/// Source: hashicorp/go-azure-helpers issue 51, for the words about the audience; "Azure Resource Manager: authenticate requests".
fn authenticate(shared: &Shared, call: &Call) -> Result<(), Reply> {
    let Some(token) = call.bearer() else {
        let text = "Authentication failed. The 'Authorization' header is missing.";
        return Err(challenge(
            shared,
            Reply::arm(401, "AuthenticationFailed", text),
            "invalid_request",
        ));
    };
    let checked = shared.world().tokens.check(token, Audience::Arm);
    checked.map_err(|bad| {
        let reply = match bad {
            Bad::Unknown => Reply::arm(401, "InvalidAuthenticationToken", "The access token is invalid."),
            Bad::Expired => Reply::arm(
                401,
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ),
            Bad::Audience(resource) => Reply::arm(
                401,
                "InvalidAuthenticationTokenAudience",
                format!(
                    "The access token has been obtained for wrong audience or resource '{resource}'. It should exactly match with \
                     one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net',\
                     'https://management.azure.com/','https://management.azure.com'."
                ),
            ),
        };
        challenge(shared, reply, "invalid_token")
    })
}

fn challenge(shared: &Shared, reply: Reply, error: &str) -> Reply {
    reply.with(
        "www-authenticate",
        format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"{error}\", error_description=\"The authentication failed.\"",
            shared.base, shared.setting.tenant
        ),
    )
}

pub(crate) fn missing_api_version() -> Reply {
    let text = "The api-version query parameter (?api-version=) is required for all requests.";
    Reply::arm(400, "MissingApiVersionParameter", text)
}

/// Takes one request from the hour's budget; the header that tells what is left, and how much.
///
/// Source: "Understand how Azure Resource Manager throttles requests", Microsoft Learn.
fn spend(shared: &Shared, call: &Call) -> Result<(&'static str, u32), Reply> {
    let mut world = shared.world();
    let budget = &mut world.budget;
    let left = match call.method.as_str() {
        "GET" | "HEAD" => &mut budget.reads,
        "DELETE" => &mut budget.deletes,
        _ => &mut budget.writes,
    };
    if *left == 0 {
        return Err(throttled(call, 3600));
    }
    *left -= 1;
    Ok((remaining_header(call), *left))
}

fn remaining_header(call: &Call) -> &'static str {
    match call.method.as_str() {
        "GET" | "HEAD" => "x-ms-ratelimit-remaining-subscription-reads",
        "DELETE" => "x-ms-ratelimit-remaining-subscription-deletes",
        _ => "x-ms-ratelimit-remaining-subscription-writes",
    }
}

/// 429 of Resource Manager itself.
pub(crate) fn throttled(call: &Call, retry_after: u32) -> Reply {
    let text = "Number of requests for subscription exceeded the limit. Please try again later.";
    Reply::arm(429, "SubscriptionRequestsThrottled", text)
        .with("retry-after", retry_after.to_string())
        .with(remaining_header(call), "0")
}

/// What stands behind the workspace in the path.
pub(crate) fn scope<'a>(shared: &Shared, path: &'a [String]) -> Result<&'a [String], Reply> {
    let setting = &shared.setting;
    let [subscriptions, subscription, rest @ ..] = path else {
        return Err(Reply::arm(404, "InvalidResourceType", "The resource type is invalid."));
    };
    if !subscriptions.eq_ignore_ascii_case("subscriptions") || !subscription.eq_ignore_ascii_case(&setting.subscription)
    {
        let text = format!("The subscription '{subscription}' could not be found.");
        return Err(Reply::arm(404, "SubscriptionNotFound", text));
    }
    let [groups, group, rest @ ..] = rest else {
        return Err(Reply::arm(404, "InvalidResourceType", "The resource type is invalid."));
    };
    if !groups.eq_ignore_ascii_case("resourceGroups") {
        return Err(Reply::arm(404, "InvalidResourceType", "The resource type is invalid."));
    }
    if !group.eq_ignore_ascii_case(&setting.resource_group) {
        let text = format!("Resource group '{group}' could not be found.");
        return Err(Reply::arm(404, "ResourceGroupNotFound", text));
    }
    let [providers, namespace, kind, workspace, rest @ ..] = rest else {
        return Err(Reply::arm(404, "InvalidResourceType", "The resource type is invalid."));
    };
    if !providers.eq_ignore_ascii_case("providers")
        || !namespace.eq_ignore_ascii_case("Microsoft.MachineLearningServices")
        || !kind.eq_ignore_ascii_case("workspaces")
    {
        let text = format!("The resource namespace '{namespace}' is invalid.");
        return Err(Reply::arm(404, "InvalidResourceNamespace", text));
    }
    if !workspace.eq_ignore_ascii_case(&setting.workspace) {
        let text = format!(
            "The Resource 'Microsoft.MachineLearningServices/workspaces/{workspace}' under resource group '{group}' was not found. \
             For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        return Err(Reply::arm(404, "ResourceNotFound", text));
    }
    Ok(rest)
}
