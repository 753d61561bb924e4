//! Signals: Ctrl-C once and twice, and a terminal that closes.

use crate::lab::{Lab, in_status, processes_of, wait};
use rustix::process::Signal;

fn id(lab: &Lab) -> String {
    let experiment = wait("the experiment", || lab.experiment());
    experiment["id"].as_str().expect("an id").to_owned()
}

#[test]
fn an_interrupt_cancels_the_trials_and_leaves_no_process() {
    let lab = Lab::new();
    lab.config(9, "wait_for never", "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    let id = id(&lab);
    assert!(!processes_of(&id).is_empty(), "trials carry the mark");
    run.signal(Signal::INT);
    let ran = run.end().exits(12);
    assert!(ran.stderr.contains("stopping"), "{ran:#?}");
    let trials = lab.trials();
    assert_eq!(in_status(&trials, "USER_CANCELED"), trials.len(), "{trials:?}");
    assert_eq!(processes_of(&id), Vec::<std::path::PathBuf>::new());
    assert_eq!(lab.experiment().expect("stored")["status"], "STOPPED");
}

#[test]
fn a_second_interrupt_leaves_at_once() {
    let lab = Lab::new();
    // Trials that do not obey; by default they are given ten seconds and more.
    lab.config(
        2,
        "trap '' TERM INT; : >\"$LAB/deaf.$NNI_TRIAL_SEQ_ID\"; wait_for gate",
        "",
    );
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    wait("trials that are deaf", || {
        (lab.path("deaf.0").exists() && lab.path("deaf.1").exists()).then_some(())
    });
    let id = id(&lab);
    run.signal(Signal::INT);
    lab.wait_for_trials("the request", |trials| {
        trials.iter().all(|trial| !trial["cancelRequested"].is_null())
    });
    run.signal(Signal::INT);
    let ran = run.end().exits(130);
    assert!(ran.stderr.contains("left at once"), "{ran:#?}");
    lab.open("gate");
    lab.run(&["stop", &id]).exits(0);
    wait("the end of the trials", || processes_of(&id).is_empty().then_some(()));
}

#[test]
fn a_closed_terminal_ends_nothing() {
    let lab = Lab::new();
    lab.config(2, "wait_for gate", "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    run.signal(Signal::HUP);
    lab.open("gate");
    run.end().exits(0);
    assert_eq!(in_status(&lab.trials(), "SUCCEEDED"), 2);
}
