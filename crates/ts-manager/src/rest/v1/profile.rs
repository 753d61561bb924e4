//! The profile of an experiment: its configuration as NNI's clients know it, with the limits of now. Holds no secret, because the
//! stored configuration has none in its resolved form.

use crate::store::ExperimentRow;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// NNI's defaults of schema 1, which its clients expect as numbers: `maxTrialNum`, and `999d` in seconds.
///
/// Source: nni v1.9, `tools/nni_cmd/launcher_utils.py`, `set_default_values`.
const MOST_TRIALS: u32 = 99_999;
const LONGEST_S: u64 = 999 * 24 * 3600;

/// Whether the experiment was given in schema 1.
pub(super) fn is_v1(row: &ExperimentRow) -> bool {
    row.config["resolved"]["trainingServicePlatform"].is_string()
}

pub(super) fn profile(row: &ExperimentRow, directory: &Path, duration: Duration) -> Value {
    let mut profile = json!({
        "params": params(row),
        "id": row.id,
        "execDuration": duration.as_secs(),
        "logDir": directory,
        "startTime": row.started.map(|at| at.0),
        "nextSequenceId": row.next_sequence_id,
        "revision": row.revision,
    });
    if let Some(ended) = row.ended {
        profile["endTime"] = json!(ended.0);
    }
    profile
}

fn params(row: &ExperimentRow) -> Value {
    let mut params = row.config["resolved"].clone();
    if !params.is_object() {
        params = json!({});
    }
    let limits = row.limits;
    let seconds = limits.max_duration_ms.map(|ms| ms.div_ceil(1000));
    let space = &row.config["searchSpace"];
    params["trialConcurrency"] = json!(limits.concurrency);
    if is_v1(row) {
        params["maxTrialNum"] = json!(limits.max_trials.unwrap_or(MOST_TRIALS));
        params["maxExecDuration"] = json!(seconds.unwrap_or(LONGEST_S));
        params["searchSpace"] = json!(match space {
            // Source: nni v1.9, `tools/nni_cmd/launcher.py`: `json.dumps("")` where there is none.
            Value::Null => "\"\"".to_owned(),
            space => space.to_string(),
        });
        return params;
    }
    for (key, value) in [
        ("maxTrialNumber", limits.max_trials.map(|n| json!(n))),
        ("maxExperimentDuration", seconds.map(|s| json!(format!("{s}s")))),
        ("searchSpace", Some(space.clone()).filter(|space| !space.is_null())),
    ] {
        match value {
            Some(value) => params[key] = value,
            None => drop(params.as_object_mut().and_then(|params| params.shift_remove(key))),
        }
    }
    params
}
