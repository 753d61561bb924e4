//! What trials cost on the wire: one request for a start, and nothing while they run.

use crate::machine::Machine;
use std::time::Duration;
use ts_core::{Clock as _, SystemClock, TrialStatus};
use ts_testkit::conformance::{Behavior, Client};

#[tokio::test(flavor = "multi_thread")]
async fn a_start_costs_one_request_and_a_running_trial_none() {
    let machine = Machine::with(|_, _| {}).await;
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let before = machine.server.n_pieces();
    for _ in 0..10 {
        let done = Behavior::Exit {
            metrics: vec!["1".into()],
            code: 0,
        };
        let trial = client.submit(&done).await;
        let history = seen.until_end(&trial.id).await;
        assert_eq!(history.status(), Some(TrialStatus::Succeeded));
    }
    assert_eq!(machine.server.n_pieces() - before, 10, "one piece a start");
    let trial = client.submit(&Behavior::RunUntilCanceled { metrics: vec![] }).await;
    seen.until_status(&trial.id, TrialStatus::Running).await;
    let before = machine.server.n_pieces();
    // Long enough for any loop that asks; nothing has to happen, so nothing can be waited for.
    SystemClock::new().sleep(Duration::from_millis(1_500)).await;
    assert_eq!(machine.server.n_pieces(), before, "somebody asks how the trial is");
    client.finish().await;
}
