//! Experiments and trials as JSON: the shapes that the REST API gives too, and an experiment that cannot be read.

pub(crate) use ts_manager::view::{experiment, metric, trial};

use serde_json::{Value, json};
use ts_core::ErrorKind;

/// JSON text as a value; a string of it where it is no JSON.
pub(crate) fn text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// An experiment whose store cannot be read.
pub(crate) fn unreadable(id: &ts_core::ExperimentId, directory: &std::path::Path, error: &ts_core::Error) -> Value {
    let status = match error.kind() {
        ErrorKind::NotFound => "GONE",
        _ => "UNREADABLE",
    };
    json!({ "id": id, "status": status, "message": error.message(), "directory": directory })
}
