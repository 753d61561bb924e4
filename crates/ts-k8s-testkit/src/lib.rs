#![doc = include_str!("../README.md")]

mod kubelet;
mod node;
mod server;

pub use kubelet::{Kubelet, SharedVolume};
pub use node::{Exec, Node, PodRef};
pub use server::{ApiServer, CustomKind, Fault, Matcher, Request, Rule, Setting, User};
