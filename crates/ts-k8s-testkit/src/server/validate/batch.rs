//! The rules of jobs.
//!
//! Source: kubernetes v1.20, `pkg/apis/batch/validation/validation.go`; compared with answers of kube-apiserver v1.20.2.

use super::super::failure::Cause;
use super::{meta, pod, text};
use serde_json::Value;

pub(super) fn check(job: &Value, causes: &mut Vec<Cause>) {
    let spec = &job["spec"];
    if spec["manualSelector"] != true {
        let uid = &job["metadata"]["uid"];
        let selector = &spec["selector"]["matchLabels"];
        if selector.as_object().is_some_and(|labels| labels.len() != 1) || selector["controller-uid"] != *uid {
            causes.push(Cause::invalid(
                "spec.selector",
                selector,
                "`selector` not auto-generated",
            ));
        }
    }
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ];
    for field in counts {
        if let Some(number) = spec[field].as_i64().filter(|number| *number < 0) {
            causes.push(Cause::invalid(
                format!("spec.{field}"),
                number,
                "must be greater than or equal to 0",
            ));
        }
    }
    // The job's name becomes a label of its pods; that is what limits it to 63 characters.
    meta::labels(&spec["template"]["metadata"]["labels"], "spec.template.labels", causes);
    let template = &spec["template"]["spec"];
    pod::check(template, "spec.template.spec", causes);
    match text(template, "restartPolicy") {
        "OnFailure" | "Never" => {}
        "Always" => causes.push(Cause::required(
            "spec.template.spec.restartPolicy",
            "valid values: \"OnFailure\", \"Never\"",
        )),
        other => causes.push(Cause::not_supported(
            "spec.template.spec.restartPolicy",
            other,
            &["OnFailure", "Never"],
        )),
    }
}

pub(super) fn check_update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    for field in ["completions", "selector", "template"] {
        if old["spec"][field] != new["spec"][field] {
            causes.push(Cause::invalid(
                format!("spec.{field}"),
                &new["spec"][field],
                "field is immutable",
            ));
        }
    }
}
