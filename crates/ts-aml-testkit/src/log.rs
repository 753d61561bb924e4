//! The log of requests, by which a test counts what a client asked for.

/// A part of the platform, as an address tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// Entra ID.
    Entra,
    /// Managed identities of machines and of App Service.
    Imds,
    /// Azure Resource Manager with the provider of Azure ML.
    Arm,
    /// Run history and native metrics.
    History,
    /// MLflow.
    Mlflow,
    /// Blob storage.
    Blob,
    /// Documents for everybody: discovery and clouds.
    Open,
}

/// A request that the server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it is for.
    pub area: Area,
    /// HTTP method.
    pub method: String,
    /// Path without the query, as it came.
    pub path: String,
    /// Query, as it came.
    pub query: String,
    /// Body, where it is text.
    pub body: String,
    /// HTTP status of the answer; 0 while there is none.
    pub status: u16,
}
