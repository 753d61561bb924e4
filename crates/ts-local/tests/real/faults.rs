//! What goes wrong around a trial, and what is told of it: bad commands, killed shells, vanished directories, dead managers.

use crate::lab::{Lab, gone, is_alive, line_of, record, report};
use ts_core::{CancelReason, ErrorKind, Event, ReasonCode, TrainingService as _, TrialStatus as S};

#[tokio::test]
async fn a_command_that_is_not_found_is_named() {
    let lab = Lab::new().await;
    let trial = lab.submit("a", "no-such-program --x").await;
    let (status, why) = lab.watch().end_of(&trial).await;
    let why = why.expect("a verdict");
    assert_eq!((status, why.code), (S::Failed, ReasonCode::CommandNotFound));
    assert!(why.message.contains("no-such-program"), "{}", why.message);
}

#[tokio::test]
async fn a_vanished_code_directory_is_refused_at_submit() {
    let lab = Lab::new().await;
    std::fs::remove_dir(lab.code_dir()).expect("empty");
    let error = lab
        .service
        .submit(&lab.code, &lab.trial("a", "true"))
        .await
        .expect_err("nowhere to run");
    assert_eq!(error.kind(), ErrorKind::CodeDir);
    std::fs::create_dir(lab.code_dir()).expect("room");
    let trial = lab.submit("a", "true").await;
    assert_eq!(
        lab.watch().end_of(&trial).await.0,
        S::Succeeded,
        "the interrupted submit is finished"
    );
}

#[tokio::test]
async fn a_working_directory_that_cannot_be_made_is_an_error() {
    let lab = Lab::new().await;
    // A file in its place stops root, too, which a mode does not.
    std::fs::write(&lab.ctx.work_dir, "").expect("room");
    let error = lab
        .service
        .submit(&lab.code, &lab.trial("a", "true"))
        .await
        .expect_err("nowhere to write");
    assert!(error.message().contains("trial's directory"), "{error:?}");
}

#[tokio::test]
async fn a_shell_that_was_killed_is_lost_and_its_command_is_swept() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let trial = lab.submit("a", "echo $$ >pid; sleep 600; true").await;
    let command = line_of(&lab.code_dir().join("pid")).await;
    let shell = line_of(&lab.trial_dir(&trial).join(".nni/jobpid")).await;
    let pid = rustix::process::Pid::from_raw(command.parse().expect("a pid")).expect("not 0");
    assert!(shell != command && rustix::process::test_kill_process(pid).is_ok());
    let shell = rustix::process::Pid::from_raw(shell.parse().expect("a pid")).expect("not 0");
    rustix::process::kill_process(shell, rustix::process::Signal::KILL).expect("ours");
    let (status, why) = watcher.end_of(&trial).await;
    assert_eq!((status, why.map(|why| why.code)), (S::Failed, Some(ReasonCode::Lost)));
    gone(&command).await;
}

#[tokio::test]
async fn half_a_frame_is_passed_over_at_the_end() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let command = format!(
        r#"{}; printf ME000100half >>"$NNI_SYS_DIR/.nni/metrics"; exit 3"#,
        report("1")
    );
    let trial = lab.submit("a", &command).await;
    assert_eq!(watcher.end_of(&trial).await.0, S::Failed);
    assert_eq!(watcher.metrics(&trial), ["1"]);
    assert!(
        watcher
            .seen
            .iter()
            .any(|e| matches!(e, Event::Skipped { n_bytes: 12, .. })),
        "{:#?}",
        watcher.seen
    );
}

#[tokio::test]
async fn a_journal_truncated_by_a_second_process_loses_nothing_that_was_seen() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let wait = "until test -e go; do sleep 0.01; done";
    let second = report("22").replace(">>", ">");
    let trial = lab.submit("a", &format!("{}; {wait}; {second}", report("1"))).await;
    watcher
        .until("the metric", |seen| {
            seen.iter().any(|e| matches!(e, Event::Metric { .. }))
        })
        .await;
    std::fs::write(lab.code_dir().join("go"), "").expect("room");
    assert_eq!(watcher.end_of(&trial).await.0, S::Succeeded);
    assert_eq!(watcher.metrics(&trial), ["1", "22"]);
}

#[tokio::test]
async fn a_directory_that_is_deleted_under_a_running_trial_ends_as_lost() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let trial = lab
        .submit("a", "echo on >on; until test -e go; do sleep 0.01; done")
        .await;
    line_of(&lab.code_dir().join("on")).await; // nothing is written to its directory any more
    std::fs::remove_dir_all(lab.trial_dir(&trial)).expect("ours");
    std::fs::write(lab.code_dir().join("go"), "").expect("room");
    let (status, why) = watcher.end_of(&trial).await;
    assert_eq!((status, why.map(|why| why.code)), (S::Failed, Some(ReasonCode::Lost)));
}

#[tokio::test]
async fn a_stale_pid_that_belongs_to_a_stranger_now_is_neither_adopted_nor_hit() {
    let mut lab = Lab::new().await;
    let trial = lab.trial("a", "sleep 600");
    let mut stranger = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("sleep is there");
    let exchange = lab.trial_dir(&trial.id).join(".nni");
    std::fs::create_dir_all(&exchange).expect("room");
    std::fs::write(exchange.join("jobpid"), format!("{}\n", stranger.id())).expect("room");
    lab.crash().await;
    let recovered = lab.service.recover(&[record(&trial)]).await.expect("readable");
    assert_eq!(recovered.adopted, std::slice::from_ref(&trial.id));
    let (status, why) = lab.watch().end_of(&trial.id).await;
    assert_eq!((status, why.map(|why| why.code)), (S::Failed, Some(ReasonCode::Lost)));
    lab.service
        .cancel(&trial.id, CancelReason::User)
        .await
        .expect("nothing left");
    let is_unhurt = is_alive(&stranger.id().to_string());
    stranger.kill().and_then(|()| stranger.wait()).expect("ours");
    assert!(is_unhurt);
}

#[tokio::test]
async fn a_cancel_that_the_manager_did_not_live_to_finish_is_completed() {
    let mut lab = Lab::new().await;
    let trial = lab.trial("a", "echo $$ >pid; sleep 600");
    lab.service.submit(&lab.code, &trial).await.expect("starts");
    let pid = line_of(&lab.code_dir().join("pid")).await;
    lab.crash().await;
    std::fs::write(lab.trial_dir(&trial.id).join(".nni/cancel"), "earlyStop").expect("room");
    lab.service.recover(&[record(&trial)]).await.expect("readable");
    assert_eq!(lab.watch().end_of(&trial.id).await.0, S::EarlyStopped);
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn gpu_trials_wait_with_a_reason_share_nothing_and_follow_each_other() {
    let mut config = ts_local::LocalConfig::default();
    let tools = tempfile::tempdir().expect("room");
    config.nvidia_smi = tools.path().join("nvidia-smi");
    let script = "#!/bin/sh\ncase $1 in --query-gpu*) echo '0, GPU-0, T4, 16000, 0, 0, [N/A]';; esac\n";
    ts_testkit::write_program(&config.nvidia_smi, script);
    let lab = Lab::with(config).await;
    let mut watcher = lab.watch();
    let first = lab
        .submit_on_gpus("a", 1, "until test -e go; do sleep 0.01; done")
        .await;
    let runs = |id: ts_core::TrialId| {
        move |seen: &[Event]| {
            seen.iter()
                .any(|e| matches!(e, Event::Status { trial, status: S::Running, .. } if *trial == id))
        }
    };
    watcher.until("the first start", runs(first.clone())).await;
    let second = lab
        .submit_on_gpus("b", 1, "echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER")
        .await;
    let is_busy = |seen: &[Event]| {
        let busy = |why: &Option<ts_core::Reason>| why.as_ref().is_some_and(|why| why.code == ReasonCode::GpuBusy);
        seen.iter()
            .any(|e| matches!(e, Event::Status { trial, why, .. } if *trial == second && busy(why)))
    };
    watcher.until("the reason", is_busy).await;
    std::fs::write(lab.code_dir().join("go"), "").expect("room");
    assert_eq!(watcher.end_of(&second).await.0, S::Succeeded);
    assert_eq!(line_of(&lab.trial_dir(&second).join("stdout")).await, "0 PCI_BUS_ID");
}
