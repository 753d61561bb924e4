//! Which operators run, and which release of them they play.

use std::str::FromStr;

/// Which operators to start. [`Options::default`] starts none.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The controller of `batch/v1` Jobs. Only for a server that comes without one.
    pub job: bool,
    /// Minor version of the server, on which the Job controller depends. Default: what the server says of itself.
    pub server_minor: Option<u32>,
    /// The operator of TFJobs.
    pub tf: Option<Generation>,
    /// The operator of PyTorchJobs.
    pub pytorch: Option<Generation>,
    /// Image of the init container in which workers of a PyTorchJob wait for the name of their master. Default: no such
    /// container, since it needs an image with `nslookup`.
    pub init_image: Option<String>,
    /// FrameworkController.
    pub frameworks: bool,
    /// Kubeflow Trainer.
    pub trainer: Option<Minor>,
    /// The only namespace to look at. Default: all.
    pub namespace: Option<String>,
}

/// Which of Kubeflow's operators runs a TFJob or PyTorchJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// tf-operator or pytorch-operator 1.0: serves `v1beta2` and `v1`, limits at the top of the spec.
    Old,
    /// training-operator 1.9: serves `v1`, limits in `spec.runPolicy`.
    TrainingOperator,
}

impl FromStr for Generation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "old" => Ok(Self::Old),
            "training-operator" => Ok(Self::TrainingOperator),
            _ => Err(format!("`{text}` is neither `old` nor `training-operator`")),
        }
    }
}

/// Minor release of Kubeflow Trainer 2. They differ in how a TrainJob changes the pods of its runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Minor {
    /// 2.0: `podSpecOverrides`.
    V2_0,
    /// 2.1: `podTemplateOverrides`.
    V2_1,
    /// 2.2 and later: `runtimePatches`, `activeDeadlineSeconds`.
    V2_2,
}

impl FromStr for Minor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2.0" => Ok(Self::V2_0),
            "2.1" => Ok(Self::V2_1),
            "2.2" => Ok(Self::V2_2),
            _ => Err(format!("`{text}` is none of `2.0`, `2.1`, `2.2`")),
        }
    }
}
