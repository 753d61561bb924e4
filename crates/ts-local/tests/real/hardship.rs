//! Trials that make trouble by themselves, and a machine that does: floods of output, stopped processes, a broken driver.

use crate::lab::{Lab, is_alive, line_of};
use std::time::Duration;
use ts_core::{CancelReason, Ctx, Event, FindingState, ReasonCode, TrainingService as _, TrialStatus as S};
use ts_local::{LocalConfig, PLATFORM};
use ts_testkit::write_program;

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("there");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

/// A lab whose nvidia-smi is this script; the directory holds the script.
async fn lab_with_driver(script: &str) -> (Lab, tempfile::TempDir) {
    let tools = tempfile::tempdir().expect("room");
    let mut config = LocalConfig::default();
    config.nvidia_smi = tools.path().join("nvidia-smi");
    write_program(&config.nvidia_smi, &format!("#!/bin/sh\n{script}\n"));
    (Lab::with(config).await, tools)
}

#[tokio::test]
async fn a_trial_leads_a_session_of_its_own() {
    let lab = Lab::new().await;
    let trial = lab.submit("a", "cut -d' ' -f6 </proc/$$/stat").await;
    assert_eq!(lab.watch().end_of(&trial).await.0, S::Succeeded);
    let shell = line_of(&lab.trial_dir(&trial).join(".nni/jobpid")).await;
    assert_eq!(line_of(&lab.trial_dir(&trial).join("stdout")).await, shell);
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_cost_us_no_memory() {
    let lab = Lab::new().await;
    let before = resident();
    let trial = lab.submit("a", "head -c 100000000 /dev/zero").await;
    assert_eq!(lab.watch().end_of(&trial).await, (S::Succeeded, None));
    let output = std::fs::metadata(lab.trial_dir(&trial).join("stdout")).expect("there");
    assert_eq!(output.len(), 100_000_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 50_000, "grew by {grown} KiB"); // other tests of this process run beside it
}

#[tokio::test]
async fn a_trial_that_stopped_itself_can_be_canceled() {
    let mut config = LocalConfig::default();
    config.grace_period = Duration::from_millis(200);
    let lab = Lab::with(config).await;
    let trial = lab.submit("a", "echo $$ >pid; kill -STOP $$; sleep 600").await;
    let pid = line_of(&lab.code_dir().join("pid")).await;
    lab.service.cancel(&trial, CancelReason::User).await.expect("taken");
    assert_eq!(lab.watch().end_of(&trial).await.0, S::UserCanceled);
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn a_stream_of_short_lived_children_does_not_outlive_a_cancel() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let command = "for i in 1 2 3; do (while :; do /bin/true; done) & done; echo $$ >pid; wait";
    let trial = lab.submit("a", command).await;
    let pid = line_of(&lab.code_dir().join("pid")).await;
    lab.service.cancel(&trial, CancelReason::User).await.expect("taken");
    let (status, why) = watcher.end_of(&trial).await;
    assert_eq!(
        (status, why.map(|why| why.code)),
        (S::UserCanceled, Some(ReasonCode::Canceled))
    );
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn leftovers_do_not_outlive_tasks_that_end_before_the_next_sweep() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    // The first end has a look of its own, the second one's would follow a second later.
    for id in ["a", "b"] {
        let command = format!("setsid sh -c 'echo $$ >{id}; exec sleep 600' & until test -s {id}; do sleep 0.01; done");
        let trial = lab.submit(id, &command).await;
        assert_eq!(watcher.end_of(&trial).await.0, S::Succeeded);
    }
    lab.ctx.tasks.close().await;
    let left = line_of(&lab.code_dir().join("b")).await;
    assert!(!is_alive(&left), "process {left} outlives the experiment");
}

#[tokio::test]
async fn closing_the_tasks_spares_what_runs() {
    let mut lab = Lab::new().await;
    let trial = lab.submit("a", "echo $$ >pid; sleep 600").await;
    let pid = line_of(&lab.code_dir().join("pid")).await;
    lab.crash().await;
    assert!(is_alive(&pid));
    let known = crate::lab::record(&lab.trial("a", "true"));
    lab.service.recover(&[known]).await.expect("readable");
    lab.service.cancel(&trial, CancelReason::User).await.expect("taken");
    assert_eq!(lab.watch().end_of(&trial).await.0, S::UserCanceled);
}

#[tokio::test]
async fn a_broken_driver_makes_trials_wait_with_a_reason_and_they_can_be_canceled() {
    for script in [
        "echo 'no devices, Xid 79' >&2; exit 15",
        "echo 'garbage, not CSV'",
        "exit 0",
    ] {
        let (lab, _tools) = lab_with_driver(script).await;
        let mut watcher = lab.watch();
        let waiting = lab.submit_on_gpus("a", 1, "true").await;
        let has_reason = |seen: &[Event]| {
            let told = |why: &Option<ts_core::Reason>| {
                why.as_ref()
                    .is_some_and(|why| !matches!(why.code, ReasonCode::Starting | ReasonCode::Queued))
            };
            seen.iter()
                .any(|e| matches!(e, Event::Status { status: S::Waiting, why, .. } if told(why)))
        };
        watcher.until(script, has_reason).await;
        lab.service.cancel(&waiting, CancelReason::User).await.expect("taken");
        assert_eq!(watcher.end_of(&waiting).await.0, S::UserCanceled, "{script}");
        assert_eq!(watcher.statuses(&waiting).last(), Some(&S::UserCanceled));
        assert!(!watcher.statuses(&waiting).contains(&S::Running), "{script}");
    }
}

#[tokio::test]
async fn an_isolated_trial_leaves_the_code_directory_as_it_was() {
    let mut config = LocalConfig::default();
    config.isolate = true;
    let mut lab = Lab::with(config).await;
    std::fs::write(lab.code_dir().join("data"), "original\n").expect("room");
    lab.code = lab.service.prepare(&lab.spec.code).await.expect("readable");
    let trial = lab.submit("a", "cat data; echo changed >data; echo new >new").await;
    assert_eq!(lab.watch().end_of(&trial).await, (S::Succeeded, None));
    assert_eq!(line_of(&lab.trial_dir(&trial).join("stdout")).await, "original");
    assert_eq!(line_of(&lab.code_dir().join("data")).await, "original");
    assert!(!lab.code_dir().join("new").exists());
    let second = lab.submit("b", "cat data").await;
    assert_eq!(lab.watch().end_of(&second).await, (S::Succeeded, None));
    assert_eq!(line_of(&lab.trial_dir(&second).join("stdout")).await, "original");
}

#[tokio::test]
async fn a_diagnosis_names_what_it_looked_at_and_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("room");
    let ctx = Ctx::new(dir.path().join("work"));
    let findings = (PLATFORM.diagnose)(None, &ctx).await;
    let names: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(names, ["shell", "bash", "/proc", "inotify", "disk", "GPUs"]);
    let is_good = |name: &str| {
        findings
            .iter()
            .any(|f| f.subject == name && f.state == FindingState::Good)
    };
    assert!(is_good("shell") && is_good("/proc"), "{findings:#?}");
    assert!(!ctx.work_dir.exists());
}
