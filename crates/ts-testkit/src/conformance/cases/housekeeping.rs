//! What is not a trial's life: checks, rendering, delivery of code, refusals, bad input, cleanup.

use super::{Behavior, Client, Fixture, assert_refused, gated, metrics, within};
use futures_util::StreamExt;
use ts_core::{
    CleanupScope, CodeDirectory, ErrorKind, GpuCount, GpuPlacement, JournalCursor, LogKind, Parameters, Prepared,
    Support, TrialId, TrialStatus, WatchRequest,
};

/// Asking whether something would work is not doing it.
pub async fn validate_and_render_leave_no_trace(fixture: &dyn Fixture) {
    let ctx = fixture.ctx();
    let service = fixture.service(&ctx);
    let before = fixture.leftovers().await;
    within("validate", service.validate(&fixture.spec()))
        .await
        .expect("validate");
    assert_eq!(fixture.leftovers().await, before, "`validate` left something");
    let mut watch = service.watch(WatchRequest::new());
    within("watch", watch.next())
        .await
        .expect("a first event")
        .expect("no error");
    drop(watch);
    let client = Client::start(fixture).await;
    let trial = client.trial(&Behavior::RunUntilCanceled { metrics: Vec::new() });
    let before = fixture.leftovers().await;
    client.service.render(&client.code, &trial).expect("render");
    assert_eq!(fixture.leftovers().await, before, "`render` left something");
    assert!(client.running(&trial.id).await.is_empty(), "`render` started something");
    ctx.tasks.close().await;
    client.finish().await;
}

/// The same request each time, recognizable by its stamp, and fit to be shown to anybody.
pub async fn render_is_pure_and_shows_no_secret(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let trial = client.trial(&gated("go", metrics(0, 1), Vec::new(), 0));
    let rendered = client.service.render(&client.code, &trial).expect("render");
    assert_eq!(client.service.render(&client.code, &trial).expect("render"), rendered);
    let text: Vec<&str> = rendered.documents.iter().map(|(_, text)| text.as_str()).collect();
    let text = text.join(
        "
",
    );
    for stamp in [trial.id.as_str(), trial.experiment.as_str()] {
        assert!(text.contains(stamp), "the request does not carry `{stamp}`:\n{text}");
    }
    for secret in fixture.secrets() {
        assert!(!text.contains(secret.expose()), "the request shows a secret");
        let service = format!("{:?}", client.service);
        assert!(
            !service.contains(secret.expose()),
            "`Debug` of the service shows a secret"
        );
    }
    client.finish().await;
}

/// Delivered is delivered.
pub async fn preparing_twice_changes_nothing(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let before = fixture.leftovers().await;
    let again = within("prepare", client.service.prepare(&client.spec.code))
        .await
        .expect("prepare again");
    assert_eq!(again, client.code);
    assert_eq!(fixture.leftovers().await, before, "a second delivery left something");
    let quick = client.trial(&Behavior::Exit {
        metrics: metrics(0, 1),
        code: 0,
    });
    within("submit", client.service.submit(&again, &quick))
        .await
        .expect("submit");
    let mut watch = client.watch();
    assert_eq!(watch.until_end(&quick.id).await.status(), Some(TrialStatus::Succeeded));
    client.finish().await;
}

/// What a capability refuses, the method refuses, with the same reason.
pub async fn refusals_match_the_capabilities(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let capabilities = client.service.capabilities().clone();
    let trial = client
        .submit(&Behavior::RunUntilCanceled { metrics: metrics(0, 1) })
        .await;
    let mut watch = client.watch();
    watch.until_metrics(&trial.id, 1).await;
    let next = Parameters {
        text: "{}".into(),
        index: 1,
    };
    let sent = within("send_parameters", client.service.send_parameters(&trial.id, &next)).await;
    match capabilities.next_parameters {
        Support::Yes => sent.expect("send_parameters"),
        Support::No(reason) => assert_refused("send_parameters", sent, reason),
    }
    let request = WatchRequest::new().with_log(trial.id.clone(), LogKind::Stdout);
    let first = within("watch", client.service.watch(request).next())
        .await
        .expect("a first item");
    match capabilities.logs {
        Support::Yes => drop(first.expect("watch with logs")),
        Support::No(reason) => assert_refused("watch with logs", first, reason),
    }
    let recovered = within("recover", client.service.recover(&[])).await;
    match capabilities.recover {
        Support::Yes => drop(recovered.expect("recover")),
        Support::No(reason) => assert_refused("recover", recovered, reason),
    }
    let mut wish = fixture.spec();
    wish.gpus = GpuCount::Exactly(1);
    let validated = within("validate", client.service.validate(&wish)).await;
    if capabilities.gpu == GpuPlacement::None {
        let error = validated.expect_err("nobody places GPUs, and yet the wish passed");
        assert!(
            matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Config),
            "{error:?}"
        );
    }
    client.finish().await;
}

/// Nonsense gets an answer.
pub async fn bad_input_is_an_error_and_no_panic(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let never = TrialId::new("never").expect("a legal id");
    let next = Parameters {
        text: "{}".into(),
        index: 1,
    };
    let sent = within("send_parameters", client.service.send_parameters(&never, &next)).await;
    sent.expect_err("parameters for a trial that never was");
    let missing = CodeDirectory::new("/nonexistent/code");
    let prepared = within("prepare", client.service.prepare(&missing)).await;
    prepared.expect_err("a code directory that is not there");
    let far = JournalCursor {
        base: 0,
        offset: 1 << 40,
        check: 7,
    };
    let mut watch = client.watch_from(WatchRequest::new().resuming(never.clone(), far));
    watch.until_synced().await;

    let quick = client.trial(&Behavior::Exit {
        metrics: metrics(0, 1),
        code: 0,
    });
    let bogus = Prepared::new(Some("0".repeat(64)), "/nonexistent/receipt");
    if within("submit", client.service.submit(&bogus, &quick)).await.is_ok() {
        let end = watch.until_end(&quick.id).await;
        assert_ne!(
            end.status(),
            Some(TrialStatus::Succeeded),
            "a trial without code succeeded"
        );
    }
    let empty = Behavior::Exit {
        metrics: Vec::new(),
        code: 0,
    };
    let ended = client.submit(&empty).await;
    watch.until_end(&ended.id).await;
    let sent = within("send_parameters", client.service.send_parameters(&ended.id, &next)).await;
    sent.expect_err("parameters for a trial that has ended");
    let report = within("cleanup", client.service.cleanup(&CleanupScope::Trials(vec![never]))).await;
    assert!(
        report.is_clean() && report.removed == 0,
        "absent counts as removed, and not in the number: {report:?}"
    );
    client.finish().await;
}

/// What is cleaned up is gone; what is not goes on.
pub async fn cleanup_of_trials_spares_the_others(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let ended = client.submit(&gated("first", metrics(0, 1), Vec::new(), 0)).await;
    let endless = client.submit(&Behavior::Detach { metrics: metrics(0, 1) }).await;
    let spared = client.submit(&gated("second", metrics(0, 1), metrics(1, 1), 0)).await;
    fixture.open_gate("first").await;
    watch.until_end(&ended.id).await;
    watch.until_metrics(&endless.id, 1).await;
    watch.until_metrics(&spared.id, 1).await;
    let scope = CleanupScope::Trials(vec![ended.id.clone(), endless.id.clone()]);
    let report = within("cleanup", client.service.cleanup(&scope)).await;
    assert!(report.is_clean() && report.removed > 0, "{report:?}");
    assert!(
        client.running(&endless.id).await.is_empty(),
        "a running trial survived its cleanup"
    );
    let again = within("cleanup", client.service.cleanup(&scope)).await;
    assert!(again.is_clean() && again.removed == 0, "{again:?}");
    assert!(!client.running(&spared.id).await.is_empty(), "another trial was ended");
    fixture.open_gate("second").await;
    let end = watch.until_end(&spared.id).await;
    assert_eq!((end.status(), end.bodies().len()), (Some(TrialStatus::Succeeded), 2));
    client.finish().await;
}

/// Nothing is left: jobs that run, wait or have ended, and the code. The second time there is nothing to do.
pub async fn cleanup_of_the_experiment_leaves_nothing_and_may_be_repeated(fixture: &dyn Fixture) {
    let client = Client::start(fixture).await;
    let mut watch = client.watch();
    let ended = client.submit(&gated("go", metrics(0, 1), Vec::new(), 0)).await;
    let endless = client.submit(&Behavior::Detach { metrics: metrics(0, 1) }).await;
    let stubborn = client.submit(&Behavior::IgnoreTerm { metrics: metrics(0, 1) }).await;
    fixture.open_gate("go").await;
    watch.until_end(&ended.id).await;
    watch.until_metrics(&endless.id, 1).await;
    watch.until_metrics(&stubborn.id, 1).await;
    fixture.hold_queue(true).await;
    let waiting = client.submit(&Behavior::RunUntilCanceled { metrics: Vec::new() }).await;
    let report = within("cleanup", client.service.cleanup(&CleanupScope::Experiment)).await;
    assert!(report.is_clean() && report.removed > 0, "{report:?}");
    for trial in [&ended, &endless, &stubborn, &waiting] {
        let running = client.running(&trial.id).await;
        assert!(running.is_empty(), "still runs: {running:?}");
    }
    let left = fixture.leftovers().await;
    assert!(left.is_empty(), "{left:#?}");
    let again = within("cleanup", client.service.cleanup(&CleanupScope::Experiment)).await;
    assert!(again.is_clean() && again.removed == 0, "{again:?}");
    fixture.hold_queue(false).await;
    client.finish().await;
}
