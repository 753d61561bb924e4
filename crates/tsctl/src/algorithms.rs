//! Which algorithms an experiment wants, and who runs them: the manager itself, or NNI's Python package.

use serde_json::Value;
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentId, Result, Warnings,
    config::{Algorithm, AlgorithmKind, ExperimentConfig, Schema},
};
use ts_manager::{
    assess::{self, Assessor},
    source::{self, AlgorithmSpec, ParameterSource},
};
use ts_nni::{Class, Nni, NniSource, NniSpec};

/// What makes and judges the trials of an experiment.
#[derive(Debug)]
pub(crate) struct Algorithms {
    pub(crate) source: Result<Box<dyn ParameterSource>>,
    pub(crate) assessor: Result<Option<Box<dyn Assessor>>>,
    /// NNI's package, if any of them comes from there.
    pub(crate) nni: Option<Nni>,
}

/// Builds them; does no I/O.
pub(crate) fn build(config: &ExperimentConfig, id: &ExperimentId, ctx: &Ctx, warnings: &mut Warnings) -> Algorithms {
    let seed = config.seed.unwrap_or_else(|| seed_of(id));
    let (key, tuner) = match (&config.tuner, &config.advisor) {
        (Some(tuner), _) => ("tuner", tuner),
        (None, Some(advisor)) => ("advisor", advisor),
        (None, None) => {
            let error = Error::new(ErrorKind::Config, "the experiment names neither a tuner nor an advisor");
            return Algorithms {
                source: Err(error.with_key("tuner").with_help("write `tuner: {name: TPE}`")),
                assessor: Ok(None),
                nni: None,
            };
        }
    };
    if let Err(error) = check_phases(config, key, tuner) {
        return Algorithms {
            source: Err(error),
            assessor: Ok(None),
            nni: None,
        };
    }
    let tuner_spec = spec(key, tuner, seed);
    let assessor_spec = config.assessor.as_ref().map(|assessor| spec("assessor", assessor, 0));
    let assessor_there = assessor_spec
        .as_ref()
        .is_some_and(|a| config.prefer_nni || assess::needs_nni(a));
    // A dispatcher without a tuner does not start, so an assessor that needs it takes the tuner along.
    if assessor_there || config.prefer_nni || source::needs_nni(&tuner_spec) {
        let there = config.assessor.as_ref().filter(|_| assessor_there);
        let nni = Nni::new(NniSpec {
            python: config.python.clone(),
            tuner: for_nni(key, tuner),
            assessor: there.map(|assessor| for_nni("assessor", assessor)),
            search_space: config
                .search_space
                .clone()
                .unwrap_or_else(|| Value::String(String::new())),
            gpu_indices: config.tuner_gpu_indices.clone(),
            log_level: config.log_level.as_str(),
            include_intermediate_results: tuner.include_intermediate_results,
            multi_phase: config.multi_phase,
            directory: ctx.work_dir.clone(),
        });
        let here = assessor_spec.filter(|_| !assessor_there);
        return Algorithms {
            source: Ok(Box::new(NniSource::new(nni.clone(), ctx.clone()))),
            assessor: here.map(|assessor| assess::build(&assessor)).transpose(),
            nni: Some(nni),
        };
    }
    let space = config.search_space.clone().unwrap_or(Value::Null);
    Algorithms {
        source: source::build(&tuner_spec, &space, warnings),
        assessor: assessor_spec.map(|assessor| assess::build(&assessor)).transpose(),
        nni: None,
    }
}

/// Advisors plan whole trials, so they have no further parameters for a running one.
fn check_phases(config: &ExperimentConfig, key: &str, tuner: &Algorithm) -> Result<()> {
    let plans_trials = match &tuner.kind {
        AlgorithmKind::Named(name) => key == "advisor" || matches!(name.as_str(), "Hyperband" | "BOHB"),
        AlgorithmKind::Class { .. } => key == "advisor",
    };
    if !config.multi_phase || !plans_trials {
        return Ok(());
    }
    let name = match &tuner.kind {
        AlgorithmKind::Named(name) => name,
        AlgorithmKind::Class { class_name, .. } => class_name,
    };
    let key = match config.schema {
        Schema::V1 => "multiPhase",
        Schema::V2 => "tsctl.multiPhase",
    };
    Err(Error::new(
        ErrorKind::Config,
        format!("`{name}` plans whole trials and gives a running one no further parameters"),
    )
    .with_key(key)
    .with_help("remove the key, or choose a tuner, such as TPE or Evolution"))
}

fn spec(key: &str, wanted: &Algorithm, seed: u64) -> AlgorithmSpec {
    let mut spec = AlgorithmSpec::named(key, "", seed);
    match &wanted.kind {
        AlgorithmKind::Named(name) => spec.name = Some(name.clone()),
        AlgorithmKind::Class { class_name, .. } => {
            spec.name = None;
            spec.class_name = Some(class_name.clone());
        }
    }
    spec.class_args.clone_from(&wanted.class_args);
    spec
}

fn for_nni(key: &str, wanted: &Algorithm) -> ts_nni::Algorithm {
    ts_nni::Algorithm {
        key: key.to_owned(),
        class: match &wanted.kind {
            AlgorithmKind::Named(name) => Class::Named(name.clone()),
            AlgorithmKind::Class {
                class_name,
                code_directory,
            } => Class::Own {
                class_name: class_name.clone(),
                code_directory: code_directory.clone(),
            },
        },
        class_args: wanted.class_args.clone(),
    }
}

/// The same experiment draws the same numbers again after a resume: FNV-1a of its id.
fn seed_of(id: &ExperimentId) -> u64 {
    id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
