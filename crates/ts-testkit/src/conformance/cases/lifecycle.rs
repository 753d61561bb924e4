//! From submit to the end: order of statuses, verdicts, one job per trial, parameters.

use super::{Behavior, Client, Fixture, assert_refused, gated, metrics, within};
use futures_util::future::join_all;
use ts_core::{Parameters, ReasonCode, Support, TrialStatus, Verdict};

/// Statuses come in order, and the end comes after all metrics.
pub async fn a_trial_waits_runs_and_succeeds_in_this_order(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&gated("go", metrics(0, 1), metrics(1, 1), 0)).await;
    watch.until_status(&trial.id, TrialStatus::Running).await;
    watch.until_metrics(&trial.id, 1).await;
    fixture.open_gate("go").await;
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    assert_eq!(history.bodies(), metrics(0, 2));
    assert_eq!(history.why, None, "a success needs no reason");
    client.finish().await;
}

/// Exit codes become verdicts.
pub async fn a_failed_trial_says_whose_fault_it_was(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    for (code, reason, verdict) in [
        (1, ReasonCode::ExitCode, Verdict::UserCode),
        (3, ReasonCode::ExitCode, Verdict::UserCode),
        (126, ReasonCode::NotExecutable, Verdict::Configuration),
        (127, ReasonCode::CommandNotFound, Verdict::Configuration),
        (255, ReasonCode::ExitCode, Verdict::UserCode),
    ] {
        let behavior = Behavior::Exit {
            metrics: Vec::new(),
            code,
        };
        let trial = client.submit(&behavior).await;
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Failed), "exit code {code}");
        let why = history.why.expect("a failure has a reason");
        assert_eq!(
            (why.code, why.code.verdict()),
            (reason, Some(verdict)),
            "exit code {code}: {why:?}"
        );
        assert!(why.message.contains(&code.to_string()), "exit code {code}: {why:?}");
    }
    client.finish().await;
}

/// The same id again is a no-op, while the trial runs and after its end.
pub async fn submitting_twice_makes_one_job(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.trial(&gated("go", metrics(0, 1), metrics(1, 1), 0));
    let first = client.service.submit(&client.code, &trial).await.expect("submit");
    let again = client.service.submit(&client.code, &trial).await.expect("submit again");
    assert_eq!(first, again, "the receipt of one job");
    watch.until_metrics(&trial.id, 1).await;
    client.submit_spec(&trial).await;
    fixture.open_gate("go").await;
    watch.until_end(&trial.id).await;
    client.submit_spec(&trial).await;
    let mut after = client.watch();
    let history = after.until_end(&trial.id).await;
    assert_eq!(
        history.bodies(),
        metrics(0, 2),
        "a second job would have reported again"
    );
    client.finish().await;
}

/// Nothing is mixed up between trials that run at once.
pub async fn fifty_trials_at_once_all_end_with_their_own_metrics(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let behavior = |n: usize| gated("go", metrics(n, 1), metrics(n + 1, 2), u8::from(n % 5 == 4));
    let trials: Vec<_> = (0..50).map(|n| client.trial(&behavior(n))).collect();
    join_all(trials.iter().map(|trial| client.submit_spec(trial))).await;
    fixture.open_gate("go").await;
    for (n, trial) in trials.iter().enumerate() {
        let history = watch.until_end(&trial.id).await;
        let expected = if n % 5 == 4 {
            TrialStatus::Failed
        } else {
            TrialStatus::Succeeded
        };
        assert_eq!(history.status(), Some(expected), "{}", trial.id);
        assert_eq!(history.bodies(), metrics(n, 3), "{}", trial.id);
    }
    client.finish().await;
}

/// Parameters are never re-serialized, and never another trial's.
pub async fn parameters_reach_the_trial_byte_for_byte(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let texts = [
        r#"{"parameter_id": 0, "parameters": {"lr": 1e-05, "name": "it's $HOME `x` \\ é"}}"#,
        r#"{"parameter_id":1,"parameters":{"b":1.0,"a":10000000000000000000000,"s":"%s\u00e9"}}"#,
    ];
    let mut trials = Vec::new();
    for text in texts {
        let mut trial = client.trial(&Behavior::Phases { n: 1 });
        trial.parameters = Parameters::new(text);
        client.submit_spec(&trial).await;
        trials.push(trial);
    }
    for (trial, text) in trials.iter().zip(texts) {
        let history = watch.until_end(&trial.id).await;
        assert_eq!(history.bodies(), [text]);
        assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    }
    client.finish().await;
}

/// Multi-phase: the second parameters reach the trial that runs, or the platform says why not.
pub async fn next_parameters_reach_a_running_trial_or_are_refused(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let trial = client.submit(&Behavior::Phases { n: 2 }).await;
    let first = trial.parameters.text.to_string();
    assert_eq!(watch.until_metrics(&trial.id, 1).await.bodies(), [first.as_str()]);
    let text = r#"{"parameter_id": 7, "parameters": {"x": 0.5}, "parameter_index": 1}"#;
    let next = Parameters {
        text: text.into(),
        index: 1,
    };
    let outcome = within("send_parameters", client.service.send_parameters(&trial.id, &next)).await;
    match client.service.capabilities().next_parameters {
        Support::No(reason) => assert_refused("send_parameters", outcome, reason),
        Support::Yes => {
            outcome.expect("send_parameters");
            let history = watch.until_end(&trial.id).await;
            assert_eq!(history.status(), Some(TrialStatus::Succeeded));
            assert_eq!(history.bodies(), [first.as_str(), text]);
        }
    }
    client.finish().await;
}
