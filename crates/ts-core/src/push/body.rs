//! The body of a request: the token first, then no more than a piece. Who has no token cannot fill our memory.

use super::token;
use crate::Secret;
use http_body_util::BodyExt as _;
use hyper::{
    StatusCode,
    body::{Body, Bytes},
};

/// Longest piece in bytes, and longest body, in which it may be hexadecimal with blanks between.
const MOST_PIECE: usize = 1 << 20;
const MOST_BODY: usize = token::LENGTH + 1 + 4 * MOST_PIECE;

/// What follows the token; the status of the refusal otherwise.
pub(super) async fn read<B>(mut body: B, token: &Secret) -> Result<Vec<u8>, StatusCode>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut held = Vec::new();
    let mut is_known = false;
    while let Some(frame) = body.frame().await {
        // The connection was cut: nothing of it counts.
        let Ok(frame) = frame else {
            return Err(StatusCode::BAD_REQUEST);
        };
        let Ok(data) = frame.into_data() else { continue };
        if held.len() + data.len() > MOST_BODY {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        held.extend_from_slice(&data);
        if !is_known && held.len() >= token::LENGTH {
            if !token::is_same(token, &held[..token::LENGTH]) {
                return Err(StatusCode::UNAUTHORIZED);
            }
            is_known = true;
        }
    }
    if !is_known {
        return Err(StatusCode::UNAUTHORIZED);
    }
    match held.split_off(token::LENGTH).split_first() {
        None => Ok(Vec::new()),
        Some((b'\n', piece)) => Ok(piece.to_vec()),
        Some(_) => Err(StatusCode::UNAUTHORIZED),
    }
}
