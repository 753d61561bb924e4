//! The placement constraint that a tuner may put beside the parameters of a trial.

use ts_core::GpuCount;

/// The GPU wish of a trial: the tuner's constraint of type `GPUNumber` if there is one, else the experiment's.
///
/// A constraint of type `Device` names hosts and belongs to platforms with machines; it is `Err` with a message here.
///
/// Source: nni v2.4, `ts/nni_manager/common/trainingService.ts`, `PlacementConstraint`.
pub(crate) fn gpu_wish(parameters: &str, default: GpuCount) -> Result<GpuCount, &'static str> {
    if !parameters.contains("\"placement_constraint\"") {
        return Ok(default);
    }
    let Ok(packed) = serde_json::from_str::<serde_json::Value>(parameters) else {
        return Ok(default);
    };
    let constraint = &packed["placement_constraint"];
    match constraint["type"].as_str() {
        None | Some("None") => Ok(default),
        Some("GPUNumber") => constraint["gpus"]
            .as_array()
            .filter(|gpus| gpus.len() == 1)
            .and_then(|gpus| gpus[0].as_u64())
            .and_then(|n| u32::try_from(n).ok())
            .map(GpuCount::Exactly)
            .ok_or("the tuner's placement constraint `GPUNumber` needs exactly one number; the experiment's is used"),
        Some(_) => Err("the tuner's placement constraint is not supported; the experiment's GPU number is used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tuners_number_goes_before_the_experiments() {
        let default = GpuCount::Exactly(1);
        let wish = |constraint: &str| {
            gpu_wish(
                &format!(r#"{{"parameter_id": 0, "parameters": {{}}, "placement_constraint": {constraint}}}"#),
                default,
            )
        };
        assert_eq!(gpu_wish(r#"{"parameters": {}}"#, default), Ok(default));
        assert_eq!(wish(r#"{"type": "None", "gpus": []}"#), Ok(default));
        assert_eq!(wish(r#"{"type": "GPUNumber", "gpus": [2]}"#), Ok(GpuCount::Exactly(2)));
        assert!(wish(r#"{"type": "GPUNumber", "gpus": [2, 3]}"#).is_err());
        assert!(wish(r#"{"type": "Device", "gpus": [["host", 0]]}"#).is_err());
    }
}
