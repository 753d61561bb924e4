//! What is sent and written: NNI's request with `envs`, and nothing secret.

use super::*;
use ts_core::{CodeDirectory, ExperimentId, ExperimentSpec, Parameters, Secret, TrialId, config::SecretRef, http::Url};

fn config() -> DltsConfig {
    let password = SecretRef::Literal(Secret::new("hunter2"));
    let dashboard = Url::parse("https://dlts.example.org").unwrap();
    let mut config = DltsConfig::new(dashboard, password, "a:1", ("/home/alice/nni", "/home/al'ice/nni"));
    config.gpus = 2;
    config
}

fn job() -> Job {
    Job {
        spec: trial(),
        id: "9f0c".to_owned(),
        is_taken: false,
    }
}

fn trial() -> TrialSpec {
    let experiment = ExperimentSpec::new(
        ExperimentId::new("abcd1234").unwrap(),
        CodeDirectory::new("/code"),
        "echo \"a\" $HOME",
    );
    TrialSpec::new(&experiment, TrialId::new("x1Y2z").unwrap(), 0, Parameters::new("{}"))
}

#[test]
fn the_request_is_nnis() {
    let expected = json!({
        "team": "platform", "vcName": "platform", "userName": "a@example.org", "gpuType": "P40",
        "jobId": "9f0c", "jobName": "nni_exp_abcd1234_trial_x1Y2z", "jobType": "training", "jobtrainingtype": "RegularJob",
        "resourcegpu": 2, "image": "a:1", "cmd": "sh '/home/al'\\''ice/nni/abcd1234/x1Y2z/start.sh'",
        "interactivePorts": [], "ssh": false, "ipython": false, "tensorboard": false, "mountpoints": [],
        "workPath": "", "enableworkpath": true, "dataPath": "", "enabledatapath": false,
        "jobPath": "", "enablejobpath": true,
        "envs": [{"name": "NNI_EXP_ID", "value": "abcd1234"}, {"name": "NNI_TRIAL_JOB_ID", "value": "x1Y2z"}],
        "hostNetwork": false, "useGPUTopology": false, "isPrivileged": false, "hostIPC": false,
        "preemptionAllowed": "False",
    });
    assert_eq!(body(&config(), "platform", "a@example.org", "P40", &job()), expected);
}

#[test]
fn what_is_shown_has_the_files_and_no_secret() {
    let config = config();
    let code = Prepared::new(Some("sha256:0".into()), "0.tar");
    let shown = render(&config, &code, &trial()).unwrap();
    let names: Vec<&str> = shown.documents.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start.sh", "parameter.cfg", "run.sh", "job.json"]);
    let text = format!("{shown:?} {config:?}");
    assert!(!text.contains("hunter"), "{text}");
    assert!(shown.documents[2].1.contains("echo \"a\" $HOME"));
    let start: Vec<&str> = shown.documents[0].1.lines().take(7).collect();
    assert_eq!(
        start,
        [
            "#!/bin/sh",
            r"ts_dir='/home/al'\''ice/nni/abcd1234/x1Y2z'",
            "ts_seat=$ts_dir",
            r"ts_code='/home/al'\''ice/nni/abcd1234/code/0.tar'",
            r"ts_output='/home/al'\''ice/nni/abcd1234/x1Y2z/nnioutput'",
            "ts_grace=5",
            "ts_mark=${HOSTNAME:-0}.$(date +%s).$$",
        ]
    );
    // What users see of a job is as it was, or this file is changed with it.
    assert_eq!(shown.documents[3].1, include_str!("golden/job.json").trim_end());
}
