//! Commands that look at experiments and code directories, and the one that removes them.

use crate::lab::{Lab, in_status};
use serde_json::Value;

/// An experiment of two trials that has ended.
fn ended() -> (Lab, String) {
    let lab = Lab::new();
    let script = "report PERIODICAL 0 0.25\nreport FINAL 0 0.75\necho out \"$NNI_TRIAL_SEQ_ID\"; echo err >&2";
    lab.config(2, script, "");
    let ran = lab.run(&["run", "config.yml", "--json"]).exits(0).json();
    let id = ran["experiment"]["id"].as_str().expect("an id").to_owned();
    (lab, id)
}

#[test]
fn a_trial_shows_what_it_wrote_reported_and_was_given() {
    let (lab, id) = ended();
    assert_eq!(lab.run(&["logs", "#1"]).exits(0).stdout, "out 1\n");
    assert_eq!(lab.run(&["logs", "#1", "--stderr"]).exits(0).stdout, "err\n");
    assert_eq!(lab.run(&["logs", "#1", "--follow"]).exits(0).stdout, "out 1\n");
    let trial = lab.json(&["show", "#1"])["trial"].clone();
    let full = trial["id"].as_str().expect("an id");
    assert_eq!(lab.json(&["show", full])["trial"], trial);
    assert_eq!(lab.json(&["show", full, "--experiment", &id[..6]])["trial"], trial);
    let page = lab.run(&["show", "#1"]).exits(0).stdout;
    assert!(page.contains("SUCCEEDED") && page.contains(full), "{page}");
    let metrics = lab.json(&["metrics", "#1"])["metrics"].clone();
    assert_eq!(
        (&metrics[0]["kind"], &metrics[0]["number"]),
        (&"PERIODICAL".into(), &0.25.into())
    );
    assert_eq!(
        (&metrics[1]["kind"], &metrics[1]["number"]),
        (&"FINAL".into(), &0.75.into())
    );
    let explained = lab.run(&["explain", "#1"]).exits(0).stdout;
    assert!(explained.contains("it ended well"), "{explained}");
}

#[test]
fn what_does_not_exist_is_told() {
    let (lab, id) = ended();
    for (arguments, code) in [
        (&["show", "#2"][..], 4),
        (&["show", "zzzzzzzz"], 4),
        (&["logs", "#x"], 4),
        (&["status", "zzzzzzzz"], 4),
        (&["trials", "--status", "happy"], 2),
    ] {
        let ran = lab.run(arguments).exits(code);
        assert!(
            ran.stderr.contains("error: ") && ran.stderr.contains("help: "),
            "{ran:#?}"
        );
    }
    assert_eq!(
        lab.json(&["trials", &id, "--status", "failed"])["trials"],
        Value::Array(Vec::new())
    );
    assert_eq!(lab.json(&["trials", &id, "-n", "1"])["trials"][0]["sequenceId"], 1);
    Lab::new().run(&["status"]).exits(4);
}

#[test]
fn a_log_is_followed_until_the_trial_ends() {
    let lab = Lab::new();
    lab.config(1, "echo first\nwait_for gate\necho last", "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("a running trial", |trials| in_status(trials, "RUNNING") == 1);
    let follow = lab.start(&["logs", "#0", "--follow"]);
    lab.open("gate");
    assert_eq!(follow.end().exits(0).stdout, "first\nlast\n");
    run.end().exits(0);
}

#[test]
fn results_are_exported_as_json_and_csv() {
    let (lab, id) = ended();
    let exported: Value = lab.run(&["export", &id, "--intermediate"]).exits(0).json();
    for (at, trial) in exported.as_array().expect("a list").iter().enumerate() {
        assert_eq!(trial["trialJobId"], lab.trials()[at]["id"]);
        assert!(trial["parameter"]["x"].is_number(), "{trial}");
        assert_eq!(trial["intermediate"].as_array().map(Vec::len), Some(1), "{trial}");
    }
    lab.run(&["export", &id, "--format", "csv", "--output", "out.csv"])
        .exits(0);
    let lines = lab.lines("out.csv");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "trialJobId,sequenceId,status,value,x");
    assert!(lines[2].contains(",1,SUCCEEDED,0.75,"), "{lines:?}");
    lab.run(&["export", &id, "--output", "no/such/place"]).exits(4);
}

#[test]
fn a_code_directory_is_listed_explained_and_packed() {
    let lab = Lab::new();
    lab.write("own/train.py", "pass\n");
    lab.write("own/data/big", "0123456789");
    lab.write("own/.nniignore", "data/\n");
    let listed = lab.json(&["code", "ls", "own"])["code"].clone();
    let paths: Vec<&str> = listed["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|e| e["path"].as_str())
        .collect();
    assert_eq!(paths, [".nniignore", "train.py"]);
    assert_eq!((&listed["files"], &listed["bytes"]), (&2.into(), &11.into()));
    assert_eq!(
        (&listed["entries"][1]["kind"], &listed["entries"][1]["bytes"]),
        (&"file".into(), &5.into())
    );
    assert_eq!(listed["excluded"][0]["isDirectory"], true);
    let why = lab.run(&["code", "why", "own", "data/big"]).exits(0).stdout;
    assert!(why.contains(".nniignore") && why.contains("data/"), "{why}");
    assert_eq!(lab.json(&["code", "why", "own", "train.py"])["included"], true);
    lab.run(&["code", "why", "own", "missing"]).exits(4);
    let first = lab.json(&["code", "pack", "own", "--output", "one.tar.gz"]);
    let again = lab.json(&["code", "pack", "own", "--output", "two.tar.gz"]);
    assert_eq!(first["digest"], again["digest"]);
    let read = |name: &str| std::fs::read(lab.path(name)).expect("written");
    assert_eq!(read("one.tar.gz"), read("two.tar.gz"));
    assert!(!lab.path("one.tar.gz.part").exists());
    lab.run(&["code", "ls", "nowhere"]).exits(4);
}

#[test]
fn gc_lists_first_and_removes_when_told() {
    let (lab, id) = ended();
    let directory = lab.path("nni-experiments").join(&id);
    let none = Value::Array(Vec::new());
    assert_eq!(
        lab.json(&["gc"])["leftovers"],
        none,
        "an experiment that ended leaves nothing behind"
    );
    let listed = lab.json(&["gc", &id]);
    assert_eq!(listed["removed"], false);
    lab.run(&["gc", &id, "--yes", "--dry-run"]).exits(0);
    assert!(directory.exists());
    lab.run(&["gc", &id, "--yes"]).exits(0);
    assert!(!directory.exists());
    assert_eq!(lab.json(&["ls"])["experiments"], none);

    let (lab, id) = ended();
    std::fs::remove_dir_all(lab.path("nni-experiments").join(&id)).expect("it is there");
    assert_eq!(lab.json(&["ls"])["experiments"][0]["status"], "GONE");
    let listed = lab.json(&["gc"]);
    assert!(
        listed["leftovers"][0].as_str().is_some_and(|text| text.contains(&id)),
        "{listed}"
    );
    lab.run(&["gc", "--yes"]).exits(0);
    assert_eq!(lab.json(&["ls"])["experiments"], none);
}
