//! Chooses the early stopping rule that a configuration names and checks its arguments.

use super::{Assessor, medianstop::Medianstop};
use crate::source::{AlgorithmSpec, build::built_in_name};
use ts_core::Result;

/// Rules that only NNI's Python package has.
const PYTHON: [&str; 1] = ["Curvefitting"];

/// Whether a rule is one that only NNI's Python package can run: one of its own, or a class of the user's.
pub fn needs_nni(spec: &AlgorithmSpec) -> bool {
    spec.is_of_python(&PYTHON)
}

/// Builds the assessor that an `assessor` section asks for.
///
/// # Errors
/// `Unsupported` if it needs NNI's Python package; `Config` for an unknown name or bad arguments.
pub fn build(spec: &AlgorithmSpec) -> Result<Box<dyn Assessor>> {
    built_in_name(spec, &["Medianstop"], &PYTHON)?;
    let arguments = spec.arguments(&["optimize_mode", "start_step"])?;
    let maximize = arguments.word("optimize_mode", &["maximize", "minimize"])? != Some("minimize");
    let start_step = arguments.whole("start_step", 0)?.unwrap_or(0);
    Ok(Box::new(Medianstop::new(maximize, start_step)))
}
