//! Command lines of `nnictl`, through a link of that name; an experiment as a file and back.

use crate::lab::{Lab, Ran, in_status};
use std::fs;

/// Runs a command line of `nnictl` through a link to tsctl.
pub(crate) fn nnictl(lab: &Lab, line: &str) -> Ran {
    let program = lab.path("bin/nnictl");
    if !program.is_symlink() {
        fs::create_dir_all(lab.path("bin")).expect("made");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tsctl"), &program).expect("linked");
    }
    let arguments: Vec<&str> = line.split_whitespace().collect();
    Ran::new(lab.command_of(&program, &arguments).output().expect("it starts"))
}

#[test]
fn a_link_named_nnictl_does_what_nnictl_does() {
    let lab = Lab::new();
    lab.config(
        3,
        "report PERIODICAL 0 0.25\nreport FINAL 0 0.5\n[ \"$NNI_TRIAL_SEQ_ID\" -lt 2 ] || wait_for gate",
        "",
    );
    let created = nnictl(&lab, "create --config config.yml --port 0").exits(0);
    let id = created.stdout.trim().to_owned();
    lab.wait_for_trials("two ends", |trials| in_status(trials, "SUCCEEDED") == 2);
    let listed = nnictl(&lab, "experiment list").exits(0);
    assert!(listed.stdout.contains(&id), "{listed:#?}");
    let head = nnictl(&lab, &format!("trial ls {id} --head 1 --json")).exits(0).json();
    assert_eq!(head["trials"][0]["sequenceId"], 0, "{head}");
    assert_eq!(head["trials"].as_array().map(Vec::len), Some(1));
    let tail = nnictl(&lab, &format!("trial ls {id} --tail 1 --json")).exits(0).json();
    assert_eq!(tail["trials"][0]["sequenceId"], 2, "{tail}");
    nnictl(&lab, "update trialnum -v 4").exits(0);
    let shown = nnictl(&lab, "experiment show --json").exits(0).json();
    assert_eq!(shown["experiment"]["limits"]["maxTrials"], 4, "{shown}");
    let url = nnictl(&lab, "webui url").exits(0).stdout;
    let port = url.trim().trim_end_matches('/').rsplit(':').next().expect("a port");
    nnictl(&lab, "stop --port 1").exits(4);
    let last = tail["trials"][0]["id"].as_str().expect("an id");
    nnictl(&lab, &format!("trial kill {id} --trial_id {last}")).exits(0);
    lab.wait_for_trials("the cancelled trial", |trials| in_status(trials, "USER_CANCELED") == 1);
    nnictl(&lab, &format!("stop --port {port}")).exits(0);
    let gone = nnictl(&lab, "webui url").exits(4);
    assert!(gone.stderr.contains("serves no web page"), "{gone:#?}");
    nnictl(&lab, &format!("experiment export {id} -f out.json -t json -i")).exits(0);
    let exported = fs::read_to_string(lab.path("out.json")).expect("written");
    assert!(exported.contains("\"intermediate\":[\"0.25\"]"), "{exported}");
    let config = nnictl(&lab, &format!("config show {id}")).exits(0).json();
    assert_eq!(config["trialConcurrency"], 2, "{config}");
    let log = nnictl(&lab, &format!("log stdout {id} --path")).exits(0);
    assert!(log.stdout.trim().ends_with("log/manager.log"), "{log:#?}");
    nnictl(&lab, "experiment delete --all").exits(0);
    let none = nnictl(&lab, "experiment list --all --json").exits(0).json();
    assert_eq!(none["experiments"].as_array().map(Vec::len), Some(0), "{none}");
}

#[test]
fn what_is_not_here_says_what_to_do_instead() {
    let lab = Lab::new();
    for line in [
        "algo register --meta_path m.yml",
        "tensorboard start ID --trial_id T",
        "platform clean --config f",
    ] {
        let refused = nnictl(&lab, line).exits(8);
        assert!(refused.stderr.contains("help: "), "{refused:#?}");
    }
    nnictl(&lab, "trial kill").exits(2);
    nnictl(&lab, "nonsense").exits(2);
    nnictl(&lab, "create --config missing.yml").exits(4);
    let help = nnictl(&lab, "--help").exits(0);
    assert!(help.stdout.contains("trainingservice"), "{help:#?}");
    let version = nnictl(&lab, "--version").exits(0);
    assert!(version.stdout.starts_with("tsctl "), "{version:#?}");
    assert_eq!(lab.run(&["nnictl", "experiment", "list", "--all"]).exits(0).stdout, "");
}

#[test]
fn an_experiment_goes_into_a_file_and_comes_back() {
    let lab = Lab::new();
    lab.config(2, "echo hello\nreport FINAL 0 0.5", "");
    lab.run(&["run", "config.yml"]).exits(0);
    let id = lab.experiment().expect("there")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let trial = lab.trials()[0]["id"].as_str().expect("an id").to_owned();
    nnictl(&lab, &format!("experiment save {id} --path saved.tar.gz --saveCodeDir")).exits(0);
    lab.run(&["save", &id, "-o", "saved.tar.gz"]).exits(5);
    let there = lab.run(&["load", "saved.tar.gz"]).exits(5);
    assert!(there.stderr.contains("is there already"), "{there:#?}");
    lab.run(&["gc", &id, "--yes"]).exits(0);
    fs::remove_dir_all(lab.path("code")).expect("removed");
    let loaded = lab.run(&["load", "saved.tar.gz"]).exits(0);
    assert!(!lab.path("code").exists(), "the file does not say where else it goes");
    assert!(lab.path(&format!("nni-experiments/{id}/code/trial.sh")).is_file());
    assert!(loaded.stderr.contains("make a link"), "{loaded:#?}");
    let code = lab.path("code");
    std::os::unix::fs::symlink(lab.path(&format!("nni-experiments/{id}/code")), &code).expect("a link");
    lab.run(&["resume", &id, "--max-trials", "3"]).exits(0);
    assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 3);
    // Whose code is gone can be removed all the same.
    fs::remove_file(&code).expect("removed");
    lab.run(&["gc", &id, "--yes"]).exits(0);
    let loaded = lab
        .run(&["load", "saved.tar.gz", "--to", "elsewhere", "--code", "code"])
        .exits(0);
    assert_eq!(loaded.stdout.trim(), id);
    assert!(lab.path("code/trial.sh").is_file(), "{loaded:#?}");
    assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 2);
    assert_eq!(lab.run(&["logs", &trial]).exits(0).stdout, "hello\n");
    lab.run(&["resume", &id, "--max-trials", "3"]).exits(0);
    assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 3);

    let whole = fs::read(lab.path("saved.tar.gz")).expect("there");
    lab.run(&["gc", &id, "--yes"]).exits(0);
    fs::write(lab.path("cut.tar.gz"), &whole[..whole.len() / 2]).expect("written");
    lab.run(&["load", "cut.tar.gz"]).exits(9);
    assert!(
        !lab.path(&format!("nni-experiments/{id}")).exists(),
        "nothing is left of it"
    );
    let kept = nnictl(
        &lab,
        "experiment load --path saved.tar.gz --codeDir code --searchSpacePath s.json",
    );
    assert!(kept.exits(8).stderr.contains("keeps its search space"));
}
