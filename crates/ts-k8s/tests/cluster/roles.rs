//! What only trials of several pods show: whose end is the trial's, whose metrics are its own, and that no pod outlives it.

use crate::{
    variants::{Frameworks, Jobs, PyTorchJobs, TfJobs, TrainJobs, role_with},
    world::{Variant, World},
};
use std::sync::Arc;
use ts_core::{Parameters, TrialStatus};
use ts_k8s::{CompletionPolicy, KubernetesService, Role};
use ts_k8s_testkit::{Generation, Options};
use ts_testkit::conformance::{Behavior, Client, Fixture, stamped_processes};

/// TFJobs and PyTorchJobs of the operators before Kubeflow's training operator.
struct OldTfJobs;

impl Variant for OldTfJobs {
    fn config() -> ts_k8s::KubernetesConfig {
        TfJobs::config()
    }
    fn operators(options: &mut Options) {
        options.tf = Some(Generation::Old);
    }
}

struct OldPyTorchJobs;

impl Variant for OldPyTorchJobs {
    fn config() -> ts_k8s::KubernetesConfig {
        PyTorchJobs::config()
    }
    fn operators(options: &mut Options) {
        options.pytorch = Some(Generation::Old);
    }
}

/// How a trial ended.
struct Outcome {
    status: Option<TrialStatus>,
    /// Its reason, or nothing.
    why: String,
    /// Its metrics, sorted: those of different pods come in any order.
    bodies: Vec<String>,
}

/// Runs a trial of these roles to its end; by then nothing of it runs any more.
async fn run<V: Variant>(world: &World<V>, roles: Vec<Role>) -> Outcome {
    let ctx = world.ctx();
    let mut config = world.config();
    config.roles = roles;
    let service = Arc::new(KubernetesService::new(ctx.clone(), config, world.spec.id.clone()));
    let client = Client::with(world, ctx, service).await;
    let mut watch = client.watch();
    let mut trial = client.trial(&Behavior::Exit {
        metrics: Vec::new(),
        code: 0,
    });
    trial.parameters = Parameters::new(r#"{"x": 1}"#);
    client.submit_spec(&trial).await;
    let history = watch.until_end(&trial.id).await;
    let left = stamped_processes(&world.spec.id, Some(&trial.id));
    assert_eq!(left, Vec::<String>::new(), "these outlive the trial");
    client.finish().await;
    let mut bodies: Vec<String> = history.bodies().into_iter().map(str::to_owned).collect();
    bodies.sort();
    Outcome {
        status: history.status(),
        why: history.why.map(|why| why.message).unwrap_or_default(),
        bodies,
    }
}

/// A role of this name whose pods report a metric and end so.
fn ends<V: Variant>(world: &World<V>, name: &str, code: u8) -> Role {
    let behavior = Behavior::Exit {
        metrics: vec![format!(r#"{{"of": "{name}"}}"#)],
        code,
    };
    role_with(name, &world.command(&behavior))
}

/// A role of this name whose pods report a metric and run until they are ended.
fn stays<V: Variant>(world: &World<V>, name: &str) -> Role {
    let behavior = Behavior::RunUntilCanceled {
        metrics: vec![format!(r#"{{"of": "{name}"}}"#)],
    };
    role_with(name, &world.command(&behavior))
}

/// The same role with a completion policy.
fn completing(mut role: Role, min_failed: i32, min_succeeded: i32) -> Role {
    role.completion = CompletionPolicy {
        min_failed,
        min_succeeded,
    };
    role
}

/// The same role with so many pods.
fn times(mut role: Role, replicas: u32) -> Role {
    role.replicas = replicas;
    role
}

fn of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!(r#"{{"of": "{name}"}}"#)).collect()
}

/// A role whose pods come to their end once those that stay have begun, so that there is something to end.
fn ends_after<V: Variant>(world: &World<V>, name: &str, code: u8, others: &str) -> (Role, Role) {
    let (mut last, mut first) = (ends(world, name, code), stays(world, others));
    let mark = world.path("gates").join("begun");
    let mark = mark.display();
    let wait = last.command.take().unwrap_or_default();
    last.command = Some(format!("until [ -e '{mark}' ]; do sleep 0.1; done\n{wait}"));
    let begin = first.command.take().unwrap_or_default();
    first.command = Some(format!("true >'{mark}'\n{begin}"));
    (last, first)
}

fn assert_succeeded(outcome: &Outcome, bodies: &[&str]) {
    assert_eq!(outcome.status, Some(TrialStatus::Succeeded), "{}", outcome.why);
    assert_eq!(outcome.bodies, of(bodies));
}

fn assert_failed(outcome: &Outcome, code: u8) {
    assert_eq!(outcome.status, Some(TrialStatus::Failed), "{}", outcome.why);
    let said = format!("exit code {code}");
    assert!(outcome.why.contains(&said), "`{}` does not say {said}", outcome.why);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tf_job_ends_well_with_its_first_worker() {
    let world = World::<TfJobs>::fresh().await;
    let (worker, ps) = ends_after(&world, "worker", 0, "ps");
    assert_succeeded(&run(&world, vec![worker, ps]).await, &["ps", "worker"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tf_job_fails_with_its_parameter_server() {
    let world = World::<TfJobs>::fresh().await;
    let (ps, worker) = ends_after(&world, "ps", 7, "worker");
    assert_failed(&run(&world, vec![worker, ps]).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tf_job_of_the_old_operator_leaves_nothing_running() {
    let world = World::<OldTfJobs>::fresh().await;
    let (worker, ps) = ends_after(&world, "worker", 7, "ps");
    assert_failed(&run(&world, vec![worker, ps]).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pytorch_job_ends_well_with_its_master() {
    let world = World::<PyTorchJobs>::fresh().await;
    let (master, worker) = ends_after(&world, "master", 0, "worker");
    assert_succeeded(&run(&world, vec![master, worker]).await, &["master", "worker"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pytorch_job_fails_with_a_worker() {
    let world = World::<PyTorchJobs>::fresh().await;
    let (worker, master) = ends_after(&world, "worker", 9, "master");
    assert_failed(&run(&world, vec![master, worker]).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pytorch_job_of_the_old_operator_leaves_nothing_running() {
    let world = World::<OldPyTorchJobs>::fresh().await;
    let (master, worker) = ends_after(&world, "master", 7, "worker");
    assert_failed(&run(&world, vec![master, worker]).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_ends_well_by_its_completion_policy() {
    let world = World::<Frameworks>::fresh().await;
    let (worker, ps) = ends_after(&world, "worker", 0, "ps");
    let roles = vec![completing(worker, 1, 1), completing(ps, 1, -1)];
    assert_succeeded(&run(&world, roles).await, &["ps", "worker"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_without_such_a_policy_waits_for_all_tasks_and_loses_none_of_their_metrics() {
    let world = World::<Frameworks>::fresh().await;
    let roles = vec![times(ends(&world, "worker", 0), 2), ends(&world, "ps", 0)];
    assert_succeeded(&run(&world, roles).await, &["ps", "worker", "worker"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_framework_fails_by_the_task_that_its_policy_counts() {
    let world = World::<Frameworks>::fresh().await;
    // This one fails first, and is not counted.
    let (worker, mut ps) = ends_after(&world, "worker", 7, "ps");
    let begin = ps.command.take().unwrap_or_default();
    let begin = begin.lines().next().unwrap_or_default();
    ps.command = Some(format!("{begin}\nexit 5"));
    let roles = vec![completing(worker, 1, 1), completing(ps, -1, -1)];
    assert_failed(&run(&world, roles).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_train_job_runs_once_on_each_node_and_fails_with_one() {
    let world = World::<TrainJobs>::fresh().await;
    let log = world.path("gates").join("runs");
    let log = log.display();
    let command = format!(
        "echo $JOB_COMPLETION_INDEX >>'{log}'\nuntil [ $(wc -l <'{log}') -ge 2 ]; do sleep 0.1; done\n\
         [ $JOB_COMPLETION_INDEX = 0 ] && exit 3\nwhile :; do sleep 1; done"
    );
    let outcome = run(&world, vec![times(role_with("worker", &command), 2)]).await;
    assert_failed(&outcome, 3);
    let runs = std::fs::read_to_string(world.path("gates").join("runs")).expect("there");
    let mut runs: Vec<&str> = runs.lines().collect();
    runs.sort_unstable();
    assert_eq!(runs, ["0", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_has_the_parameters() {
    let world = World::<PyTorchJobs>::fresh().await;
    let command = world.command(&Behavior::Phases { n: 1 });
    let roles = vec![role_with("master", &command), role_with("worker", &command)];
    let outcome = run(&world, roles).await;
    assert_eq!(outcome.status, Some(TrialStatus::Succeeded), "{}", outcome.why);
    assert!(
        !outcome.bodies.is_empty() && outcome.bodies.iter().all(|body| body == r#"{"x": 1}"#),
        "{:?}",
        outcome.bodies
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_several_pods_needs_all_of_them() {
    let world = World::<Jobs>::fresh().await;
    let command = world.command(&Behavior::Exit {
        metrics: of(&["worker"]),
        code: 0,
    });
    let outcome = run(&world, vec![times(role_with("worker", &command), 3)]).await;
    assert_succeeded(&outcome, &["worker", "worker", "worker"]);
    let world = World::<Jobs>::fresh().await;
    // The server of this test is too old to number them.
    let mark = world.path("gates").join("first");
    let command = format!(
        "mkdir '{}' 2>/dev/null && exit 4\nwhile :; do sleep 1; done",
        mark.display()
    );
    let outcome = run(&world, vec![times(role_with("worker", &command), 3)]).await;
    assert_failed(&outcome, 4);
}
