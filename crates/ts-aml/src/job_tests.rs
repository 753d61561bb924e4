//! Whole documents, and that they keep to the schema of the service.

use super::*;
use crate::Cloud;
use std::collections::BTreeSet;
use ts_core::{CodeDirectory, ExperimentSpec, GpuCount, Parameters, TrialId};

/// Sets every key that a document shows.
fn config() -> AmlConfig {
    let cloud = Cloud::named("AzureCloud").unwrap();
    let mut config = AmlConfig::new("1-2", "team", "trials", "arc", "python:3.12", cloud);
    config.instance_type = Some("gpu-small".to_owned());
    config.idle_timeout = std::time::Duration::from_mins(3);
    config
}

fn trial() -> TrialSpec {
    let code = CodeDirectory::new("/code");
    let experiment = ExperimentSpec::new(
        ExperimentId::new("ab_cd").unwrap(),
        code,
        "echo ${{inputs.x}} \"$HOME\"",
    );
    let parameters = Parameters::new(r#"{"text": "it's ${{outputs.trial}}"}"#);
    TrialSpec::new(&experiment, TrialId::new("x1Y2z").unwrap(), 7, parameters)
}

fn shown(config: &AmlConfig) -> Vec<(String, String)> {
    let code = Prepared::new(Some("sha256:0a".into()), "0a");
    render(config, &code, &trial()).unwrap().documents
}

/// What users see of a job is as it was, or the file is changed with it.
#[test]
fn a_job_is_as_it_was() {
    let documents = shown(&config());
    let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start.sh", "job.json"]);
    assert_eq!(documents[1].1, include_str!("golden/job.json").trim_end());
    let mut reusing = config();
    reusing.reuse = true;
    let documents = shown(&reusing);
    let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start.sh", "worker.json", "loop.sh"]);
    assert_eq!(documents[1].1, include_str!("golden/worker.json").trim_end());
}

#[test]
fn nothing_of_the_users_is_in_the_job_itself() {
    let documents = shown(&config());
    assert!(documents[0].1.contains("echo ${{inputs.x}}") && documents[0].1.contains("outputs.trial}}"));
    for text in ["inputs.x", "it's", "$HOME"] {
        assert!(!documents[1].1.contains(text), "{text}");
    }
}

#[test]
fn a_trial_on_some_gpus_says_which_before_it_begins() {
    let mut trial = trial();
    trial.gpus = GpuCount::Exactly(2);
    let text = start(&trial, Some("0,3")).unwrap();
    assert!(
        text.contains("\nexport CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES='0,3'\n"),
        "{text}"
    );
    assert!(!start(&trial, None).unwrap().contains("CUDA_"));
    trial.gpus = GpuCount::Exactly(0);
    assert!(start(&trial, None).unwrap().contains("export CUDA_VISIBLE_DEVICES="));
}

/// What a client may send in `properties`, with all that is required; nothing else is allowed.
///
/// Source: Azure/azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `CommandJob`, `JobBase` and `ResourceBase`, without what is
/// `readOnly`; `additionalProperties` is false.
const PROPERTIES: [&str; 22] = [
    "codeId",
    "command",
    "componentId",
    "computeId",
    "description",
    "displayName",
    "distribution",
    "environmentId",
    "environmentVariables",
    "experimentName",
    "identity",
    "inputs",
    "isArchived",
    "jobType",
    "limits",
    "notificationSetting",
    "outputs",
    "properties",
    "queueSettings",
    "resources",
    "secretsConfiguration",
    "tags",
];
const REQUIRED: [&str; 3] = ["command", "environmentId", "jobType"];
/// `JobInputType` and `InputDeliveryMode`; `JobOutputType` and `OutputDeliveryMode`.
const INPUT: ([&str; 7], [&str; 6]) = (
    [
        "literal",
        "uri_file",
        "uri_folder",
        "mltable",
        "custom_model",
        "mlflow_model",
        "triton_model",
    ],
    [
        "ReadOnlyMount",
        "ReadWriteMount",
        "Download",
        "Direct",
        "EvalMount",
        "EvalDownload",
    ],
);
const OUTPUT: ([&str; 6], [&str; 3]) = (
    [
        "uri_file",
        "uri_folder",
        "mltable",
        "custom_model",
        "mlflow_model",
        "triton_model",
    ],
    ["ReadWriteMount", "Upload", "Direct"],
);
/// `JobResourceConfiguration` and `ResourceConfiguration`.
const RESOURCES: [&str; 5] = ["dockerArgs", "instanceCount", "instanceType", "properties", "shmSize"];

#[test]
fn jobs_keep_to_the_schema() {
    for document in [include_str!("golden/job.json"), include_str!("golden/worker.json")] {
        let job: Json = serde_json::from_str(document).unwrap();
        let keys = |value: &Json| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&job), BTreeSet::from(["properties".to_owned()]));
        let job = &job["properties"];
        let present = keys(job);
        assert!(REQUIRED.iter().all(|key| present.contains(*key)), "{present:?}");
        assert!(
            present.iter().all(|key| PROPERTIES.contains(&key.as_str())),
            "{present:?}"
        );
        assert_eq!(job["jobType"], "Command");
        for key in ["command", "environmentId"] {
            // `minLength` 1, `pattern` `[a-zA-Z0-9_]`.
            assert!(
                job[key]
                    .as_str()
                    .unwrap()
                    .contains(|c: char| c.is_ascii_alphanumeric() || c == '_'),
                "{key}"
            );
        }
        for map in ["environmentVariables", "tags"] {
            assert!(job[map].as_object().unwrap().values().all(Json::is_string), "{map}");
        }
        let data = [
            ("inputs", "jobInputType", &INPUT.0[..], &INPUT.1[..]),
            ("outputs", "jobOutputType", &OUTPUT.0[..], &OUTPUT.1[..]),
        ];
        for (map, kind, kinds, modes) in data {
            for one in job[map].as_object().unwrap().values() {
                assert!(kinds.contains(&one[kind].as_str().unwrap()), "{one}");
                assert!(modes.contains(&one["mode"].as_str().unwrap()), "{one}");
                let known = ["description", "mode", "uri", kind];
                assert!(keys(one).iter().all(|key| known.contains(&key.as_str())), "{one}");
            }
            for name in keys(&job[map]) {
                let expression = format!("${{{{{map}.{name}}}}}");
                assert!(job["command"].as_str().unwrap().contains(&expression), "{expression}");
            }
        }
        assert!(
            keys(&job["resources"])
                .iter()
                .all(|key| RESOURCES.contains(&key.as_str()))
        );
        assert_eq!(job["resources"]["instanceType"], "gpu-small");
    }
    assert!(
        body(
            &AmlConfig {
                instance_type: None,
                ..config()
            },
            &Prepared::new(None, "0a"),
            &trial(),
            "d"
        )["properties"]["resources"]
            .is_null()
    );
}
