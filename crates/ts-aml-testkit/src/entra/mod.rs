//! Entra ID: the token endpoint with its grants, device codes, and the documents that clients read first.

mod assertion;
pub(crate) mod tokens;

use crate::{
    call::{Call, lookup},
    clock,
    reply::Reply,
    shared::Shared,
    world::uuid,
};
use serde_json::json;
use tokens::{Audience, Decision, Device};

/// The public client of Azure's own tools. Source: azure-identity 1.27.0, `_constants.py`, `DEVELOPER_SIGN_ON_CLIENT_ID`.
const PUBLIC_CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// Source: RFC 8628, section 3.4.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Source of the numbers: "Microsoft Entra authentication and authorization error codes", Microsoft Learn.
pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    match call.parts()[..] {
        [tenant, "v2.0", ".well-known", "openid-configuration"] => configuration(shared, tenant),
        ["common", "discovery", "instance"] => instances(shared, call),
        [tenant, "oauth2", "v2.0", endpoint @ ("token" | "devicecode")] => {
            if call.method != "POST" {
                let text = format!(
                    "The endpoint only accepts POST, OPTIONS requests. Received a {} request.",
                    call.method
                );
                return Reply::entra(400, "invalid_request", 900_561, &text);
            }
            if !is_tenant(shared, tenant) {
                return no_tenant(tenant);
            }
            let form = call.form();
            let result = if endpoint == "token" {
                token(shared, tenant, &form)
            } else {
                device_code(shared, &form)
            };
            result.unwrap_or_else(|refusal| refusal)
        }
        _ => Reply::empty(404),
    }
}

fn is_tenant(shared: &Shared, tenant: &str) -> bool {
    tenant == shared.setting.tenant || ["common", "organizations"].contains(&tenant)
}

fn no_tenant(tenant: &str) -> Reply {
    let text = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    Reply::entra(400, "invalid_request", 90_002, &text)
}

fn configuration(shared: &Shared, tenant: &str) -> Reply {
    if !is_tenant(shared, tenant) {
        return no_tenant(tenant);
    }
    let base = &shared.base;
    Reply::json(
        200,
        &json!({
            "issuer": format!("{base}/{tenant}/v2.0"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_types_supported": ["code"],
            "tenant_region_scope": "EU",
        }),
    )
}

fn instances(shared: &Shared, call: &Call) -> Reply {
    let host = shared.base.split("//").nth(1).unwrap_or_default();
    let tenant = &shared.setting.tenant;
    if call.query("authorization_endpoint").is_none() {
        return missing("authorization_endpoint");
    }
    Reply::json(
        200,
        &json!({
            "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", shared.base),
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }),
    )
}

fn token(shared: &Shared, tenant: &str, form: &[(String, String)]) -> Result<Reply, Reply> {
    match required(form, "grant_type")? {
        "client_credentials" => client_credentials(shared, tenant, form),
        DEVICE_GRANT => device(shared, form),
        "refresh_token" => refresh(shared, form),
        _ => {
            let text = "The app requested an unsupported grant type.";
            Err(Reply::entra(400, "unsupported_grant_type", 70_003, text))
        }
    }
}

fn client_credentials(shared: &Shared, tenant: &str, form: &[(String, String)]) -> Result<Reply, Reply> {
    let setting = &shared.setting;
    // There is no application in a tenant that stands for all.
    if tenant != setting.tenant {
        return Err(no_tenant(tenant));
    }
    let client = required(form, "client_id")?;
    if client != setting.client_id {
        return Err(unknown_application(client, tenant));
    }
    let scope = required(form, "scope")?;
    if let Some(assertion) = lookup(form, "client_assertion") {
        if lookup(form, "client_assertion_type") != Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
            let text = "The 'client_assertion_type' parameter is missing or not supported.";
            return Err(Reply::entra(401, "invalid_client", 50_027, text));
        }
        assertion::check(shared, tenant, assertion)?;
    } else if let Some(secret) = lookup(form, "client_secret") {
        let world = shared.world();
        if world.secret_expired {
            let text = format!("The provided client secret keys for app '{client}' are expired.");
            return Err(Reply::entra(401, "invalid_client", 7_000_222, &text));
        }
        if secret != world.secret {
            let text = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
                 the client secret ID, for a secret added to app '{client}'."
            );
            return Err(Reply::entra(401, "invalid_client", 7_000_215, &text));
        }
    } else {
        let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(Reply::entra(401, "invalid_client", 7_000_218, text));
    }
    let Some(resource) = scope
        .strip_suffix("/.default")
        .filter(|resource| !resource.contains(' '))
    else {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default \
             suffixed to the resource identifier (application ID URI)."
        );
        return Err(Reply::entra(400, "invalid_scope", 1_002_012, &text));
    };
    granted(shared, resource, None)
}

fn device_code(shared: &Shared, form: &[(String, String)]) -> Result<Reply, Reply> {
    known_public_client(shared, form)?;
    let scope = required(form, "scope")?;
    resource_of(shared, scope)?;
    let device = Device {
        code: uuid(),
        user_code: uuid()[..8].to_uppercase(),
        scope: scope.to_owned(),
        until: clock::after(shared.setting.device_life),
        polled: None,
        interval: shared.setting.device_interval,
        is_hurried: false,
        decision: Decision::Pending,
    };
    let verification = "https://microsoft.com/devicelogin";
    let reply = Reply::json(
        200,
        &json!({
            "user_code": device.user_code,
            "device_code": device.code,
            "verification_uri": verification,
            "expires_in": shared.setting.device_life.as_secs(),
            "interval": device.interval,
            "message": format!(
                "To sign in, use a web browser to open the page {verification} and enter the code {} to authenticate.",
                device.user_code
            ),
        }),
    );
    shared.world().tokens.devices.push(device);
    Ok(reply)
}

/// Source: RFC 8628, section 3.5.
fn device(shared: &Shared, form: &[(String, String)]) -> Result<Reply, Reply> {
    known_public_client(shared, form)?;
    let code = required(form, "device_code")?;
    let scope = {
        let mut world = shared.world();
        let Some(index) = world.tokens.devices.iter().position(|device| device.code == code) else {
            let text = "The provided value for the 'device_code' parameter is not valid.";
            return Err(Reply::entra(400, "invalid_grant", 70_000, text));
        };
        let device = &mut world.tokens.devices[index];
        let now = clock::now();
        if device.until <= now {
            return Err(Reply::entra(
                400,
                "expired_token",
                70_020,
                "The provided device code has expired.",
            ));
        }
        let interval = i64::try_from(device.interval).unwrap_or(i64::MAX);
        // Half a second of grace for the way here.
        let is_early = |at: jiff::Timestamp| now.duration_since(at).as_millis() < i128::from(interval) * 1000 - 500;
        let is_early = device.polled.replace(now).is_some_and(is_early);
        if std::mem::take(&mut device.is_hurried) || is_early {
            device.interval += 5;
            let text = "The device is polling too frequently.";
            return Err(Reply::entra(400, "slow_down", 70_016, text));
        }
        match device.decision {
            Decision::Pending => {
                let text = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
                return Err(Reply::entra(400, "authorization_pending", 70_016, text));
            }
            Decision::Declined => {
                let text = "The end user denied the authorization request.";
                return Err(Reply::entra(400, "authorization_declined", 70_019, text));
            }
            // A code is good once.
            Decision::Approved => world.tokens.devices.remove(index).scope,
        }
    };
    granted(shared, &resource_of(shared, &scope)?, Some(&scope))
}

fn refresh(shared: &Shared, form: &[(String, String)]) -> Result<Reply, Reply> {
    known_public_client(shared, form)?;
    let given = required(form, "refresh_token")?;
    let known = shared.world().tokens.refresh.get(given).cloned();
    let Some(known) = known else {
        let text = "The provided grant has expired due to it being revoked, a fresh auth token is needed.";
        return Err(Reply::entra(400, "invalid_grant", 50_173, text));
    };
    let scope = lookup(form, "scope").map_or(known.clone(), str::to_owned);
    granted(shared, &resource_of(shared, &scope)?, Some(&known))
}

/// The resource of the one `/.default` among the scopes.
fn resource_of(shared: &Shared, scope: &str) -> Result<String, Reply> {
    let mut resources = scope.split(' ').filter_map(|one| one.strip_suffix("/.default"));
    let resource = resources.next().unwrap_or_default().to_owned();
    if resource.is_empty() || resources.next().is_some() {
        let text = format!("The provided value for the input parameter 'scope' is not valid: {scope}.");
        return Err(Reply::entra(400, "invalid_scope", 70_011, &text));
    }
    match Audience::of(&shared.base, &resource) {
        Some(_) => Ok(resource),
        None => Err(unknown_resource(shared, &resource)),
    }
}

fn granted(shared: &Shared, resource: &str, refreshing: Option<&str>) -> Result<Reply, Reply> {
    let mut world = shared.world();
    let life = shared.setting.token_life;
    let audience = Audience::of(&shared.base, resource).ok_or_else(|| unknown_resource(shared, resource))?;
    let token = world.tokens.issue(audience, resource, life);
    let seconds = life.as_secs();
    let mut body = json!({
        "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
    });
    // Long-lived tokens say when to renew them. Source: azure-core 1.41.0, `AccessTokenInfo.refresh_on`.
    if seconds >= 7200 {
        body["refresh_in"] = json!(seconds / 2);
    }
    if let Some(scope) = refreshing {
        body["scope"] = json!(scope);
        if scope.split(' ').any(|one| one == "offline_access") {
            let refresh = format!("0.{}", uuid());
            body["refresh_token"] = json!(refresh);
            world.tokens.refresh.insert(refresh, scope.to_owned());
        }
    }
    Ok(Reply::json(200, &body).with("cache-control", "no-store, no-cache"))
}

fn known_public_client(shared: &Shared, form: &[(String, String)]) -> Result<(), Reply> {
    let client = required(form, "client_id")?;
    if client == PUBLIC_CLIENT || client == shared.setting.client_id {
        return Ok(());
    }
    Err(unknown_application(client, &shared.setting.tenant))
}

fn unknown_application(client: &str, tenant: &str) -> Reply {
    let text = format!(
        "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application \
         has not been installed by the administrator of the tenant or consented to by any user in the tenant."
    );
    Reply::entra(400, "unauthorized_client", 700_016, &text)
}

fn unknown_resource(shared: &Shared, resource: &str) -> Reply {
    let text = format!(
        "The resource principal named {resource} was not found in the tenant named {}.",
        shared.setting.tenant
    );
    Reply::entra(400, "invalid_resource", 500_011, &text)
}

fn required<'a>(form: &'a [(String, String)], name: &str) -> Result<&'a str, Reply> {
    let found = lookup(form, name).filter(|value| !value.is_empty());
    found.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Reply {
    let text = format!("The request body must contain the following parameter: '{name}'.");
    Reply::entra(400, "invalid_request", 900_144, &text)
}
