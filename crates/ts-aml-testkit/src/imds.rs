//! Managed identities: of a machine, and of App Service and compute instances.

use crate::{call::Call, clock, entra::tokens::Audience, reply::Reply, shared::Shared};
use serde_json::{Value, json};

/// The header that shows that a request comes from the App Service's own process.
pub(crate) const APP_SERVICE_SECRET: &str = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a";

/// Source: "How to use managed identities for Azure resources on an Azure VM to acquire an access token", section "Error handling",
/// and "Azure Instance Metadata Service", Microsoft Learn.
pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    match call.parts()[..] {
        ["metadata", "identity", "oauth2", "token"] => machine(shared, call),
        ["MSI", "token"] => app_service(shared, call),
        _ => Reply::json(404, &json!({"error": "Not found"})),
    }
}

fn machine(shared: &Shared, call: &Call) -> Reply {
    if call.header("metadata") != Some("true") {
        return refused("invalid_request", "Required metadata header not specified");
    }
    // A proxy gives the token to others. Source: IMDS, "Proxies".
    if call.header("x-forwarded-for").is_some() {
        return refused("invalid_request", "X-Forwarded-For header is not allowed");
    }
    if call.method != "GET" {
        return Reply::json(405, &json!({"error": "Method not allowed"}));
    }
    if let Some(status) = shared.world().imds_phases.pop_front() {
        let error = match status {
            404 => "not_found",
            410 => "gone",
            429 => "too_many_requests",
            _ => "unknown",
        };
        let text = "The identity endpoint is updating; retry later";
        return Reply::json(status, &json!({"error": error, "error_description": text}));
    }
    match call.query("api-version") {
        Some("2018-02-01" | "2019-08-01" | "2021-02-01") => {}
        Some(_) => return refused("invalid_request", "The api-version is invalid"),
        None => return refused("invalid_request", "Required query variable 'api-version' is missing"),
    }
    token(shared, call, "client_id", |issued, resource, life| {
        let now = clock::now().as_second();
        // Numbers come as strings. Source: the same page, "Get a token using HTTP", sample response.
        json!({
            "access_token": issued,
            "client_id": shared.setting.managed_identity,
            "expires_in": life.to_string(),
            "expires_on": (now + life).to_string(),
            "ext_expires_in": life.to_string(),
            "not_before": now.to_string(),
            "resource": resource,
            "token_type": "Bearer",
        })
    })
}

/// Source: "How to use managed identities for App Service", section "REST endpoint reference", Microsoft Learn.
fn app_service(shared: &Shared, call: &Call) -> Reply {
    let (header, parameter) = match call.query("api-version") {
        Some("2019-08-01") => ("x-identity-header", "client_id"),
        Some("2017-09-01") => ("secret", "clientid"),
        _ => return Reply::json(400, &json!({"statusCode": 400, "message": "Unsupported API version"})),
    };
    if call.header(header) != Some(APP_SERVICE_SECRET) {
        return Reply::json(401, &json!({"statusCode": 401, "message": "Unauthorized"}));
    }
    token(shared, call, parameter, |issued, resource, life| {
        json!({
            "access_token": issued,
            "client_id": shared.setting.managed_identity,
            "expires_on": (clock::now().as_second() + life).to_string(),
            "resource": resource,
            "token_type": "Bearer",
        })
    })
}

fn token(shared: &Shared, call: &Call, parameter: &str, body: impl FnOnce(&str, &str, i64) -> Value) -> Reply {
    let Some(resource) = call.query("resource").filter(|resource| !resource.is_empty()) else {
        return refused("invalid_request", "Required query variable 'resource' is missing");
    };
    let Some(identity) = &shared.setting.managed_identity else {
        return refused("invalid_request", "Identity not found");
    };
    let other_identity = call.query(parameter).is_some_and(|asked| asked != identity);
    if other_identity || call.query("object_id").is_some() || call.query("mi_res_id").is_some() {
        return refused("invalid_request", "Identity not found");
    }
    let Some(audience) = Audience::of(&shared.base, resource) else {
        let text = format!(
            "AADSTS500011: The resource principal named {resource} was not found in the tenant named {}.",
            shared.setting.tenant
        );
        return refused("invalid_resource", &text);
    };
    let life = shared.setting.token_life;
    let issued = shared.world().tokens.issue(audience, resource, life);
    let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
    Reply::json(200, &body(&issued, resource, seconds))
}

fn refused(error: &str, text: &str) -> Reply {
    Reply::json(400, &json!({"error": error, "error_description": text}))
}
