//! Kubeflow's operators of TFJobs and PyTorchJobs: the old ones, one for each kind, and their common successor.

mod children;
mod conditions;
mod dialect;
mod engine;
mod limits;
mod spec;
mod status;

pub(super) use dialect::Dialect;
pub(super) use engine::Trainings;
