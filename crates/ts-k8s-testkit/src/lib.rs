#![doc = include_str!("../README.md")]

mod kubelet;
mod node;

pub use kubelet::{Kubelet, SharedVolume};
pub use node::{Exec, Node, PodRef};
