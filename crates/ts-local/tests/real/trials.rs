//! Trials from submit to end: what they see, what is told of them, and how they are ended. Real processes throughout.

use crate::lab::{Lab, gone, is_alive, line_of, report};
use std::time::Duration;
use ts_core::{CancelReason, CleanupScope, Event, GpuCount, ReasonCode, TrainingService as _, TrialStatus as S};

#[tokio::test]
async fn a_trial_reports_its_metrics_before_its_end() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let trial = lab.submit("a", &format!("{}; {}", report("1"), report("2"))).await;
    assert_eq!(watcher.end_of(&trial).await, (S::Succeeded, None));
    assert_eq!(watcher.statuses(&trial), [S::Running, S::Succeeded]);
    assert_eq!(watcher.metrics(&trial), ["1", "2"]);
    assert!(
        matches!(watcher.seen.last(), Some(Event::Status { .. })),
        "the end is not last"
    );
}

#[tokio::test]
async fn a_metric_arrives_while_the_trial_runs() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let trial = lab
        .submit("a", &format!("read go <go || true; {}; sleep 60", report("7")))
        .await;
    watcher
        .until("the metric", |seen| {
            seen.iter().any(|e| matches!(e, Event::Metric { .. }))
        })
        .await;
    assert_eq!(watcher.statuses(&trial), [S::Running]);
    lab.service.cancel(&trial, CancelReason::User).await.expect("taken");
    assert_eq!(watcher.end_of(&trial).await.0, S::UserCanceled);
}

#[tokio::test]
async fn parameters_arrive_byte_for_byte_and_the_command_runs_in_the_code_directory() {
    let lab = Lab::new().await;
    let mut trial = lab.trial(
        "a",
        r#"cp "$NNI_SYS_DIR/parameter.cfg" copy; pwd; echo "$NNI_TRIAL_JOB_ID $NNI_TRIAL_SEQ_ID" >&2"#,
    );
    let text = "{ \"x\":1e-07 , \"y\" : \"ü'\\\"\" }";
    trial.parameters = ts_core::Parameters::new(text);
    lab.service.submit(&lab.code, &trial).await.expect("starts");
    assert_eq!(lab.watch().end_of(&trial.id).await.0, S::Succeeded);
    assert_eq!(
        std::fs::read_to_string(lab.code_dir().join("copy")).expect("copied"),
        text
    );
    let dir = lab.trial_dir(&trial.id);
    assert_eq!(line_of(&dir.join("stdout")).await, lab.code_dir().display().to_string());
    assert_eq!(line_of(&dir.join("stderr")).await, "a 0");
}

#[tokio::test]
async fn submitting_twice_starts_one_process() {
    let lab = Lab::new().await;
    let trial = lab.trial("a", "echo started >>started; sleep 60");
    for _ in 0..3 {
        lab.service.submit(&lab.code, &trial).await.expect("taken");
    }
    let mut watcher = lab.watch();
    line_of(&lab.code_dir().join("started")).await;
    lab.service
        .cancel(&trial.id, CancelReason::EarlyStop)
        .await
        .expect("taken");
    let (status, why) = watcher.end_of(&trial.id).await;
    assert_eq!(
        (status, why.map(|why| why.code)),
        (S::EarlyStopped, Some(ReasonCode::EarlyStopped))
    );
    lab.service
        .submit(&lab.code, &trial)
        .await
        .expect("known, though ended");
    assert_eq!(
        std::fs::read_to_string(lab.code_dir().join("started")).expect("there"),
        "started\n"
    );
}

#[tokio::test]
async fn cuda_visible_devices_tells_unset_and_zero_apart() {
    let lab = Lab::new().await;
    for (id, gpus, expected) in [
        ("unset", GpuCount::Unset, "unset"),
        ("zero", GpuCount::Exactly(0), "-1"),
    ] {
        let mut trial = lab.trial(id, "echo ${CUDA_VISIBLE_DEVICES-unset}");
        trial.gpus = gpus;
        lab.service.submit(&lab.code, &trial).await.expect("starts");
        assert_eq!(lab.watch().end_of(&trial.id).await.0, S::Succeeded);
        assert_eq!(line_of(&lab.trial_dir(&trial.id).join("stdout")).await, expected);
    }
}

#[tokio::test]
async fn cancel_ends_children_and_detached_processes() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    // One child, one in a session of its own whose parent is gone, one with a scrubbed environment.
    let command = "setsid sh -c 'echo $$ >detached; exec sleep 600' & env -i sh -c 'echo $$ >scrubbed; sleep 600; true' & \
                   echo $$ >shell; sleep 600";
    let trial = lab.submit("a", command).await;
    let mut pids = Vec::new();
    for file in ["detached", "scrubbed", "shell"] {
        pids.push(line_of(&lab.code_dir().join(file)).await);
    }
    lab.service.cancel(&trial, CancelReason::User).await.expect("taken");
    let (status, why) = watcher.end_of(&trial).await;
    assert_eq!(
        (status, why.map(|why| why.code)),
        (S::UserCanceled, Some(ReasonCode::Canceled))
    );
    assert!(
        pids.iter().all(|pid| !is_alive(pid)),
        "the end was told before the tree was gone"
    );
}

#[tokio::test]
async fn a_trial_that_ignores_the_request_is_forced() {
    let mut config = ts_local::LocalConfig::default();
    config.grace_period = Duration::from_millis(100);
    let lab = Lab::with(config).await;
    let mut watcher = lab.watch();
    let trial = lab
        .submit("a", "trap '' TERM; echo $$ >ready; while :; do sleep 1; done")
        .await;
    let pid = line_of(&lab.code_dir().join("ready")).await;
    lab.service
        .cancel(&trial, CancelReason::TimeLimit)
        .await
        .expect("taken");
    let (status, why) = watcher.end_of(&trial).await;
    assert_eq!(
        (status, why.map(|why| why.code)),
        (S::EarlyStopped, Some(ReasonCode::TimeLimit))
    );
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn the_end_of_the_command_ends_what_it_left_behind() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    let command = "sh -c 'echo $$ >background; exec sleep 600' & setsid sh -c 'echo $$ >detached; exec sleep 600' & \
                   until test -s background && test -s detached; do sleep 0.01; done";
    let trial = lab.submit("a", command).await;
    assert_eq!(watcher.end_of(&trial).await, (S::Succeeded, None));
    for file in ["background", "detached"] {
        gone(&line_of(&lab.code_dir().join(file)).await).await;
    }
}

/// A command that leaves a process in a session of its own, whose pid is in the file `name`.
fn leaving(name: &str) -> String {
    format!("setsid sh -c 'echo $$ >{name}; exec sleep 600' & until test -s {name}; do sleep 0.01; done")
}

#[tokio::test]
async fn a_cleanup_of_nothing_waits_until_leftovers_are_gone() {
    let lab = Lab::new().await;
    let mut watcher = lab.watch();
    // The second look for leftovers would come a second after the first.
    for name in ["first", "second"] {
        let trial = lab.submit(name, &leaving(name)).await;
        assert_eq!(watcher.end_of(&trial).await.0, S::Succeeded);
    }
    let report = lab.service.cleanup(&CleanupScope::Trials(Vec::new())).await;
    assert!(report.is_clean() && report.removed == 0);
    for name in ["first", "second"] {
        assert!(!is_alive(&line_of(&lab.code_dir().join(name)).await), "{name}");
    }
}

#[tokio::test]
async fn leftovers_of_a_trial_that_ended_before_a_crash_are_swept_and_no_strays() {
    let mut lab = Lab::new().await;
    let mut watcher = lab.watch();
    for name in ["first", "second"] {
        let trial = lab.submit(name, &leaving(name)).await;
        assert_eq!(watcher.end_of(&trial).await.0, S::Succeeded);
    }
    lab.crash().await;
    let recovered = lab.service.recover(&[]).await.expect("readable");
    assert_eq!(recovered.strays, []);
    for name in ["first", "second"] {
        gone(&line_of(&lab.code_dir().join(name)).await).await;
    }
}

#[tokio::test]
async fn canceling_what_is_unknown_or_has_ended_is_fine() {
    let lab = Lab::new().await;
    let trial = lab.submit("a", "true").await;
    let mut watcher = lab.watch();
    assert_eq!(watcher.end_of(&trial).await.0, S::Succeeded);
    lab.service
        .cancel(&trial, CancelReason::User)
        .await
        .expect("nothing left to stop");
    let unknown = ts_core::TrialId::new("nobody").expect("legal");
    lab.service
        .cancel(&unknown, CancelReason::User)
        .await
        .expect("nothing left to stop");
}

#[tokio::test]
async fn two_watchers_see_the_same_and_a_late_one_sees_it_all() {
    let lab = Lab::new().await;
    let (mut one, mut two) = (lab.watch(), lab.watch());
    let trial = lab.submit("a", &report("0.5")).await;
    let end = one.end_of(&trial).await;
    assert_eq!(two.end_of(&trial).await, end);
    let mut late = lab.watch();
    late.until("the listing", |seen| seen.contains(&Event::Synced)).await;
    for watcher in [&one, &two, &late] {
        assert_eq!(watcher.metrics(&trial), ["0.5"]);
        assert_eq!(watcher.statuses(&trial), [S::Running, S::Succeeded]);
    }
}
