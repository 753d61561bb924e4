//! What an experiment wants of NNI's Python package: values only.

use serde_json::{Map, Value};
use std::path::PathBuf;

/// Where the class of an algorithm comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// One that NNI knows by name: built in, or registered with `nnictl algo register`.
    Named(String),
    /// One of the user's own.
    Own {
        /// Dotted path, such as `tuners.mine.MyTuner`.
        class_name: String,
        /// Directory that the path starts from; absolute.
        code_directory: PathBuf,
    },
}

/// A tuner, an assessor or an advisor.
#[derive(Debug, Clone, PartialEq)]
pub struct Algorithm {
    /// Configuration key of its section, `tuner`, `assessor` or `advisor`.
    pub key: String,
    /// The class.
    pub class: Class,
    /// Arguments of its constructor.
    pub class_args: Map<String, Value>,
}

impl Algorithm {
    /// What a person calls it.
    pub fn name(&self) -> &str {
        match &self.class {
            Class::Named(name) => name,
            Class::Own { class_name, .. } => class_name,
        }
    }

    /// Whether it is tuner and assessor in one. Configurations since NNI 2.6 name advisors as tuners, which older releases are
    /// not to be told.
    pub(crate) fn is_advisor(&self) -> bool {
        self.key == "advisor" || self.is_one_of(&["Hyperband", "BOHB"])
    }

    /// Whether it always has more, so that its "no more" means "not yet".
    ///
    /// Source: nni v1.9, v2.10 and v3.0, `NoMoreTrialError` and `NoMoreTrialJobs` below `nni/algorithms/hpo`.
    pub(crate) fn is_endless(&self) -> bool {
        self.is_one_of(&[
            "Hyperband",
            "BOHB",
            "Evolution",
            "PBT",
            "PBTTuner",
            "PPO",
            "PPOTuner",
            "RegularizedEvolutionTuner",
        ])
    }

    /// Later releases take a name in any case.
    fn is_one_of(&self, names: &[&str]) -> bool {
        matches!(&self.class, Class::Named(own) if names.iter().any(|name| own.eq_ignore_ascii_case(name)))
    }
}

/// What an experiment wants of NNI's Python package.
#[derive(Debug, Clone)]
pub struct NniSpec {
    /// Python that has the package: a path or a name. Default: `python3`, else `python`, of the path.
    pub python: Option<String>,
    /// Where parameters come from: a tuner or an advisor.
    pub tuner: Algorithm,
    /// What stops poor trials early.
    pub assessor: Option<Algorithm>,
    /// The search space, `Null` if there is none.
    pub search_space: Value,
    /// GPUs that the algorithms may see; none if unset.
    pub gpu_indices: Option<Vec<u32>>,
    /// NNI's word for how much is logged, such as `info`.
    pub log_level: &'static str,
    /// Whether the last intermediate result of a trial that the assessor stopped counts as its result.
    pub include_intermediate_results: bool,
    /// Whether running trials may ask for further parameters.
    pub multi_phase: bool,
    /// The experiment's directory, absolute: logs go to `log`, checkpoints to `checkpoint` below it.
    pub directory: PathBuf,
}
