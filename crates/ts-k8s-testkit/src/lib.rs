#![doc = include_str!("../README.md")]

mod kubelet;
mod node;
mod operators;
mod server;

pub use kubelet::{Kubelet, SharedVolume};
pub use node::{Exec, Node, PodRef};
pub use operators::{Generation, InstallError, Minor, Operators, Options, install_crds};
pub use server::{ApiServer, CustomKind, Fault, Gate, Matcher, Request, Rule, Setting, User};
