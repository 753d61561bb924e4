//! What has been issued: access tokens with audience and end, tokens for refreshing, device codes.

use crate::{clock, world::uuid};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;
use std::{collections::HashMap, time::Duration};

/// A service for which tokens are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Arm,
    AzureMl,
    Storage,
}

impl Audience {
    /// The service that a resource names. A slash at the end makes no difference in a scope.
    ///
    /// Clients ask for Resource Manager by the address that the document about clouds gives, which is `base`.
    pub(crate) fn of(base: &str, resource: &str) -> Option<Self> {
        match resource.trim_end_matches('/') {
            resource if resource == base => Some(Self::Arm),
            "https://management.azure.com" | "https://management.core.windows.net" => Some(Self::Arm),
            "https://ml.azure.com" => Some(Self::AzureMl),
            "https://storage.azure.com" => Some(Self::Storage),
            _ => None,
        }
    }
}

/// An access token.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) audience: Audience,
    pub(crate) resource: String,
    pub(crate) until: Timestamp,
}

/// What became of a device code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Pending,
    Approved,
    Declined,
}

/// A device code.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) code: String,
    pub(crate) user_code: String,
    pub(crate) scope: String,
    pub(crate) until: Timestamp,
    pub(crate) polled: Option<Timestamp>,
    pub(crate) interval: u64,
    /// The next poll is too early, whenever it comes.
    pub(crate) is_hurried: bool,
    pub(crate) decision: Decision,
}

/// All that was issued.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    access: HashMap<String, Issued>,
    /// What a token for refreshing is good for: a scope.
    pub(crate) refresh: HashMap<String, String>,
    pub(crate) devices: Vec<Device>,
}

/// A token in the form of a JSON web token, whose end clients read.
///
/// Source: azureml-mlflow 1.62.0, `_common/_authentication/azureml_token_authentication.py`, which decodes the token of a run.
pub(crate) fn jwt(audience: &str, until: Timestamp) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(json!({"typ": "JWT", "alg": "RS256"})),
        part(json!({"aud": audience, "exp": until.as_second(), "jti": uuid()})),
        URL_SAFE_NO_PAD.encode(uuid())
    )
}

/// What is wrong with an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bad {
    Unknown,
    Expired,
    Audience(String),
}

impl Tokens {
    /// Issues an access token.
    pub(crate) fn issue(&mut self, audience: Audience, resource: &str, life: Duration) -> String {
        let until = clock::after(life);
        let token = jwt(resource, until);
        let issued = Issued {
            audience,
            resource: resource.to_owned(),
            until,
        };
        self.access.insert(token.clone(), issued);
        token
    }

    /// Whether a token is good for one of these services now.
    pub(crate) fn check(&self, token: &str, audience: Audience) -> Result<(), Bad> {
        let issued = self.access.get(token).ok_or(Bad::Unknown)?;
        if issued.audience != audience {
            return Err(Bad::Audience(issued.resource.clone()));
        }
        if issued.until <= clock::now() {
            return Err(Bad::Expired);
        }
        Ok(())
    }

    /// Ends all access tokens now.
    pub(crate) fn expire(&mut self) {
        let now = clock::now();
        for issued in self.access.values_mut() {
            issued.until = now;
        }
    }
}
