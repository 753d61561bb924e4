//! Settings of `TPE`: NNI's class arguments of all versions, their defaults, and which of them have no effect here.

use super::arguments::Arguments;
use ts_core::{Result, Warning, Warnings};

/// Arguments of `TPE`: those of nni v3.0, `tpe_tuner.py`, then those of nni v1.9, `hyperopt_tuner.py`.
pub(super) const ARGUMENTS: [&str; 5] = [
    "optimize_mode",
    "seed",
    "tpe_args",
    "parallel_optimize",
    "constant_liar_type",
];

const TPE_ARGS: [&str; 6] = [
    "constant_liar_type",
    "n_startup_jobs",
    "n_ei_candidates",
    "linear_forgetting",
    "prior_weight",
    "gamma",
];

/// The result that is assumed for trials that have none yet, so that trials at the same time differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liar {
    Best,
    Worst,
    Mean,
}

/// How TPE works.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) maximize: bool,
    pub(super) seed: u64,
    pub(super) liar: Option<Liar>,
    /// How many trials of a parameter are drawn at random before results are used. Default 20.
    pub(super) startup: usize,
    /// How many values are compared for each proposal. Default 24.
    pub(super) candidates: usize,
    /// `gamma * sqrt(n)` of `n` trials count as good. Default 0.25.
    pub(super) gamma: f64,
    /// Most trials that count as good. Default 25.
    pub(super) most_good: usize,
}

impl Settings {
    /// Reads the class arguments.
    ///
    /// # Errors
    /// `Config`, naming the argument.
    pub(super) fn read(arguments: &Arguments<'_>, default_seed: u64, warnings: &mut Warnings) -> Result<Self> {
        let empty = serde_json::Map::new();
        let inner = Arguments::new(
            arguments.key("tpe_args"),
            arguments.object("tpe_args")?.unwrap_or(&empty),
            "tpe_args",
            &TPE_ARGS,
        )?;
        if inner.number("prior_weight")?.is_some() {
            warnings.push(
                Warning::new("`prior_weight` has no effect: the search space always counts as one good trial")
                    .with_key(inner.key("prior_weight"))
                    .with_help("remove it"),
            );
        }
        let count = |name, default: u32, least| -> Result<usize> {
            let n = inner.whole(name, least)?.unwrap_or(default.into());
            Ok(usize::try_from(n).unwrap_or(usize::MAX))
        };
        Ok(Self {
            maximize: arguments.word("optimize_mode", &["minimize", "maximize"])? == Some("maximize"),
            seed: arguments.whole("seed", 0)?.unwrap_or(default_seed),
            liar: liar(arguments, &inner)?,
            startup: count("n_startup_jobs", 20, 0)?,
            candidates: count("n_ei_candidates", 24, 1)?,
            gamma: inner.number("gamma")?.unwrap_or(0.25),
            most_good: count("linear_forgetting", 25, 1)?,
        })
    }
}

/// The liar: `tpe_args` of v3.0 first, then the arguments of v1.9, then v3.0's default.
fn liar(arguments: &Arguments<'_>, inner: &Arguments<'_>) -> Result<Option<Liar>> {
    let old = arguments.word("constant_liar_type", &["min", "max", "mean"])?;
    let parallel = arguments.truth("parallel_optimize")?;
    if inner.has("constant_liar_type") {
        let word = inner.word("constant_liar_type", &["best", "worst", "mean", "none"])?;
        return Ok(match word {
            Some("best") => Some(Liar::Best),
            Some("worst") => Some(Liar::Worst),
            Some("mean") => Some(Liar::Mean),
            _ => None,
        });
    }
    Ok(match (parallel, old) {
        (Some(false), _) => None,
        (_, None | Some("min")) => Some(Liar::Best),
        (_, Some("max")) => Some(Liar::Worst),
        (_, Some(_)) => Some(Liar::Mean),
    })
}
