//! An answer, and the forms in which each part of the platform writes errors.

use crate::{clock, log::Area, world::uuid};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::Bytes;
use serde_json::{Value, json};

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Names and values of the headers `x-ms-meta-…` of a blob.
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            metadata: Vec::new(),
            body: body.to_string().into(),
        }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            metadata: Vec::new(),
            body: Bytes::new(),
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An error of Resource Manager itself.
    ///
    /// Source: "Common error response for all Azure Resource Manager APIs", `common-types/resource-management/v3/types.json`,
    /// `ErrorResponse`, in Azure/azure-rest-api-specs.
    pub(crate) fn arm(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, &json!({"error": {"code": code, "message": message.into()}}))
            // Source: Resource Manager answers failures so.
            .with("x-ms-failure-cause", "gateway")
    }

    /// An error of Azure ML behind Resource Manager.
    pub(crate) fn aml(status: u16, code: &str, message: impl Into<String>) -> Self {
        let info = |kind: &str, info: Value| json!({"type": kind, "info": {"value": info}});
        Self::json(
            status,
            &json!({"error": {
                "code": code,
                "message": message.into(),
                "details": [],
                "additionalInfo": [
                    info("ComponentName", json!("managementfrontend")),
                    info("Correlation", json!({"operation": uuid().replace('-', ""), "request": uuid()[..16]})),
                    info("Environment", json!("westeurope")),
                    info("Location", json!("westeurope")),
                    info("Time", json!(clock::text(clock::now()))),
                ],
            }}),
        )
    }

    /// An error of Entra ID.
    ///
    /// Source: "Microsoft Entra authentication and authorization error codes", Microsoft Learn.
    pub(crate) fn entra(status: u16, error: &str, number: u32, message: &str) -> Self {
        let (trace, correlation) = (uuid(), uuid());
        let at = clock::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        Self::json(
            status,
            &json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{number}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
                ),
                "error_codes": [number],
                "timestamp": at,
                "trace_id": trace,
                "correlation_id": correlation,
                "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
            }),
        )
    }

    /// An error of MLflow. Source: mlflow, `mlflow/exceptions.py`, `MlflowException.serialize_as_json`.
    pub(crate) fn mlflow(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, &json!({"error_code": code, "message": message.into()}))
    }

    /// An error of blob storage.
    ///
    /// Source: "Status and error codes" of Azure Storage, Microsoft Learn.
    pub(crate) fn blob(status: u16, code: &str, message: &str) -> Self {
        let request = uuid();
        let at = clock::text(clock::now());
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:{request}\n\
             Time:{at}</Message></Error>"
        );
        Self {
            status,
            headers: vec![
                ("content-type", "application/xml".to_owned()),
                ("x-ms-error-code", code.to_owned()),
            ],
            metadata: Vec::new(),
            body: body.into(),
        }
    }

    /// What an area says to a request that a test had refused.
    pub(crate) fn refused(area: Area, status: u16) -> Self {
        let (code, message) = match status {
            401 => (
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ),
            403 => (
                "AuthorizationFailed",
                "The client does not have authorization to perform action over scope.",
            ),
            404 => ("ResourceNotFound", "The Resource was not found."),
            409 => ("Conflict", "The resource is being changed by another request."),
            412 => ("PreconditionFailed", "The precondition failed."),
            429 => (
                "TooManyRequests",
                "The request is being throttled as the limit has been reached.",
            ),
            503 => ("ServiceUnavailable", "The service is temporarily unavailable."),
            504 => (
                "GatewayTimeout",
                "The gateway did not receive a response within the specified time period.",
            ),
            500.. => ("ServiceError", "InternalServerError"),
            _ => ("UserError", "The request is invalid."),
        };
        let reply = match area {
            Area::Blob => match status {
                403 => Self::blob(status, "AuthorizationPermissionMismatch", message),
                500 => Self::blob(status, "InternalError", message),
                503 => Self::blob(status, "ServerBusy", "The server is busy."),
                _ => Self::blob(status, code, message),
            },
            Area::Entra => Self::entra(
                status,
                "temporarily_unavailable",
                90_033,
                "A transient error has occurred.",
            ),
            Area::Imds => Self::json(
                status,
                &json!({"error": "too_many_requests", "error_description": message}),
            ),
            Area::Mlflow => Self::mlflow(status, code, message),
            Area::History | Area::Open => Self::aml(status, code, message),
            Area::Arm => Self::arm(status, code, message),
        };
        match status {
            401 => reply.with("www-authenticate", "Bearer error=\"invalid_token\""),
            _ => reply,
        }
    }

    /// What goes over the wire.
    pub(crate) fn response(self, head: bool) -> Response {
        let length = self.body.len();
        let body = if head { Body::empty() } else { Body::from(self.body) };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        for (name, value) in self.metadata {
            let name = HeaderName::try_from(format!("x-ms-meta-{name}"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        if head && !headers.contains_key("content-length") {
            headers.insert("content-length", HeaderValue::from(length));
        }
        response
    }
}
