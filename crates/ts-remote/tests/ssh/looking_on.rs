//! A second service that only looks at a log while the first one runs the trial, as `tsctl logs` does.

use crate::machine::Machine;
use futures_util::StreamExt as _;
use ts_core::{Event, LogKind, TrialId, TrialStatus, WatchRequest};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

/// What a service of its own shows of a trial's standard output, until the trial's end or `enough`.
async fn look(machine: &Machine, trial: &TrialId, enough: &str) -> (String, Option<TrialStatus>) {
    let ctx = machine.ctx();
    let service = machine.service(&ctx);
    let mut events = service.watch(WatchRequest::new().with_log(trial.clone(), LogKind::Stdout));
    let (mut text, mut end) = (String::new(), None);
    while let Some(event) = events.next().await {
        match event.expect("no error") {
            Event::Log { bytes, .. } => text.push_str(&String::from_utf8_lossy(&bytes)),
            Event::Status { status, .. } if status.is_terminal() => end = Some(status),
            _ => {}
        }
        if end.is_some() || text.contains(enough) {
            break;
        }
    }
    drop(events);
    drop(service);
    ctx.tasks.close().await;
    (text, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_shown_while_another_service_runs_the_trial_and_afterwards() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let gate = machine.path("gates/open");
    let mut trial = client.trial(&Behavior::RunUntilCanceled { metrics: vec![] });
    let frame = r#"printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 1}' >>"$NNI_SYS_DIR/.nni/metrics""#;
    trial.command = format!(
        "echo first; {frame}; while [ ! -e '{}' ]; do sleep 0.05; done; echo last",
        gate.display()
    );
    client.submit_spec(&trial).await;
    seen.until_metrics(&trial.id, 1).await;
    let (text, end) = look(&machine, &trial.id, "first\n").await;
    assert_eq!((text.as_str(), end), ("first\n", None));
    std::fs::write(&gate, "").expect("a file");
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    assert_eq!(
        history.bodies().len(),
        1,
        "whoever looks on takes no metric and adds none"
    );
    for _ in 0..2 {
        let (text, end) = look(&machine, &trial.id, "nothing").await;
        assert_eq!((text.as_str(), end), ("first\nlast\n", Some(TrialStatus::Succeeded)));
    }
    let (text, end) = look(&machine, &trial.id, "first\nlast\n").await;
    assert!(text.starts_with("first\nlast\n"), "{text} {end:?}");
    client.finish().await;
}
