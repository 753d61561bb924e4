//! The operators of the job kinds, played as clients of an API server: what a cluster has besides Kubernetes itself.
//!
//! Each kind is an engine, a pure function from what is there to what is to be done ([`plan`]); one runner watches, keeps
//! copies and carries out ([`run`]). Deliberately elsewhere: the API server, and whoever runs the pods.

mod act;
mod framework;
mod install;
mod job;
mod kubeflow;
mod options;
mod plan;
mod pods;
mod run;
mod store;
mod trainjob;
mod value;

pub use install::{InstallError, install_crds};
pub use options::{Generation, Minor, Options};
pub use run::Operators;
