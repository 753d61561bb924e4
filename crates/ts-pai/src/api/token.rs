//! Where tokens come from: the configuration, or a password that is exchanged for them.

use crate::{Credential, error};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use ts_core::{
    Result, Secret, SecretSource,
    http::{HttpClient, Method, RateLimit, Reply, Request, Token, TokenSource, Url},
};

/// How long tokens for a password are made to live, in seconds; the server takes 60 to 604800.
///
/// Source: microsoft/pai v1.8, `src/rest-server/src/config/token.js`.
const LIFE: u32 = 86_400;
/// When they are replaced.
const RENEW: Duration = Duration::from_hours(12);

/// Gets tokens for a user.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) client: HttpClient,
    pub(super) base: Url,
    pub(super) user: String,
    pub(super) credential: Credential,
    pub(super) secrets: Arc<dyn SecretSource>,
    pub(super) all: Arc<RateLimit>,
}

#[derive(Serialize)]
struct Form<'a> {
    username: &'a str,
    password: &'a str,
    expiration: u32,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
}

#[async_trait]
impl TokenSource for Login {
    async fn fetch(&self) -> Result<Token> {
        let password = match &self.credential {
            Credential::Token(token) => {
                // Looked up again each time: a file may hold a newer one.
                let value = token.resolve(&*self.secrets).await.map_err(|e| e.with_key("token"))?;
                return Ok(Token {
                    value: Secret::new(value.expose().trim()),
                    renew_after: None,
                });
            }
            Credential::Password(password) => password
                .resolve(&*self.secrets)
                .await
                .map_err(|e| e.with_key("passWord"))?,
        };
        // The route of all versions; the newer ones have it beside `authn/basic/login`.
        let request = Request::new("log in", Method::POST, super::url(&self.base, &["api", "v1", "token"]))
            .repeatable()
            .limited_by(&self.all)
            .with_secret(&password)
            .with_json(&Form {
                username: &self.user,
                password: password.expose(),
                expiration: LIFE,
            })?;
        let read = |reply: Reply| {
            if !reply.is_success() {
                return Err(error::of_reply(&reply));
            }
            reply.json::<Answer>()
        };
        let answer = self.client.send(&request, read).await?;
        Ok(Token {
            value: Secret::new(answer.token),
            renew_after: Some(RENEW),
        })
    }
}
