//! Kubeflow Trainer 2: TrainJobs from training runtimes. The JobSet and the Job that stand between a TrainJob and its pods in a
//! cluster are not made here, since they need operators and servers of their own; the pods are as if they were.

mod engine;
mod merge;
mod runtime;

pub(super) use engine::TrainJobs;
