//! Experiments that run to their end: streams, exit codes, and the JSON that programs read.

use crate::lab::{Lab, in_status, wait};

const GOOD: &str = "report PERIODICAL 0 0.5\nreport FINAL 0 0.75\necho said; echo complained >&2";

#[test]
fn an_experiment_runs_to_its_end() {
    let lab = Lab::new();
    lab.config(3, GOOD, "experimentName: small\n");
    let ran = lab.run(&["run", "config.yml"]).exits(0);
    assert!(ran.stdout.contains("status") && ran.stdout.contains("DONE"), "{ran:#?}");
    assert!(ran.stdout.contains("3 of 3: 3 SUCCEEDED"), "{ran:#?}");
    assert!(ran.stderr.starts_with("experiment "), "{ran:#?}");
    assert_eq!(ran.stderr.matches(" SUCCEEDED").count(), 3, "{ran:#?}");
}

#[test]
fn json_and_quiet_leave_one_document_and_nothing_else() {
    let lab = Lab::new();
    lab.config(2, GOOD, "experimentName: small\n");
    let ran = lab.run(&["run", "config.yml", "--json", "--quiet"]).exits(0);
    assert_eq!(ran.stderr, "");
    let experiment = &ran.json()["experiment"];
    assert_eq!(experiment["name"], "small");
    assert_eq!(experiment["status"], "DONE");
    assert_eq!(experiment["managerRunning"], false);
    assert_eq!(experiment["limits"]["maxTrials"], 2);
    assert_eq!(experiment["trials"]["byStatus"]["SUCCEEDED"], 2);
    assert_eq!(experiment["trials"]["ended"], 2);
    assert_eq!(experiment["best"]["number"], 0.75);
    let id = experiment["id"].as_str().expect("an id");
    assert_eq!(
        experiment["directory"],
        *lab.path("nni-experiments").join(id).to_string_lossy()
    );
    let trials = lab.trials();
    assert_eq!(in_status(&trials, "SUCCEEDED"), 2);
    for (at, trial) in trials.iter().enumerate() {
        assert_eq!(trial["sequenceId"], at);
        assert_eq!(trial["experimentId"], id);
        assert_eq!(trial["nMetrics"], 2);
        assert_eq!(trial["finalNumber"], 0.75);
        assert!(trial["parameters"]["parameters"]["x"].is_number(), "{trial}");
    }
}

#[test]
fn one_experiment_on_two_platforms() {
    let lab = Lab::new();
    lab.config(5, GOOD, "");
    let text = std::fs::read_to_string(lab.path("config.yml")).expect("there");
    let list = "trainingService:\n- {platform: local, trialConcurrency: 1}\n\
                - {platform: local, trialConcurrency: 1, trialCommand: exit 3}\n";
    let wanted = text.replacen("trainingService: {platform: local}\n", list, 1);
    lab.write("config.yml", &wanted);
    lab.run(&["validate", "config.yml"]).exits(0);
    lab.run(&["run", "config.yml"]).exits(0);
    let trials = lab.trials();
    let (good, bad) = (in_status(&trials, "SUCCEEDED"), in_status(&trials, "FAILED"));
    assert_eq!((good + bad, trials.len()), (5, 5));
    assert!(good >= 1 && bad >= 1, "{trials:#?}");
    assert!(
        trials
            .iter()
            .filter(|t| t["status"] == "SUCCEEDED")
            .all(|t| t["nMetrics"] == 2)
    );
    let succeeded = trials.iter().find(|t| t["status"] == "SUCCEEDED").expect("one");
    let id = succeeded["id"].as_str().expect("an id");
    assert_eq!(lab.run(&["logs", id]).exits(0).stdout, "said\n");
    let narrow = wanted.replacen("trialConcurrency: 2\n", "trialConcurrency: 3\n", 1);
    lab.write("config.yml", &narrow);
    let said = lab.run(&["validate", "config.yml"]).exits(0);
    assert!(
        said.stderr.contains("the platforms take 2 trials at a time"),
        "{said:#?}"
    );
}

#[test]
fn failing_trials_are_no_success_and_say_why() {
    let lab = Lab::new();
    lab.config(2, "echo boom >&2; exit 3", "");
    lab.run(&["run", "config.yml"]).exits(11);
    let explained = &lab.json(&["explain", "#1"])["trial"];
    assert_eq!(explained["status"], "FAILED");
    assert_eq!(explained["reason"]["verdict"], "userCode");
    assert_eq!(explained["stderrTail"][0], "boom");
}

#[test]
fn a_command_that_does_not_exist_is_named_as_such() {
    let lab = Lab::new();
    lab.config(1, "exec no-such-command-anywhere", "");
    let ran = lab.run(&["run", "config.yml"]).exits(11);
    assert!(ran.stderr.contains("command was not found"), "{ran:#?}");
    let reason = &lab.json(&["explain", "#0"])["trial"]["reason"];
    assert_eq!(reason["code"], "CommandNotFound");
    assert_eq!(reason["verdict"], "configuration");
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let lab = Lab::new();
    lab.config(3, &format!("wait_for gate\n{GOOD}"), "");
    let mut run = lab.start(&["run", "config.yml", "--json"]);
    run.close_stdout();
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    lab.open("gate");
    let ran = run.end().exits(0);
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 3);
    for arguments in [
        &["trials"][..],
        &["man"],
        &["completions", "bash"],
        &["config", "schema"],
    ] {
        let mut look = lab.start(arguments);
        look.close_stdout();
        let ran = look.end().exits(0);
        assert_eq!(ran.stderr, "", "{arguments:?}");
    }
}

#[test]
fn a_limit_of_the_command_line_replaces_that_of_the_file() {
    let lab = Lab::new();
    lab.config(50, GOOD, "");
    let ran = lab.run(&["run", "config.yml", "--max-trials", "1", "--json"]).exits(0);
    assert_eq!(ran.json()["experiment"]["trials"]["total"], 1);
}

#[test]
fn both_schemas_run() {
    let lab = Lab::new();
    lab.config(2, GOOD, "");
    lab.run(&["run", "config.yml"]).exits(0);
    lab.write("space.json", r#"{"x": {"_type": "choice", "_value": [7]}}"#);
    let command = format!("LAB={} sh trial.sh", lab.path("").display());
    lab.write(
        "v1.yml",
        &format!(
            "authorName: me\nexperimentName: old\ntrialConcurrency: 1\nmaxExecDuration: 1h\nmaxTrialNum: 2\n\
             trainingServicePlatform: local\nsearchSpacePath: space.json\nuseAnnotation: false\n\
             tuner:\n  builtinTunerName: Random\ntrial:\n  command: {command}\n  codeDir: code\n  gpuNum: 0\n"
        ),
    );
    lab.run(&["run", "v1.yml"]).exits(0);
    let trials = lab.trials();
    assert_eq!(in_status(&trials, "SUCCEEDED"), 2);
    assert!(
        trials.iter().all(|trial| trial["parameters"]["parameters"]["x"] == 7),
        "{trials:?}"
    );
    let all = lab.json(&["ls"]);
    assert_eq!(all["experiments"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["experiments"][0]["name"], "old");
}

#[test]
fn a_running_experiment_can_be_given_more_concurrency() {
    let lab = Lab::new();
    lab.config(4, &format!("wait_for gate\n{GOOD}"), "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    let id = wait("the experiment", || lab.experiment())["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(
        lab.json(&["update", "concurrency", &id, "4"])["limits"]["concurrency"],
        4
    );
    lab.wait_for_trials("four running trials", |trials| in_status(trials, "RUNNING") == 4);
    lab.open("gate");
    run.end().exits(0);
}

#[test]
fn failed_trials_are_run_again_with_their_parameters() {
    let lab = Lab::new();
    let script = "[ $NNI_TRIAL_SEQ_ID != 0 ] || exit 1\nwait_for gate";
    lab.config(2, &format!("{script}\n{GOOD}"), "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("a failed and a running trial", |trials| {
        in_status(trials, "FAILED") == 1 && in_status(trials, "RUNNING") == 1
    });
    lab.run(&["retry", "--failed"]).exits(0);
    lab.wait_for_trials("the trial again", |trials| in_status(trials, "RUNNING") == 2);
    lab.open("gate");
    run.end().exits(0);
    let trials = lab.trials();
    assert_eq!(trials.len(), 3, "{trials:?}");
    assert_eq!(trials[2]["status"], "SUCCEEDED");
    assert_eq!(trials[2]["retryOf"], trials[0]["id"]);
    assert_eq!(
        trials[2]["parameters"]["parameters"],
        trials[0]["parameters"]["parameters"]
    );
}

#[test]
fn failed_trials_are_run_again_where_no_manager_runs() {
    let lab = Lab::new();
    lab.config(2, &format!("[ -e \"$LAB/mended\" ] || exit 1\n{GOOD}"), "");
    lab.run(&["run", "config.yml"]).exits(11);
    lab.open("mended");
    lab.run(&["retry", "--failed"]).exits(0);
    let trials = lab.trials();
    assert_eq!(
        (in_status(&trials, "FAILED"), in_status(&trials, "SUCCEEDED")),
        (2, 2),
        "{trials:?}"
    );
    for (first, again) in trials[..2].iter().zip(&trials[2..]) {
        assert_eq!(again["retryOf"], first["id"]);
        assert_eq!(again["parameters"]["parameters"], first["parameters"]["parameters"]);
    }
}
