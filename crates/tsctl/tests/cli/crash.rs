//! A manager that is killed, one too many, and stores that are damaged.

use crate::lab::{Lab, in_status, processes_of, wait};
use rustix::process::Signal;
use std::collections::BTreeSet;

const SCRIPT: &str = "echo \"$NNI_TRIAL_JOB_ID\" >>\"$LAB/started\"\nreport PERIODICAL 0 1\nwait_for gate\n\
                      report PERIODICAL 1 2\nreport FINAL 0 3";

#[test]
fn after_a_kill_the_experiment_goes_on_where_it_was() {
    let lab = Lab::new();
    lab.config(5, SCRIPT, "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("a metric of each running trial", |trials| {
        trials.iter().filter(|trial| trial["nMetrics"] == 1).count() == 2
    });
    run.signal(Signal::KILL);
    assert_eq!(run.end().code, None, "killed by a signal");
    // They end while nobody looks.
    lab.open("gate");
    let experiment = lab.experiment().expect("stored");
    let id = experiment["id"].as_str().expect("an id");
    assert_eq!(experiment["managerRunning"], false);
    wait("the end of the orphans", || processes_of(id).is_empty().then_some(()));
    lab.run(&["resume", id]).exits(0);

    let trials = lab.trials();
    assert_eq!(in_status(&trials, "SUCCEEDED"), 5, "{trials:?}");
    let numbers: Vec<_> = trials.iter().filter_map(|trial| trial["sequenceId"].as_u64()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    for trial in &trials {
        let metrics = lab.json(&["metrics", trial["id"].as_str().expect("an id")]);
        let values: Vec<_> = metrics["metrics"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|m| m["number"].as_f64())
            .collect();
        assert_eq!(values, [Some(1.0), Some(2.0), Some(3.0)], "{metrics}");
    }
    let started = lab.lines("started");
    assert_eq!(started.len(), 5, "no trial ran twice: {started:?}");
    assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), 5);
}

#[test]
fn a_second_manager_is_refused() {
    let lab = Lab::new();
    lab.config(2, "wait_for gate\nreport FINAL 0 1", "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    for arguments in [&["resume"][..], &["resume", "--detach"]] {
        let ran = lab.run(arguments).exits(5);
        assert!(ran.stderr.contains("another manager"), "{ran:#?}");
    }
    let id = lab.experiment().expect("stored")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let ran = lab.run(&["gc", &id, "--yes"]).exits(5);
    assert!(ran.stderr.contains("is running"), "{ran:#?}");
    lab.open("gate");
    run.end().exits(0);
    assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 2);
}

#[test]
fn a_damaged_store_is_told_and_hides_no_other_experiment() {
    let lab = Lab::new();
    lab.config(1, "report FINAL 0 1", "");
    let id = |name: &str| {
        let ran = lab.run(&["run", name, "--json"]).exits(0).json();
        ran["experiment"]["id"].as_str().expect("an id").to_owned()
    };
    let (damaged, whole) = (id("config.yml"), id("config.yml"));
    let directory = lab.path("nni-experiments").join(&damaged);
    for name in ["experiment.db-wal", "experiment.db-shm"] {
        let _ = std::fs::remove_file(directory.join(name));
    }
    std::fs::write(
        directory.join("experiment.db"),
        "this is no database, and long enough to look at",
    )
    .expect("writable");
    for command in ["status", "trials", "export", "resume"] {
        let ran = lab.run(&[command, &damaged]).exits(9);
        assert!(ran.stderr.starts_with("error: "), "{ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    }
    let all = lab.json(&["ls"]);
    let status = |id: &str| {
        let list = all["experiments"].as_array().expect("a list");
        list.iter()
            .find(|entry| entry["id"] == id)
            .map(|entry| entry["status"].clone())
    };
    assert_eq!(status(&damaged), Some("UNREADABLE".into()));
    assert_eq!(status(&whole), Some("DONE".into()));
}
