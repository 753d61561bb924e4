//! express-rate-limit 5.1.1 as the server uses it: a counter for each key that is reset at the end of a fixed window.
//!
//! Sources: microsoft/pai v1.8, `src/rest-server/src/config/rate-limit.js`; express-rate-limit 5.1.1, `lib/express-rate-limit.js` and
//! `lib/memory-store.js`: the window is the store's, not the key's; failed requests count too.

#![expect(clippy::result_large_err, reason = "a refusal is an answer; there are few")]

use axum::{
    http::{HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[derive(Debug)]
pub(crate) struct Limiter {
    most: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    counts: HashMap<String, u32>,
    reset: Duration,
}

#[expect(clippy::disallowed_methods, reason = "the server has a clock of its own")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

impl Limiter {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self {
            most,
            window,
            state: Mutex::new(State {
                counts: HashMap::new(),
                reset: now() + window,
            }),
        }
    }

    /// Counts a request; `Err`: the refusal. `Ok`: what is left, and when the window ends.
    pub(crate) fn count(&self, key: &str) -> Result<(u32, u32, u64), Response> {
        let mut state = self.state.lock().expect("no panic");
        if now() >= state.reset {
            state.counts.clear();
            state.reset = now() + self.window;
        }
        let reset = state.reset;
        let count = state.counts.entry(key.to_owned()).or_default();
        *count += 1;
        if *count > self.most {
            let left = reset.saturating_sub(now()).as_secs();
            return Err(refusal(self.most, left, self.window.as_secs()));
        }
        Ok((self.most, self.most - *count, reset.as_secs()))
    }
}

/// What a limiter says in the headers of an answer.
pub(crate) fn tell(response: &mut Response, (limit, remaining, reset): (u32, u32, u64)) {
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", HeaderValue::from(limit));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(remaining));
    headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
}

/// Plain text, and `Retry-After` is the whole window, not what is left of it.
pub(crate) fn refusal(limit: u32, left: u64, window: u64) -> Response {
    let text = "Too many requests, please try again later.";
    let mut response = (StatusCode::TOO_MANY_REQUESTS, text).into_response();
    tell(&mut response, (limit, 0, now().as_secs() + left));
    response.headers_mut().insert("retry-after", HeaderValue::from(window));
    response
}
