//! FrameworkController: a state machine over the attempts of a Framework and, below it, the attempts of its tasks.

mod completion;
mod engine;
mod make;
mod policy;
mod tasks;
mod types;

pub(super) use engine::Frameworks;
