#![doc = include_str!("../README.md")]

mod node;
mod operators;

pub use node::{Exec, Node, PodRef};
pub use operators::{Generation, InstallError, Minor, Operators, Options, install_crds};
