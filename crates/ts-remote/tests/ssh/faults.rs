//! Cuts, crashes and losses: trials go on, every metric arrives once, every exit code is right, and nothing waits for ever.

use crate::machine::{Machine, PASSWORD};
use std::{path::Path, process::Command, time::Duration};
use ts_core::{CancelReason, JournalCursor, ReasonCode, TrialRecord, TrialSpec, TrialStatus};
use ts_testkit::conformance::{Behavior, Client, Fixture as _, Observer};

const THREE: [&str; 3] = ["one", "two", "three"];

/// A trial that reports `n` metrics, one each `pause` seconds, and exits with `code`.
fn slow(client: &Client<'_>, machine: &Machine, n: usize, pause: &str, code: u8) -> TrialSpec {
    let mut trial = client.trial(&Behavior::Exit {
        metrics: Vec::new(),
        code,
    });
    let frames = (0..n).map(|i| {
        let one = machine.command(&Behavior::Exit {
            metrics: vec![format!("m{i:03}")],
            code: 0,
        });
        format!("({one})\nsleep {pause}\n")
    });
    let frames = frames.collect::<Vec<_>>().concat();
    trial.command = format!("{frames}exit {code}");
    trial
}

fn expected(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("m{i:03}")).collect()
}

fn record(trial: &TrialSpec, cursor: JournalCursor) -> TrialRecord {
    TrialRecord::new(trial.clone(), true, TrialStatus::Running, cursor)
}

async fn pause(ms: u64) {
    tokio::time::timeout(Duration::from_millis(ms), std::future::pending::<()>())
        .await
        .expect_err("nothing comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_again_and_again_loses_and_repeats_nothing() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let mut trials = Vec::new();
    for n in 0..20 {
        let trial = slow(&client, &machine, 12, "0.1", n % 3);
        client.submit_spec(&trial).await;
        trials.push(trial);
    }
    for _ in 0..6 {
        pause(350).await;
        machine.server.cut();
    }
    for (n, trial) in trials.iter().enumerate() {
        let history = seen.until_end(&trial.id).await;
        assert_eq!(history.bodies(), expected(12), "{}", trial.id);
        let right = if n % 3 == 0 {
            TrialStatus::Succeeded
        } else {
            TrialStatus::Failed
        };
        assert_eq!(history.status(), Some(right), "{history:?}");
    }
    assert!(machine.server.n_connections() > 2, "it was cut");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_that_end_while_the_server_is_gone_have_their_metrics_and_codes_when_it_returns() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let (good, bad) = (
        slow(&client, &machine, 3, "0.1", 0),
        slow(&client, &machine, 3, "0.1", 7),
    );
    client.submit_spec(&good).await;
    client.submit_spec(&bad).await;
    seen.until_status(&good.id, TrialStatus::Running).await;
    seen.until_status(&bad.id, TrialStatus::Running).await;
    machine.server.stop().await;
    client.until_nothing_runs(&good.id).await;
    client.until_nothing_runs(&bad.id).await;
    machine.server.restart().await;
    let history = seen.until_end(&good.id).await;
    assert_eq!(
        (history.status(), history.bodies().len()),
        (Some(TrialStatus::Succeeded), 3)
    );
    let history = seen.until_end(&bad.id).await;
    assert_eq!(
        (history.status(), history.bodies().len()),
        (Some(TrialStatus::Failed), 3)
    );
    let why = history.why.expect("a reason");
    assert!(why.message.contains('7'), "{why:?}");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_that_dies_in_a_cut_finds_every_metric_once() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let trial = slow(&client, &machine, 10, "0.1", 0);
    client.submit_spec(&trial).await;
    let before = seen.until_metrics(&trial.id, 3).await;
    machine.server.stop().await;
    drop(seen);
    let (client, ()) = tokio::join!(client.crash(), async {
        pause(1).await;
        machine.server.restart().await;
    });
    let found = client.recover(&[record(&trial, before.cursor())]).await;
    assert_eq!((found.adopted, found.lost), (vec![trial.id.clone()], vec![]));
    let mut seen = client.watch_from(ts_core::WatchRequest::new().resuming(trial.id.clone(), before.cursor()));
    let after = seen.until_end(&trial.id).await;
    let all: Vec<&str> = before.bodies().into_iter().chain(after.bodies()).collect();
    assert_eq!(all, expected(10));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_the_server_is_gone_is_carried_out_when_it_returns() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let trial = client
        .submit(&Behavior::RunUntilCanceled {
            metrics: vec!["here".into()],
        })
        .await;
    seen.until_metrics(&trial.id, 1).await;
    machine.server.stop().await;
    client.cancel(&trial.id, CancelReason::User).await;
    assert!(!client.running(&trial.id).await.is_empty(), "out of reach");
    machine.server.restart().await;
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::UserCanceled));
    client.until_nothing_runs(&trial.id).await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_directory_is_gone_gets_a_verdict() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let trial = client
        .submit(&Behavior::RunUntilCanceled {
            metrics: vec!["1".into()],
        })
        .await;
    // By then it makes no folder any more.
    seen.until_metrics(&trial.id, 1).await;
    remove(&machine.trial_dir(&trial.id));
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Failed), "{history:?}");
    let why = history.why.expect("a reason").message;
    assert!(why.contains("directory"), "{why}");
    client.until_nothing_runs(&trial.id).await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_of_a_machine_that_was_restarted_gets_a_verdict_and_keeps_its_metrics() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let trial = after_three_metrics(&client, &mut seen).await;
    // The launcher notes under which start of the machine it began; a restart is another one.
    let note = machine.trial_dir(&trial.id).join(".nni/run");
    let text = std::fs::read_to_string(&note).expect("noted");
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "another-start-of-the-machine";
    std::fs::write(&note, lines.join("\n") + "\n").expect("our file");
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Failed), "{history:?}");
    assert_eq!(history.bodies(), THREE);
    let why = history.why.expect("a reason");
    assert!(why.message.contains("restarted"), "{}", why.message);
    kill_all(&client, &trial).await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_was_killed_with_its_shell_gets_a_verdict_and_keeps_its_metrics() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let trial = after_three_metrics(&client, &mut seen).await;
    kill_all(&client, &trial).await;
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.bodies(), THREE);
    assert!(
        history.status().is_some_and(|s| s != TrialStatus::Succeeded),
        "{history:?}"
    );
    assert!(history.why.is_some());
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_trials_need_one_connection_and_the_password_leaves_no_trace() {
    let machine = Machine::with(|_, _| {}).await;
    std::fs::write(machine.path("code/train.py"), "print(1)\n").expect("a file");
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let mut trials = Vec::new();
    for _ in 0..30 {
        let done = Behavior::Exit {
            metrics: vec!["1".into()],
            code: 0,
        };
        trials.push(client.submit(&done).await);
    }
    for trial in &trials {
        let history = seen.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    }
    assert_eq!(machine.server.n_connections(), 1);
    assert_eq!(
        machine.server.n_channels(),
        3,
        "one for requests, one for reports, one for the code"
    );
    assert!(!machine.server.has_heard(PASSWORD));
    let output = Command::new("grep")
        .args(["-rl", PASSWORD])
        .arg(machine.directory.path())
        .output();
    let found = output.expect("grep").stdout;
    assert!(found.is_empty(), "{}", String::from_utf8_lossy(&found));
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_waits_with_a_reason_while_no_machine_can_be_reached() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    machine.server.stop().await;
    pause(300).await;
    let trial = client
        .submit(&Behavior::Exit {
            metrics: vec![],
            code: 0,
        })
        .await;
    seen.until("a reason that names the machine", |seen| {
        seen.of(&trial.id)
            .why
            .is_some_and(|why| why.code == ReasonCode::Unreachable && why.message.contains("127.0.0.1"))
    })
    .await;
    machine.server.restart().await;
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

/// A trial that has reported three metrics and runs on.
async fn after_three_metrics(client: &Client<'_>, seen: &mut Observer) -> TrialSpec {
    let trial = client
        .submit(&Behavior::RunUntilCanceled {
            metrics: THREE.map(str::to_owned).to_vec(),
        })
        .await;
    seen.until_metrics(&trial.id, 3).await;
    trial
}

fn remove(dir: &Path) {
    // The trial may be making files in it.
    while dir.exists() {
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Kills everything of a trial, its shell first, so that nobody is left to say so.
async fn kill_all(client: &Client<'_>, trial: &TrialSpec) {
    loop {
        let running = client.running(&trial.id).await;
        if running.is_empty() {
            return;
        }
        let ids = running.iter().filter_map(|process| process.split(':').next());
        // One may have ended by itself.
        let _ = Command::new("kill").arg("-9").args(ids).output().expect("kill");
    }
}
