//! Configurations before anything is created: mistakes, what is understood, what would be sent; and what the command says of itself.

use crate::lab::Lab;
use std::path::{Path, PathBuf};

#[test]
fn mistakes_are_reported_in_one_go_and_nothing_is_created() {
    let lab = Lab::new();
    let text = "trialCommand: a\ntrialConcurency: 1\ntrialGpuNumber: -1\nmaxTrialNumber: many\n\
                tuner: {name: Random}\nsearchSpace: {x: {_type: choice, _value: [1]}}\n\
                trainingService: {platform: local, bogus: 1}\n";
    lab.write("bad.yml", text);
    for command in ["run", "validate", "plan"] {
        let ran = lab.run(&[command, "bad.yml"]).exits(2);
        assert_eq!(ran.stdout, "");
        for expected in [
            "error: bad.yml:2:1: the key `trialConcurency` is unknown",
            "help: did you mean `trialConcurrency`?",
            "error: bad.yml:3:17: `-1` is out of range",
            "error: bad.yml:4:17: a whole number is expected",
            "error: bad.yml:7:36: the key `bogus` is unknown",
            "5 problems found; nothing was started",
        ] {
            assert!(ran.stderr.contains(expected), "{command}: lacks `{expected}`: {ran:#?}");
        }
    }
    let ran = lab.run(&["run", "bad.yml", "--json"]).exits(2);
    let said: serde_json::Value = serde_json::from_str(&ran.stderr).expect("one document");
    assert_eq!(said["error"]["exitCode"], 2);
    assert_eq!(said["error"]["problems"].as_array().map(Vec::len), Some(5));
    assert!(!lab.path("nni-experiments").exists());
    assert!(!lab.path("state").exists());
}

#[test]
fn a_file_that_is_no_yaml_and_one_that_is_not_there() {
    let lab = Lab::new();
    lab.write("bad.yml", "tuner: [1\n");
    let ran = lab.run(&["run", "bad.yml"]).exits(2);
    assert!(ran.stderr.starts_with("error: bad.yml:1:8: not valid YAML"), "{ran:#?}");
    lab.run(&["run", "missing.yml"]).exits(4);
    lab.run(&["run"]).exits(2);
    lab.run(&["run", "bad.yml", "--max-duration", "soon"]).exits(2);
}

#[test]
fn a_plan_shows_the_first_trial_and_leaves_nothing_behind() {
    let lab = Lab::new();
    lab.config(5, "true", "");
    let plan = lab.json(&["plan", "config.yml"]);
    assert_eq!(plan["platform"], "local");
    assert_eq!(plan["limits"]["maxTrials"], 5);
    assert_eq!(plan["code"]["files"], 2);
    assert!(
        plan["firstTrial"]["parameters"]["parameters"]["x"].is_number(),
        "{plan}"
    );
    assert!(
        plan["firstTrial"]["request"]
            .as_array()
            .is_some_and(|list| !list.is_empty()),
        "{plan}"
    );
    lab.run(&["plan", "config.yml"]).exits(0);
    lab.run(&["validate", "config.yml"]).exits(0);
    assert!(!lab.path("nni-experiments").exists());
    assert!(!lab.path("state").exists());
}

#[test]
fn a_resolved_configuration_says_where_each_value_comes_from() {
    let lab = Lab::new();
    lab.config(5, "true", "");
    let shown = lab.json(&["config", "--resolved", "config.yml"]);
    let values = shown["values"].as_array().expect("a list");
    let of = |key: &str| values.iter().find(|value| value["key"] == key);
    let written = of("maxTrialNumber").expect("listed");
    assert_eq!(written["value"], 5);
    let text = lab.run(&["config", "config.yml"]).exits(0).stdout;
    assert!(text.contains("config.yml:4"), "{text}");
}

#[test]
fn a_secret_is_masked() {
    let lab = Lab::new();
    let storage = "sharedStorage: {storageType: AzureBlob, storageAccountName: me, storageAccountKey: hunter2, \
                   containerName: c, localMountPoint: /a, remoteMountPoint: /b, localMounted: usermount}\n";
    lab.config(1, "true", storage);
    for arguments in [
        &["config", "--resolved", "config.yml"][..],
        &["config", "config.yml", "--json"],
        &["plan", "config.yml"],
    ] {
        let ran = lab.run(arguments);
        assert!(
            !ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"),
            "{ran:#?}"
        );
    }
    let shown = lab.json(&["config", "config.yml"]);
    let values = shown["values"].as_array().expect("a list");
    let key = values
        .iter()
        .find(|value| value["key"] == "sharedStorage.storageAccountKey");
    assert_eq!(key.expect("listed")["value"], "***");
}

#[test]
fn doctor_finds_each_thing_once() {
    let lab = Lab::new();
    let found = lab.run(&["doctor", "--json"]).exits(0).json();
    let findings = found["findings"].as_array().expect("a list");
    let subjects: Vec<&str> = findings
        .iter()
        .filter_map(|finding| finding["subject"].as_str())
        .collect();
    for (at, subject) in subjects.iter().enumerate() {
        assert!(!subjects[..at].contains(subject), "`{subject}` twice: {found}");
    }
    assert!(
        subjects.contains(&"disk") && subjects.contains(&"working directory"),
        "{subjects:?}"
    );
}

#[test]
fn the_command_documents_itself() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = lab.run(&["completions", shell]).exits(0).stdout;
        assert!(script.contains("tsctl") && script.contains("resume"), "{shell}");
        assert!(!script.contains("no-such-shell"), "{shell}");
    }
    lab.run(&["completions", "no-such-shell"]).exits(2);
    let man = lab.run(&["man"]).exits(0).stdout;
    assert!(man.contains(".SH TSCTL RUN") && man.contains("EXIT STATUS"), "{man}");
    let schema = lab.run(&["config", "schema"]).exits(0).json();
    assert!(schema["$schema"].is_string());
    lab.run(&["--version"]).exits(0);
    lab.run(&["--help"]).exits(0);
}

/// Every configuration below `examples/`.
fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in std::fs::read_dir(root).expect("examples").flatten() {
        for file in std::fs::read_dir(directory.path()).into_iter().flatten().flatten() {
            let path = file.path();
            let named = path
                .file_stem()
                .is_some_and(|stem| stem.to_string_lossy().starts_with("config"));
            if named && path.extension().is_some_and(|extension| extension == "yml") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_example_is_good_and_those_without_python_run() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    let mut n_run = 0;
    for file in examples {
        let lab = Lab::new();
        let path = file.to_str().expect("UTF-8");
        let text = std::fs::read_to_string(&file).expect("readable");
        let is_elsewhere = |platform: &str| {
            let named = [
                format!("platform: {platform}"),
                format!("trainingServicePlatform: {platform}"),
            ];
            text.lines()
                .any(|line| named.iter().any(|name| line.trim().trim_start_matches("- ") == name))
        };
        if [
            "remote",
            "kubernetes",
            "kubeflow",
            "frameworkcontroller",
            "openpai",
            "pai",
            "dlts",
        ]
        .into_iter()
        .any(is_elsewhere)
            || text.contains("className:")
        {
            // Its machines are nobody's, or its tuner is one for NNI's package; what can be read without them is right.
            lab.run(&["config", "--resolved", path]).exits(0);
            continue;
        }
        lab.run(&["validate", path]).exits(0);
        if text.lines().any(|line| line.trim_start().contains("ommand: python3")) {
            continue;
        }
        let experiment = lab.json(&["run", path])["experiment"].clone();
        assert_eq!(
            experiment["trials"]["byStatus"]["SUCCEEDED"], experiment["trials"]["total"],
            "{path}"
        );
        assert!(experiment["best"]["number"].is_number(), "{path}: {experiment}");
        n_run += 1;
    }
    assert!(n_run >= 1);
}
