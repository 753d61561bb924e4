//! The log of requests, by which a test counts what a client asked for.

/// A request that the server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query, as it came.
    pub query: String,
    /// Who asked; empty when the token was unknown.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, …; empty outside the resources.
    pub verb: String,
    /// Plural name, with a subresource `pods/log`; empty outside the resources.
    pub resource: String,
    /// HTTP status of the answer; 0 while there is none.
    pub status: u16,
}
