#![doc = include_str!("../README.md")]

mod node;
mod server;

pub use node::{Exec, Node, PodRef};
pub use server::{ApiServer, CustomKind, Fault, Matcher, Request, Rule, Setting, User};
