//! Chooses the algorithm that a configuration names, checks its arguments, and refuses what only NNI's Python package can do.

use super::{
    ParameterSource,
    arguments::{Arguments, nearest},
    batch::Batch,
    built_in::BuiltIn,
    grid::Grid,
    random::Random,
    tpe::Tpe,
    tpe_settings::{self, Settings},
};
use crate::search_space::SearchSpace;
use serde_json::{Map, Value};
use ts_core::{Error, ErrorKind, Result, Warnings};

/// Names of the built-in tuners, aliases included.
const BUILT_IN: [&str; 6] = ["TPE", "TPE_legacy", "Random", "GridSearch", "Batch", "BatchTuner"];

/// Tuners and advisors that only NNI's Python package has.
///
/// Source: nni v1.9, `nni/constants.py`; nni v3.0, `nni/runtime/default_config/builtin_algorithms.yml`.
const PYTHON: [&str; 18] = [
    "Anneal",
    "Evolution",
    "SMAC",
    "Hyperband",
    "BOHB",
    "Metis",
    "MetisTuner",
    "GP",
    "GPTuner",
    "PBT",
    "PBTTuner",
    "PPO",
    "PPOTuner",
    "DNGO",
    "DNGOTuner",
    "NetworkMorphism",
    "RegularizedEvolution",
    "RegularizedEvolutionTuner",
];

/// Which algorithm an experiment wants: its `tuner`, `assessor` or `advisor` section.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AlgorithmSpec {
    /// Configuration key of the section, such as `tuner`; for messages.
    pub key: String,
    /// Built-in name.
    pub name: Option<String>,
    /// Class of the user's own; needs Python.
    pub class_name: Option<String>,
    /// Arguments.
    pub class_args: Map<String, Value>,
    /// Seed for when the arguments have none. Must be the same after a resume; derive it from the experiment's id.
    pub default_seed: u64,
}

impl AlgorithmSpec {
    /// The built-in algorithm of this name, without arguments.
    pub fn named(key: impl Into<String>, name: impl Into<String>, default_seed: u64) -> Self {
        Self {
            key: key.into(),
            name: Some(name.into()),
            class_name: None,
            class_args: Map::new(),
            default_seed,
        }
    }

    /// Whether it has one of these names, or is a class of the user's.
    pub(crate) fn is_of_python(&self, names: &[&str]) -> bool {
        match &self.name {
            Some(name) => names.contains(&name.as_str()),
            None => self.class_name.is_some(),
        }
    }

    pub(crate) fn arguments(&self, known: &[&str]) -> Result<Arguments<'_>> {
        let name = self.name.as_deref().unwrap_or_default();
        Arguments::new(format!("{}.classArgs", self.key), &self.class_args, name, known)
    }
}

/// Whether an algorithm is one that only NNI's Python package can run: one of its own, or a class of the user's.
pub fn needs_nni(spec: &AlgorithmSpec) -> bool {
    spec.is_of_python(&PYTHON)
}

/// Builds the source that a `tuner` section asks for. Arguments that have no effect here are warned of.
///
/// # Errors
/// `Unsupported` if it needs NNI's Python package; `Config` for an unknown name, bad arguments or a bad search space.
pub fn build(spec: &AlgorithmSpec, space: &Value, warnings: &mut Warnings) -> Result<Box<dyn ParameterSource>> {
    Ok(match built_in_name(spec, &BUILT_IN, &PYTHON)? {
        "Random" => {
            let seed = spec.arguments(&["seed"])?.whole("seed", 0)?;
            let space = SearchSpace::parse(space)?;
            Box::new(BuiltIn::new(Random::new(space, seed.unwrap_or(spec.default_seed))))
        }
        "GridSearch" => {
            spec.arguments(&[])?;
            Box::new(BuiltIn::new(Grid::new(SearchSpace::parse(space)?)))
        }
        "Batch" | "BatchTuner" => {
            spec.arguments(&[])?;
            Box::new(BuiltIn::new(Batch::parse(space)?))
        }
        _ => {
            let arguments = spec.arguments(&tpe_settings::ARGUMENTS)?;
            let settings = Settings::read(&arguments, spec.default_seed, warnings)?;
            Box::new(BuiltIn::new(Tpe::new(SearchSpace::parse(space)?, settings)))
        }
    })
}

/// The name of the section, if it is one of `built_in`; otherwise the reason why not.
pub(crate) fn built_in_name<'k>(spec: &AlgorithmSpec, built_in: &[&'k str], python: &[&str]) -> Result<&'k str> {
    let list = built_in.join(", ");
    let needs_python = |what: &str, key: &str| {
        Error::new(ErrorKind::Unsupported, format!("{what} needs NNI's Python package"))
            .with_key(format!("{}.{key}", spec.key))
            .with_help(format!("built in are {list}"))
    };
    let Some(name) = spec.name.as_deref() else {
        return Err(match spec.class_name.as_deref() {
            Some(class) => needs_python(&format!("the class `{}`", class.escape_debug()), "className"),
            None => Error::new(ErrorKind::Config, format!("the {} has no name", spec.key))
                .with_key(format!("{}.name", spec.key))
                .with_help(format!("built in are {list}")),
        });
    };
    if let Some(known) = built_in.iter().find(|k| **k == name) {
        return Ok(known);
    }
    if python.contains(&name) {
        return Err(needs_python(&format!("`{name}`"), "name"));
    }
    let all: Vec<_> = built_in.iter().chain(python).copied().collect();
    let help = match nearest(name, &all) {
        Some(near) => format!("did you mean `{near}`? built in are {list}"),
        None => format!("built in are {list}"),
    };
    Err(Error::new(
        ErrorKind::Config,
        format!("unknown {} `{}`", spec.key, name.escape_debug()),
    )
    .with_key(format!("{}.name", spec.key))
    .with_help(help))
}
