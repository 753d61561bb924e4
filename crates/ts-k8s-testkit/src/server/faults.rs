//! What a test makes go wrong: which requests, how often, and how. Carrying it out is `handler`'s part.

use super::log::Request;

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this status and a `Status` body, before anything is done.
    Status {
        /// HTTP status, such as 429, 500, 503, 504.
        code: u16,
        /// Seconds of the header `Retry-After`.
        retry_after: Option<u32>,
    },
    /// The connection is reset before anything is done.
    ResetBefore,
    /// All is done, and the connection is reset instead of an answer.
    ResetAfter,
    /// Nothing is done, and no answer ever comes.
    Hang,
    /// All is done, and the connection is cut in the middle of the answer's body.
    CutBody,
    /// All is done, and the connection is cut behind so many bytes of the answer's body, which may be a stream.
    CutAfter(usize),
    /// All is done, and behind so many bytes of the answer's body nothing comes any more, nor does the connection end.
    StallAfter(usize),
    /// Nothing is done; a proxy in between answers with a web page and status 502.
    Html,
}

/// Which requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    verb: Option<String>,
    resource: Option<String>,
    path: Option<String>,
    query: Option<String>,
    user: Option<String>,
}

impl Matcher {
    /// All requests.
    pub fn any() -> Self {
        Self::default()
    }

    /// Of these, those with the verb, such as `create`, `deletecollection`, `watch`.
    #[must_use]
    pub fn verb(self, verb: &str) -> Self {
        Self {
            verb: Some(verb.to_owned()),
            ..self
        }
    }

    /// Of these, those for a resource, such as `jobs`, `pods/log`.
    #[must_use]
    pub fn resource(self, resource: &str) -> Self {
        Self {
            resource: Some(resource.to_owned()),
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

    /// Of these, those whose query contains the text, such as `continue=`.
    #[must_use]
    pub fn query(self, part: &str) -> Self {
        Self {
            query: Some(part.to_owned()),
            ..self
        }
    }

    /// Of these, those of the user.
    #[must_use]
    pub fn user(self, name: &str) -> Self {
        Self {
            user: Some(name.to_owned()),
            ..self
        }
    }

    pub(crate) fn matches(&self, request: &Request) -> bool {
        let holds = |part: &Option<String>, text: &str| part.as_deref().is_none_or(|part| text.contains(part));
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.verb, &request.verb)
            && is(&self.resource, &request.resource)
            && is(&self.user, &request.user)
            && holds(&self.path, &request.path)
            && holds(&self.query, &request.query)
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
