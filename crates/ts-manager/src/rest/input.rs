//! What comes in: queries and bodies, with errors in our own words.

use super::{error::Failure, state::State};
use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::time::Duration;
use ts_core::{Error, ErrorKind, Result};

/// Longest body in bytes; as NNI's, whose imports may be long.
///
/// Source: nni v3.0, `ts/nni_manager/rest_server/index.ts`: `bodyParser.json({ limit: '50mb' })`.
pub(super) const LONGEST: usize = 50 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The query of an address. Unknown names are refused where its type says so.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Params<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Failure> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|e| {
            let text = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            Failure(Error::new(
                ErrorKind::Config,
                format!("the query is not understood: {text}"),
            ))
        })
    }
}

/// A JSON body.
pub(super) struct Document<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<State> for Document<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, state: &State) -> Result<Self, Failure> {
        let body = body(request.into_body(), state).await?;
        Ok(Self(parse(&body)?))
    }
}

/// A body as a document.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| Error::new(ErrorKind::Config, format!("the body is not understood: {e}")))
}

/// All of a body that is neither too long nor too slow.
pub(super) async fn body(body: Body, state: &State) -> Result<Bytes> {
    let too_long = || {
        Error::new(
            ErrorKind::Rejected,
            format!("the body has more than {} MiB", LONGEST >> 20),
        )
    };
    if body.size_hint().lower() > LONGEST as u64 {
        return Err(too_long());
    }
    let mut all = BytesMut::new();
    let mut pieces = body.into_data_stream();
    let read = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|e| Error::new(ErrorKind::Protocol, "the body broke off").with_source(e))?;
            if all.len() + piece.len() > LONGEST {
                return Err(too_long());
            }
            all.extend_from_slice(&piece);
        }
        Ok(())
    };
    tokio::select! {
        read = read => read?,
        () = state.ctx.clock.sleep(PATIENCE) => {
            return Err(Error::new(ErrorKind::TimedOut, "the body did not come within 30 s"));
        }
    }
    Ok(all.freeze())
}

/// A member of a patch: what is missing stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Patched<T> {
    /// It is missing.
    #[default]
    Same,
    /// It is there, null included.
    New(T),
}

impl<T> Patched<T> {
    pub(super) fn or(self, old: T) -> T {
        match self {
            Self::Same => old,
            Self::New(new) => new,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patched<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::New)
    }
}
