//! The server's refusals: a `Status` body for each, worded as the real server words it. When something is refused is decided
//! elsewhere.
//!
//! Source of all texts: answers of kube-apiserver v1.20.2, observed.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

/// One field's problem, an entry of `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Such as `FieldValueInvalid`.
    pub(crate) reason: &'static str,
    /// What is wrong with it, without the field.
    pub(crate) message: String,
    /// Path of the field, as in `spec.containers[0].name`.
    pub(crate) field: String,
}

impl Cause {
    /// The value, already in Go's notation, is not acceptable.
    pub(crate) fn invalid(field: impl Into<String>, value: impl std::fmt::Display, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value}: {why}"),
            field: field.into(),
        }
    }

    /// A text is not acceptable.
    pub(crate) fn text(field: impl Into<String>, value: &str, why: &str) -> Self {
        Self::invalid(field, format_args!("{value:?}"), why)
    }

    /// It is missing; `why` may be empty.
    pub(crate) fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Self {
            reason: "FieldValueRequired",
            message,
            field: field.into(),
        }
    }

    /// Two of a list share what must differ.
    pub(crate) fn duplicate(field: impl Into<String>, value: &str) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {value:?}"),
            field: field.into(),
        }
    }

    /// It names something that is not there.
    pub(crate) fn not_found(field: impl Into<String>, value: &str) -> Self {
        Self {
            reason: "FieldValueNotFound",
            message: format!("Not found: {value:?}"),
            field: field.into(),
        }
    }

    /// It is none of the known values.
    pub(crate) fn not_supported(field: impl Into<String>, value: &str, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
        let message = format!("Unsupported value: {value:?}: supported values: {}", known.join(", "));
        Self {
            reason: "FieldValueNotSupported",
            message,
            field: field.into(),
        }
    }

    /// It must not be there, or must not change.
    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
            field: field.into(),
        }
    }

    /// It holds too many bytes.
    pub(crate) fn too_long(field: impl Into<String>, most: usize) -> Self {
        let message = format!("Too long: must have at most {most} bytes");
        Self {
            reason: "FieldValueTooLong",
            message,
            field: field.into(),
        }
    }

    fn json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// HTTP status.
    pub(crate) code: u16,
    /// Such as `NotFound`; a few of the server's own failures have none.
    pub(crate) reason: Option<&'static str>,
    /// For people.
    pub(crate) message: String,
    /// `details` of the body.
    details: Option<Box<Value>>,
    /// `metadata.continue` of the body, where an expired list goes on.
    pub(crate) proceed: Option<String>,
    /// Seconds of the header `Retry-After`.
    pub(crate) retry_after: Option<u32>,
    /// The body is `text/plain`, as from what answers before any API.
    plain: bool,
}

impl Failure {
    /// A refusal with this HTTP status and reason.
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        let message = message.into();
        Self {
            code,
            reason,
            message,
            details: None,
            proceed: None,
            retry_after: None,
            plain: false,
        }
    }

    /// With these details.
    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// No such object. `resource` is plural, qualified with its group when it has one.
    pub(crate) fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(plural, group));
        Self::new(404, "NotFound", message).with(about(group, plural, name))
    }

    /// Nothing is served under a group and version that exist.
    pub(crate) fn unknown_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with(json!({}))
    }

    /// Nothing is served at this path: the kind is not installed.
    pub(crate) fn page_not_found() -> Self {
        Self {
            plain: true,
            ..Self::new(404, "", "404 page not found\n")
        }
    }

    /// The method does not apply to the path.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).with(json!({}))
    }

    /// An object of the name exists.
    pub(crate) fn already_exists(group: &str, plural: &str, name: &str, being_deleted: bool) -> Self {
        let before = if being_deleted { "object is being deleted: " } else { "" };
        let message = format!("{before}{} {name:?} already exists", qualified(plural, group));
        Self::new(409, "AlreadyExists", message).with(about(group, plural, name))
    }

    /// The write was based on what is no longer so.
    pub(crate) fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            qualified(plural, group)
        );
        Self::new(409, "Conflict", message).with(about(group, plural, name))
    }

    /// The object breaks rules; all of them are told.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for cause in causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let all = if lines.len() == 1 {
            lines.concat()
        } else {
            format!("[{}]", lines.join(", "))
        };
        let mut details = about(group, kind, name);
        details["causes"] = causes.iter().map(Cause::json).collect();
        Self::new(
            422,
            "Invalid",
            format!("{} {name:?} is invalid: {all}", qualified(kind, group)),
        )
        .with(details)
    }

    /// Admission or authorization says no. `name` is empty for collections.
    pub(crate) fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = qualified(plural, group);
        let subject = if name.is_empty() {
            what
        } else {
            format!("{what} {name:?}")
        };
        Self::new(403, "Forbidden", format!("{subject} is forbidden: {why}")).with(about(group, plural, name))
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The token is unknown.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// The version has been compacted away.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// Adds a cause that names no field's problem but a state, as `NamespaceTerminating`.
    pub(crate) fn because(mut self, cause: &Value) -> Self {
        if let Some(details) = &mut self.details {
            details["causes"] = json!([cause]);
        }
        self
    }

    /// The body.
    pub(crate) fn status(&self) -> Value {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message});
        if let Some(token) = &self.proceed {
            body["metadata"]["continue"] = token.clone().into();
        }
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        if let Some(details) = &self.details {
            body["details"] = (**details).clone();
        }
        if let Some(seconds) = self.retry_after {
            body["details"]["retryAfterSeconds"] = seconds.into();
        }
        body["code"] = self.code.into();
        body
    }

    /// The whole answer.
    pub(crate) fn response(&self) -> Response {
        let (kind, body) = if self.plain {
            ("text/plain; charset=utf-8", self.message.clone())
        } else {
            ("application/json", self.status().to_string())
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind.parse().expect("a header value"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// `jobs.batch`, or `pods` of the group without a name.
pub(crate) fn qualified(what: &str, group: &str) -> String {
    if group.is_empty() {
        what.to_owned()
    } else {
        format!("{what}.{group}")
    }
}

/// `details`, with empty parts left out as the real server does.
fn about(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details[key] = value.into();
        }
    }
    details
}
