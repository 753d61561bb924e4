//! HTTP for platforms (feature `http`): one client with the error model's retries, limits kept before the server asks, tokens
//! renewed in time, and nothing secret in what it says.
//!
//! A platform builds a [`Request`], sends it with [`HttpClient::send`], and turns the [`Reply`] into a value or an [`crate::Error`] in its own
//! `error.rs`. It writes no loop of its own.

mod client;
mod limit;
mod reply;
mod request;
#[cfg(test)]
mod test_server;
mod tls;
mod token;

pub use client::{HttpClient, HttpSettings};
pub use limit::RateLimit;
pub use reply::Reply;
pub use request::{Request, shown};
pub use reqwest::{Method, StatusCode, Url, header};
pub use token::{Token, TokenSource, Tokens};
