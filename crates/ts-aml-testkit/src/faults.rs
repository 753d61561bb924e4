//! What a test makes go wrong: which requests, how often, and how. Carrying it out is `handler`'s part.

use crate::log::{Area, Request};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this status and an error in the form of the area, before anything is done.
    Status {
        /// HTTP status, such as 401, 403, 409, 500, 503.
        code: u16,
        /// Seconds of the header `Retry-After`.
        retry_after: Option<u32>,
    },
    /// 429 of Resource Manager: `Retry-After`, and the header of what remains says 0.
    ThrottledByArm {
        /// Seconds of the header `Retry-After`.
        retry_after: u32,
    },
    /// 429 of the service behind it: no header at all.
    ThrottledByService,
    /// The connection is reset before anything is done.
    ResetBefore,
    /// All is done, and the connection is reset instead of an answer.
    ResetAfter,
    /// Nothing is done, and no answer ever comes.
    Hang,
    /// All is done, and the connection is cut in the middle of the answer's body.
    CutBody,
    /// Nothing is done; a proxy in between answers with a web page and status 502.
    Html,
    /// All is done, later.
    Slow(Duration),
}

/// Which requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    area: Option<Area>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
}

impl Matcher {
    /// All requests.
    pub fn any() -> Self {
        Self::default()
    }

    /// Of these, those to a part of the platform.
    #[must_use]
    pub fn area(self, area: Area) -> Self {
        Self {
            area: Some(area),
            ..self
        }
    }

    /// Of these, those with the HTTP method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            ..self
        }
    }

    /// Of these, those whose path contains the text.
    #[must_use]
    pub fn path(self, part: &str) -> Self {
        Self {
            path: Some(part.to_owned()),
            ..self
        }
    }

    /// Of these, those whose query contains the text.
    #[must_use]
    pub fn query(self, part: &str) -> Self {
        Self {
            query: Some(part.to_owned()),
            ..self
        }
    }

    /// Whether a request is one of them.
    pub fn matches(&self, request: &Request) -> bool {
        self.area.is_none_or(|area| area == request.area)
            && self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.path.as_ref().is_none_or(|part| request.path.contains(part))
            && self.query.as_ref().is_none_or(|part| request.query.contains(part))
    }
}

/// A fault that waits for its requests.
#[derive(Debug, Clone)]
pub(crate) struct Armed {
    pub(crate) matcher: Matcher,
    pub(crate) fault: Fault,
    pub(crate) times: usize,
}

/// Takes the fault that is due for a request.
pub(crate) fn take(armed: &mut Vec<Armed>, request: &Request) -> Option<Fault> {
    let index = armed.iter().position(|one| one.matcher.matches(request))?;
    armed[index].times -= 1;
    let fault = armed[index].fault.clone();
    if armed[index].times == 0 {
        armed.remove(index);
    }
    Some(fault)
}
