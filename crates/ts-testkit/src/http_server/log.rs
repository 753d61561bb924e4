//! What a server was asked for.

use axum::http::{Method, Uri};
use std::sync::{Mutex, PoisonError};

/// Method and address of each request, in order.
#[derive(Debug, Default)]
pub struct RequestLog {
    lines: Mutex<Vec<String>>,
}

impl RequestLog {
    /// Notes a request.
    pub fn note(&self, method: &Method, uri: &Uri) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(format!("{method} {uri}"));
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How many requests had this method and this in their path or query.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_one = |line: &&String| {
            line.split_once(' ')
                .is_some_and(|(own, uri)| own == method && uri.contains(part))
        };
        lines.iter().filter(is_one).count()
    }
}
