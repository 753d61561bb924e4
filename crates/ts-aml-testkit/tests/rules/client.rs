//! A client that knows HTTP and nothing else: one connection for each request.

use serde_json::{Value, json};
use std::io;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use ts_aml_testkit::{AmlServer, Setting};

/// The version that is asked for.
pub(crate) const VERSION: &str = "api-version=2024-10-01";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// An error of this status and code; its message.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        let body = self.expect(status);
        assert_eq!(body["error"]["code"], code, "{body}");
        body["error"]["message"].as_str().expect("a message").to_owned()
    }

    /// An error of Entra ID.
    #[track_caller]
    pub(crate) fn entra(&self, status: u16, error: &str, number: u32) {
        let body = self.expect(status);
        assert_eq!(body["error"], error, "{body}");
        assert_eq!(body["error_codes"][0], number, "{body}");
        let text = body["error_description"].as_str().expect("a description");
        assert!(text.starts_with(&format!("AADSTS{number}: ")), "{text}");
    }

    /// An error of blob storage.
    #[track_caller]
    pub(crate) fn blob(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.header("x-ms-error-code")),
            (status, Some(code)),
            "{}",
            self.text()
        );
        if status != 304 {
            assert!(self.text().contains(&format!("<Code>{code}</Code>")), "{}", self.text());
        }
    }
}

/// Sends one request; an error if the connection breaks before the answer is whole.
pub(crate) async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let rest = url.strip_prefix("http://").expect("an address");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).await?;
    let mut head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    stream.write_all(body).await?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    let end = all.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let answer = Answer {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: all[end + 4..].to_vec(),
    };
    if method == "HEAD" || answer.status == 304 {
        return Ok(answer);
    }
    match answer.header("content-length") {
        Some(length) if *length != *answer.body.len().to_string() => Err(io::ErrorKind::UnexpectedEof.into()),
        // In chunks, of which the last is empty; only a cut answer comes so.
        None if answer.header("transfer-encoding").is_some() => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

/// A server and a token for it.
pub(crate) struct World {
    pub(crate) server: AmlServer,
    pub(crate) token: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Setting)) -> Self {
        let mut setting = Setting::default();
        change(&mut setting);
        let server = AmlServer::start(setting).await.expect("a server");
        let token = token(&server, "https://management.azure.com").await;
        Self { server, token }
    }

    /// Asks Resource Manager for something of the workspace.
    pub(crate) async fn arm(&self, method: &str, path: &str, body: &Value) -> Answer {
        let joint = if path.contains('?') { "&" } else { "?" };
        let url = format!(
            "{}{}{path}{joint}{VERSION}",
            self.server.arm(),
            self.server.workspace_path()
        );
        self.ask(method, &url, body).await
    }

    /// Asks a service of the region for something of the workspace.
    pub(crate) async fn region(&self, method: &str, service: &str, path: &str, body: &Value) -> Answer {
        let url = format!("{}/{service}{}{path}", self.server.arm(), self.server.workspace_path());
        self.ask(method, &url, body).await
    }

    /// Asks with the token.
    pub(crate) async fn ask(&self, method: &str, url: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        send(method, url, &headers, body.as_bytes()).await.expect("an answer")
    }

    /// Id of an environment that is registered.
    pub(crate) async fn environment(&self) -> String {
        let body = json!({"properties": {"image": "python:3.11", "osType": "Linux"}});
        let answer = self.arm("PUT", "/environments/python/versions/1", &body).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// The body of a job with this command.
    pub(crate) async fn job(&self, command: &str) -> Value {
        json!({"properties": {
            "jobType": "Command",
            "command": command,
            "environmentId": self.environment().await,
            "computeId": format!("{}/computes/cpu-cluster", self.server.workspace_path()),
            "experimentName": "tests",
        }})
    }

    /// Submits a job.
    pub(crate) async fn submit(&self, name: &str, command: &str) -> Value {
        let body = self.job(command).await;
        self.arm("PUT", &format!("/jobs/{name}"), &body).await.expect(201)
    }

    /// The run of a job in run history.
    pub(crate) async fn run(&self, name: &str) -> Value {
        self.region("GET", "history/v1.0", &format!("/runs/{name}"), &Value::Null)
            .await
            .expect(200)
    }

    /// All that a job has written to its log.
    pub(crate) async fn log(&self, name: &str) -> String {
        let details = self
            .region("GET", "history/v1.0", &format!("/runs/{name}/details"), &Value::Null)
            .await
            .expect(200);
        let url = details["logFiles"]["user_logs/std_log.txt"]
            .as_str()
            .expect("a log file")
            .to_owned();
        send("GET", &url, &[], b"").await.expect("an answer").text()
    }
}

/// A token for a resource.
pub(crate) async fn token(server: &AmlServer, resource: &str) -> String {
    let setting = server.setting();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &setting.client_id),
        ("client_secret", &setting.client_secret),
        ("scope", &format!("{resource}/.default")),
    ];
    let answer = entra(server, &form).await.expect(200);
    answer["access_token"].as_str().expect("a token").to_owned()
}

/// Asks for a token with this form.
pub(crate) async fn entra(server: &AmlServer, form: &[(&str, &str)]) -> Answer {
    let url = format!("{}/{}/oauth2/v2.0/token", server.login(), server.setting().tenant);
    post_form(&url, form).await
}

pub(crate) async fn post_form(url: &str, form: &[(&str, &str)]) -> Answer {
    let escape = |text: &str| {
        text.replace('%', "%25")
            .replace('&', "%26")
            .replace('+', "%2B")
            .replace(' ', "+")
    };
    let form: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    send("POST", url, &headers, form.join("&").as_bytes())
        .await
        .expect("an answer")
}
