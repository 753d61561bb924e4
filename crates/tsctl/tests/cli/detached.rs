//! Managers in processes of their own, and what other commands ask of them.

use crate::lab::{Lab, in_status, processes_of, wait};

#[test]
fn a_detached_experiment_is_looked_at_trimmed_and_stopped() {
    let lab = Lab::new();
    lab.config(9, "wait_for gate", "");
    let ran = lab.run(&["run", "config.yml", "--detach"]).exits(0);
    let id = ran.stdout.trim();
    let experiment = lab.experiment().expect("it exists once its id is printed");
    assert_eq!(experiment["id"], id);
    assert_eq!(experiment["managerRunning"], true);
    assert!(experiment["managerPid"].is_number(), "{experiment}");
    let running = lab.json(&["ls", "--running"]);
    assert_eq!(running["experiments"][0]["id"], id);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);

    let canceled = lab.json(&["cancel", "#0"]);
    let trials = lab.wait_for_trials("the end of the first trial", |trials| {
        trials[0]["status"] == "USER_CANCELED"
    });
    assert_eq!(canceled["trials"][0], trials[0]["id"]);
    lab.wait_for_trials("its successor", |trials| {
        trials.len() == 3 && in_status(trials, "RUNNING") == 2
    });
    lab.run(&["cancel", "#77"]).exits(4);

    lab.run(&["stop", id]).exits(0);
    let experiment = lab.experiment().expect("stored");
    assert_eq!(experiment["status"], "STOPPED");
    assert_eq!(experiment["managerRunning"], false);
    wait("the end of all processes", || processes_of(id).is_empty().then_some(()));
    lab.run(&["cancel", "#1"]).exits(5);
    lab.run(&["stop", id]).exits(0);
}

#[test]
fn a_stopped_experiment_goes_on_apart_and_is_followed_to_its_end() {
    let lab = Lab::new();
    lab.config(3, "wait_for gate\nreport FINAL 0 1", "");
    let id = lab
        .run(&["run", "config.yml", "--detach"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    lab.run(&["stop", &id]).exits(0);
    let n_canceled = in_status(&lab.trials(), "USER_CANCELED");
    lab.open("gate");
    let most = (n_canceled + 2).to_string();
    lab.run(&["resume", &id, "--detach", "--max-trials", &most]).exits(0);
    lab.run(&["status", &id, "--follow"]).exits(0);
    let trials = lab.trials();
    assert_eq!(in_status(&trials, "SUCCEEDED"), 2, "{trials:?}");
    assert_eq!(lab.experiment().expect("stored")["status"], "DONE");
}

#[test]
fn the_commands_of_nnictl_do_the_same() {
    let lab = Lab::new();
    lab.config(3, "wait_for gate\nreport FINAL 0 1", "");
    let id = lab
        .run(&["create", "--config", "config.yml"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    let trials = lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    assert_eq!(lab.json(&["experiment", "list"])["experiments"][0]["id"], *id);
    let first = trials[0]["id"].as_str().expect("an id");
    lab.run(&["trial", "kill", &id, "--trial_id", first]).exits(0);
    lab.wait_for_trials("its end", |trials| trials[0]["status"] == "USER_CANCELED");
    lab.run(&["update", "trialnum", &id, "2"]).exits(0);
    lab.open("gate");
    lab.run(&["top", &id]).exits(0);
    lab.run(&["experiment", "export", &id, "--filename", "out.csv", "-t", "csv"])
        .exits(0);
    assert!(lab.lines("out.csv")[0].starts_with("trialJobId,"));
    lab.run(&["experiment", "delete", &id]).exits(0);
    assert!(!lab.path("nni-experiments").join(&id).exists());
}
