//! A small Azure for tests: Entra, the metadata service of a virtual machine, and key vaults, on port 0.
//!
//! It enforces what the real ones enforce: grants, audiences, the challenge, versions, the header against forgery. Requests keep
//! their real addresses; [`Reroute`] brings them here, and the host they were meant for comes with them.
//!
//! Source: Microsoft Learn, "OAuth 2.0 client credentials flow" for Entra; "How to use managed identities to acquire a token" for the
//! metadata service; `answer.rs` names those of the vault's bodies.

use async_trait::async_trait;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Url};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

pub(super) const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
pub(super) const CLIENT: &str = "fad7d5b3-69d6-4b48-9259-8d12124e1cf1";
pub(super) const PASSWORD: &str = "Xq8~the-secret-of-the-application";
pub(super) const ASSERTION: &str = "eyJhbGciOi.of-the-service-account.sig";
const FOR: &str = "x-fake-host";

/// What the fake knows and how it is to behave.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// Host of the one vault there is.
    pub(super) vault: String,
    /// Where Entra is.
    pub(super) entra: String,
    /// The tenant that the vault trusts, if it is not [`TENANT`].
    pub(super) trusted: Option<String>,
    /// Secrets by name; `None` is disabled.
    pub(super) secrets: HashMap<String, Option<String>>,
    /// Answers given before any other, the first one first: host, status, `Retry-After`, body.
    pub(super) troubles: Vec<(String, u16, Option<u64>, String)>,
    /// Inner code of the refusal to everybody, such as `ForbiddenByRbac`.
    pub(super) forbidden: Option<&'static str>,
    /// Whether the machine has an identity; without a machine nobody answers at the metadata address.
    pub(super) machine: Option<bool>,
    /// Audiences of the tokens that were given.
    pub(super) tokens: HashMap<String, String>,
    /// Requests: method, host and path.
    pub(super) seen: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Fake {
    pub(super) scene: Arc<Mutex<Scene>>,
    port: u16,
}

impl Fake {
    pub(super) async fn start(scene: Scene) -> Self {
        let scene = Arc::new(Mutex::new(scene));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().fallback(serve).with_state(Arc::clone(&scene));
        #[expect(clippy::disallowed_methods, reason = "the server of a test ends with its runtime")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { scene, port }
    }

    /// A token as the fake gives them, for `az` to print.
    pub(super) fn token(&self, audience: &str) -> String {
        self.scene.lock().unwrap().mint(audience)
    }
}

/// Brings requests to the fake, over real HTTP; to hosts that are not there it goes the real way, and fails.
#[derive(Debug)]
pub(super) struct Reroute {
    pub(super) fake: Fake,
    pub(super) client: reqwest::Client,
}

#[async_trait]
impl HttpClient for Reroute {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let is_here = {
            let scene = self.fake.scene.lock().unwrap();
            host == scene.vault || host == scene.entra || (host == "169.254.169.254" && scene.machine.is_some())
        };
        let mut url: Url = request.url().clone();
        if is_here {
            assert_eq!(url.scheme() == "http", host == "169.254.169.254", "{url}");
            url.set_scheme("http").unwrap();
            url.set_host(Some("127.0.0.1")).unwrap();
            url.set_port(Some(self.fake.port)).unwrap();
        } else if host == "169.254.169.254" {
            url = "http://127.0.0.1:1/".parse().unwrap();
        }
        let mut sent = Request::new(url, request.method());
        for (name, value) in request.headers().iter() {
            sent.insert_header(name.clone(), value.clone());
        }
        sent.insert_header(FOR, host);
        sent.set_body(request.body().clone());
        self.client.execute_request(&sent).await
    }
}

/// A resolver that knows no name, in the words of the standard library and glibc.
#[derive(Debug)]
pub(super) struct NoNames;

impl reqwest::dns::Resolve for NoNames {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let why = "failed to lookup address information: Name or service not known";
        Box::pin(std::future::ready(Err(std::io::Error::other(why).into())))
    }
}

async fn serve(
    State(scene): State<Arc<Mutex<Scene>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let host = headers[FOR].to_str().unwrap().to_owned();
    let mut scene = scene.lock().unwrap();
    scene.seen.push(format!("{method} {host}{}", uri.path()));
    if let Some(at) = scene.troubles.iter().position(|(of, ..)| *of == host) {
        let (_, status, after, body) = scene.troubles.remove(at);
        let mut answer = (StatusCode::from_u16(status).unwrap(), body).into_response();
        if let Some(after) = after {
            answer.headers_mut().insert("retry-after", after.into());
        }
        return answer;
    }
    if host == scene.entra {
        scene.grant(&method, &uri, &headers, &body)
    } else if host == scene.vault {
        scene.give(&method, &uri, &headers)
    } else {
        scene.identify(&uri, &headers)
    }
}

fn answer(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

/// The parts of a query or a form.
fn pairs(text: &str) -> HashMap<String, String> {
    let url = Url::parse(&format!("http://x/?{text}")).unwrap();
    url.query_pairs().into_owned().collect()
}

impl Scene {
    fn mint(&mut self, audience: &str) -> String {
        let token = format!("eyJ0eXAiOiJKV1Qi.token-{}.sig", self.tokens.len());
        self.tokens.insert(token.clone(), audience.to_owned());
        token
    }

    /// Entra: the client credentials grant, by secret or by assertion.
    fn grant(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let refuse = |status, code: u32, error: &str, text: &str| {
            let description = format!("AADSTS{code}: {text} Trace ID: 0 Correlation ID: 0");
            answer(
                status,
                &json!({"error": error, "error_description": description, "error_codes": [code], "trace_id": "0"}),
            )
        };
        let is_form = headers
            .get("content-type")
            .is_some_and(|t| t == "application/x-www-form-urlencoded");
        if method != Method::POST || !is_form {
            return refuse(
                400,
                900_144,
                "invalid_request",
                "The request body must contain the following parameter: 'grant_type'.",
            );
        }
        if uri.path() != format!("/{TENANT}/oauth2/v2.0/token") {
            return refuse(400, 90_002, "invalid_request", "Tenant not found.");
        }
        let form = pairs(std::str::from_utf8(body).unwrap());
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if of("grant_type") != "client_credentials" {
            return refuse(
                400,
                70_003,
                "unsupported_grant_type",
                "The grant type is not supported.",
            );
        }
        if of("client_id") != CLIENT {
            return refuse(
                400,
                700_016,
                "unauthorized_client",
                "Application was not found in the directory.",
            );
        }
        let is_asserted = of("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            && of("client_assertion") == ASSERTION;
        if of("client_secret") != PASSWORD && !is_asserted {
            // Worse than the real one: it repeats what it was given.
            let text = format!("Invalid client secret provided: '{}'.", of("client_secret"));
            return refuse(401, 7_000_215, "invalid_client", &text);
        }
        let Some(audience) = of("scope").strip_suffix("/.default") else {
            return refuse(
                400,
                1_002_012,
                "invalid_scope",
                "The provided value for scope is not valid.",
            );
        };
        let token = self.mint(audience);
        answer(
            200,
            &json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}),
        )
    }

    /// The metadata service of a virtual machine.
    fn identify(&mut self, uri: &Uri, headers: &HeaderMap) -> Response {
        let query = pairs(uri.query().unwrap_or_default());
        let is_asked = headers.get("metadata").is_some_and(|v| v == "true")
            && uri.path() == "/metadata/identity/oauth2/token"
            && query.contains_key("api-version");
        match (is_asked, self.machine, query.get("resource")) {
            (true, Some(true), Some(resource)) => {
                let token = self.mint(resource);
                answer(
                    200,
                    &json!({"access_token": token, "client_id": CLIENT, "expires_in": "86399", "expires_on": "4102444800",
                        "ext_expires_in": "86399", "not_before": "0", "resource": resource, "token_type": "Bearer"}),
                )
            }
            _ => answer(
                400,
                &json!({"error": "invalid_request", "error_description": "Identity not found"}),
            ),
        }
    }

    /// A key vault.
    fn give(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        let refuse =
            |status, code: &str, message: &str| answer(status, &json!({"error": {"code": code, "message": message}}));
        let (_, audience) = self.vault.split_once('.').unwrap();
        let audience = format!("https://{audience}");
        let token = headers
            .get("authorization")
            .and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
        let text = match token.map(|token| self.tokens.get(token)) {
            None => Some("AKV10000: Request is missing a Bearer or PoP token."),
            Some(None) => Some("AKV10001: Token could not be read."),
            Some(Some(of)) if *of != audience => Some("AKV10022: Invalid audience."),
            Some(_) if self.trusted.is_some() => Some(
                "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/a/, found https://sts.windows.net/b/.",
            ),
            Some(_) => None,
        };
        if let Some(text) = text {
            let tenant = self.trusted.as_deref().unwrap_or(TENANT);
            let challenge =
                format!("Bearer authorization=\"https://login.windows.net/{tenant}\", resource=\"{audience}\"");
            let mut refused = refuse(401, "Unauthorized", text);
            refused
                .headers_mut()
                .insert("www-authenticate", HeaderValue::from_str(&challenge).unwrap());
            return refused;
        }
        let version = pairs(uri.query().unwrap_or_default());
        if version.get("api-version").map(String::as_str) != Some("7.4") {
            return refuse(400, "BadParameter", "api-version must be specified");
        }
        if let Some(inner) = self.forbidden {
            let body = json!({"error": {"code": "Forbidden", "innererror": {"code": inner},
                "message": "Caller is not authorized to perform action on resource.\r\nCaller: appid=a;oid=b"}});
            return answer(403, &body);
        }
        let name = uri.path().strip_prefix("/secrets/").unwrap_or_default();
        match (method == Method::GET, self.secrets.get(name)) {
            (false, _) => refuse(405, "MethodNotAllowed", "The method is not allowed."),
            (true, Some(Some(value))) => answer(
                200,
                &json!({"value": value, "id": format!("https://{}/secrets/{name}/4387e9f3d6e14c459867679a90fd0f79", self.vault),
                    "attributes": {"enabled": true, "created": 1_493_938_410, "updated": 1_493_938_410, "recoveryLevel": "Recoverable"}}),
            ),
            (true, Some(None)) => answer(
                403,
                &json!({"error": {"code": "Forbidden", "message": "Operation get is not allowed on a disabled secret.",
                    "innererror": {"code": "SecretDisabled"}}}),
            ),
            (true, None) => refuse(
                404,
                "SecretNotFound",
                &format!(
                    "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may \
                          be able to recover it using the correct recovery command."
                ),
            ),
        }
    }
}
