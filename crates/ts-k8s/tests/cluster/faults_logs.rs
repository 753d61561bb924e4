//! The logs of pods, by which the metrics come: cut anywhere, begun anew by the node, and read by a manager that dies.

use crate::{
    faults::{World, metrics, printed, reborn, record},
    world::MANAGER,
};
use ts_core::{LogKind, TrialSpec, TrialStatus, WatchRequest};
use ts_k8s_testkit::{Fault, Matcher};
use ts_testkit::conformance::{Behavior, Client, Fixture as _};

fn logs() -> Matcher {
    Matcher::any().user(MANAGER).resource("pods/log")
}

/// A trial whose command is this, with `metric N` for a metric.
fn trial(client: &Client<'_>, script: &str) -> TrialSpec {
    let mut trial = client.trial(&Behavior::RunUntilCanceled { metrics: Vec::new() });
    let metric = "metric() { body='{\"type\": \"PERIODICAL\", \"sequence\": '$1', \"value\": \"0.'$1'\"}'; printf \
                  'ME%06d%s\\n' $((${#body} + 1)) \"$body\" >> \"$NNI_SYS_DIR/.nni/metrics\"; }";
    trial.command = format!("mkdir -p \"$NNI_SYS_DIR/.nni\"\n{metric}\n{script}");
    trial
}

fn with_logs(trial: &TrialSpec) -> WatchRequest {
    let mut request = WatchRequest::new();
    request.logs = vec![(trial.id.clone(), LogKind::Stdout), (trial.id.clone(), LogKind::Stderr)];
    request
}

/// Text without line ends, long lines, lines on both outputs, and metrics between.
const MIXED: &str = "i=0; while [ $i -lt 8 ]; do metric $i; printf 'begun %s ' $i; sleep 0.3; echo done; seq -s, 1 600; \
                     echo problem $i >&2; i=$((i + 1)); done";

fn mixed_stdout() -> String {
    let numbers: Vec<String> = (1..=600).map(|n: u32| n.to_string()).collect();
    let round = |n: u32| format!("begun {n} done\n{}\n", numbers.join(","));
    (0..8).map(round).collect::<Vec<_>>().concat()
}

fn mixed_stderr() -> String {
    (0..8).map(|n| format!("problem {n}\n")).collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_cut_within_lines_lose_and_repeat_nothing() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    for n_bytes in [10, 61, 200, 900, 1500, 2100, 2900, 3600, 5000, 6000] {
        world.server.fault(logs(), Fault::CutAfter(n_bytes), 1);
    }
    let trial = trial(&client, MIXED);
    let mut watch = client.watch_from(with_logs(&trial));
    client.submit_spec(&trial).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    assert_eq!(end.bodies(), metrics(0..8));
    assert_eq!(printed(&end, LogKind::Stdout), mixed_stdout());
    assert_eq!(printed(&end, LogKind::Stderr), mixed_stderr());
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_dies_while_streams_are_cut_loses_and_repeats_nothing() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    for n_bytes in [150, 900, 61, 2000, 3300] {
        world.server.fault(logs(), Fault::CutAfter(n_bytes), 1);
    }
    let trial = trial(&client, MIXED);
    let mut watch = client.watch();
    client.submit_spec(&trial).await;
    let cursor = watch.until_metrics(&trial.id, 2).await.cursor();
    drop(watch);
    let client = client.crash().await;
    client.recover(&[record(&trial, cursor)]).await;
    let mut watch = client.watch_from(with_logs(&trial));
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    assert_eq!(end.bodies(), metrics(0..8));
    assert_eq!(printed(&end, LogKind::Stdout), mixed_stdout());
    assert_eq!(printed(&end, LogKind::Stderr), mixed_stderr());
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_longer_than_the_runtimes_comes_as_it_was_printed() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    let trial = trial(&client, "head -c 50000 /dev/zero | tr '\\0' x; echo; metric 0");
    let mut watch = client.watch_from(with_logs(&trial));
    client.submit_spec(&trial).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.bodies(), metrics(0..1));
    let stdout = printed(&end, LogKind::Stdout);
    assert!(
        stdout == format!("{}\n", "x".repeat(50_000)),
        "{} bytes: {:?}",
        stdout.len(),
        stdout.trim_start_matches('x').chars().take(50).collect::<String>()
    );
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metric_in_pieces_survives_cuts_between_them() {
    let world = World::fresh().await;
    let client = Client::start(&world).await;
    for n_bytes in [8000, 12_000, 16_000, 20_000] {
        world.server.fault(logs(), Fault::CutAfter(n_bytes), 1);
    }
    let long = "v".repeat(30_000);
    let script = "value=$(head -c 30000 /dev/zero | tr '\\0' v); printf 'ME%06d%s\\n' $((${#value} + 1)) \"$value\" >> \
                  \"$NNI_SYS_DIR/.nni/metrics\"; metric 1";
    let trial = trial(&client, script);
    let mut watch = client.watch();
    client.submit_spec(&trial).await;
    let end = watch.until_end(&trial.id).await;
    let last = metrics(1..2);
    assert!(end.bodies() == [long.as_str(), last[0].as_str()], "{:?}", end.bodies());
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_that_the_node_begins_anew_lose_no_metric() {
    for dies in [false, true] {
        reads_rotated_logs(World::fresh().await, dies).await;
    }
}

async fn reads_rotated_logs(world: World, dies: bool) {
    // What is behind by more than one file is thrown away before anybody can read it.
    world.kubelet.log_limit(2_500_000);
    let client = Client::start(&world).await;
    let script = "i=0; while [ $i -lt 6 ]; do metric $i; head -c 1000000 /dev/zero | tr '\\0' x | fold -w 1000; \
                  i=$((i + 1)); done";
    let trial = trial(&client, script);
    let mut watch = client.watch();
    client.submit_spec(&trial).await;
    // Meanwhile the streams are cut, too.
    watch.until_metrics(&trial.id, 2).await;
    world.server.reset_connections();
    let (client, mut watch) = reborn(dies, client, watch, &trial).await;
    let end = watch.until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    assert_eq!(end.bodies(), metrics(0..6));
    client.finish().await;
}
