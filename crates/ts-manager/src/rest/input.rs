//! What comes in: names in addresses, queries and bodies, with errors in our own words.

use super::{
    error::{Failure, nothing_here},
    state::State,
};
use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData, time::Duration};
use ts_core::{Error, ErrorKind, Result};

/// Longest body in bytes; as NNI's, whose imports may be long.
///
/// Source: nni v3.0, `ts/nni_manager/rest_server/index.ts`: `bodyParser.json({ limit: '50mb' })`.
pub(super) const LONGEST: usize = 50 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The names in an address. What is no text names nothing.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Named<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(nothing_here(&parts.uri).into()),
        }
    }
}

/// A whole number, `3.0` of a document too; refused outside of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole<const LEAST: u64, const MOST: u64>(u64);

impl<const LEAST: u64, const MOST: u64> Whole<LEAST, MOST> {
    pub(super) fn get(self) -> u64 {
        self.0
    }
}

impl<const LEAST: u64, const MOST: u64> From<Whole<LEAST, MOST>> for u32 {
    fn from(whole: Whole<LEAST, MOST>) -> Self {
        const { assert!(MOST <= u32::MAX as u64, "the bounds are those of the type") };
        Self::try_from(whole.0).unwrap_or(Self::MAX)
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Bounds::<LEAST, MOST>)
    }
}

struct Bounds<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> Visitor<'_> for Bounds<LEAST, MOST> {
    type Value = Whole<LEAST, MOST>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {LEAST} to {MOST}")
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        match number {
            number if (LEAST..=MOST).contains(&number) => Ok(Whole(number)),
            other => Err(E::invalid_value(Unexpected::Unsigned(other), &self)),
        }
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.fract() == 0.0 && (0.0..TOO_GREAT).contains(&number) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and fits"
            )]
            return self.visit_u64(number as u64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

/// The first number that `u64` does not hold.
const TOO_GREAT: f64 = 18_446_744_073_709_551_616.0;

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

/// An object, and nothing else that could be read as one: a list of the members' values is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
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
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Patched<U> {
        match self {
            Self::Same => Patched::Same,
            Self::New(new) => Patched::New(f(new)),
        }
    }
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
