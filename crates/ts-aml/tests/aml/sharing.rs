//! Several trials on one node at a time: no GPU is used twice, sharing goes as far as it is allowed, and a lost worker loses them all.

use crate::world::World;
use std::{fs, time::Duration};
use ts_aml::AmlConfig;
use ts_aml_testkit::Setting;
use ts_core::{
    CancelReason, GpuCount, JournalCursor, ReasonCode, TrialId, TrialRecord, TrialSpec, TrialStatus, Verdict,
};
use ts_testkit::{
    conformance::{Behavior, Client, Fixture as _, Observer},
    write_program,
};

/// Answers as the driver of a machine whose GPUs stand in `gpus`, a row each, and whose processes stand in `processes`.
const NVIDIA_SMI: &str = r#"#!/bin/sh
here=${0%/*}
case $1 in
    --query-gpu=*) cat "$here/gpus" || { echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18; } ;;
    --query-compute-apps=*) cat "$here/processes" ;;
    *) sed 's/^\([0-9]*\), \([^,]*\), \([^,]*\),.*/GPU \1: \3 (UUID: \2)/' "$here/gpus" ;;
esac
"#;

/// A workspace whose nodes have so many GPUs; with a driver, if any.
async fn world(n_gpus: Option<u32>, max_nodes: usize) -> World {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    if let Some(n) = n_gpus {
        let row = |index| format!("{index}, GPU-{index}, Tesla T4, 15360, 0, 0, [N/A]\n");
        fs::write(bin.join("gpus"), (0..n).map(row).collect::<String>()).expect("a file");
        fs::write(bin.join("processes"), "").expect("a file");
        let program = bin.join("nvidia-smi");
        write_program(&program, NVIDIA_SMI);
    }
    let mut world = World::at(directory, |setting: &mut Setting| {
        setting.computes[0].max_nodes = max_nodes;
        for (name, value) in &mut setting.image_environment {
            if name == "PATH" {
                *value = format!("{}:{value}", bin.display());
            }
        }
    })
    .await;
    world.tune = tune;
    world
}

fn tune(config: &mut AmlConfig) {
    config.reuse = true;
    config.grace_period = Duration::from_secs(1);
}

/// A trial that wants so many GPUs and notes which it may use.
async fn submit(world: &World, client: &Client<'_>, n_gpus: u32, behavior: &Behavior) -> TrialSpec {
    let mut trial = client.trial(behavior);
    trial.gpus = GpuCount::Exactly(n_gpus);
    trial.command = format!(
        "printf '%s %s' \"${{CUDA_VISIBLE_DEVICES-all}}\" \"${{CUDA_DEVICE_ORDER-any}}\" >'{}'\n{}",
        note(world, &trial.id),
        trial.command
    );
    client.submit_spec(&trial).await;
    trial
}

fn note(world: &World, trial: &TrialId) -> String {
    world.path(&format!("gpus-of-{trial}")).display().to_string()
}

fn devices(world: &World, trial: &TrialSpec) -> String {
    fs::read_to_string(note(world, &trial.id)).expect("noted")
}

async fn until_why(watch: &mut Observer, trial: &TrialSpec, code: ReasonCode, text: &str) {
    let is_so = |seen: &Observer| {
        let why = seen.of(&trial.id).why;
        why.is_some_and(|why| why.code == code && why.message.contains(text))
    };
    watch.until(text, is_so).await;
}

async fn ends(watch: &mut Observer, trial: &TrialSpec) {
    let history = watch.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
}

#[tokio::test]
async fn each_gpu_of_a_node_has_one_trial() {
    let world = world(Some(2), 1).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let mut first = Vec::new();
    for gate in ["a", "b"] {
        let trial = submit(&world, &client, 1, &Behavior::gated(gate)).await;
        watch.until_metrics(&trial.id, 1).await;
        first.push(trial);
    }
    let seen: Vec<String> = first.iter().map(|trial| devices(&world, trial)).collect();
    assert_eq!(seen, ["0 PCI_BUS_ID", "1 PCI_BUS_ID"]);
    assert_eq!(world.server.jobs().len(), 1);
    // Both GPUs are in use, and there is no other node.
    let third = submit(&world, &client, 1, &Behavior::quick()).await;
    until_why(&mut watch, &third, ReasonCode::Quota, "all 1 nodes").await;
    world.open_gate("b").await;
    ends(&mut watch, &first[1]).await;
    ends(&mut watch, &third).await;
    assert_eq!(devices(&world, &third), "1 PCI_BUS_ID");
    // Two GPUs only once the other is free, too.
    let both = submit(&world, &client, 2, &Behavior::quick()).await;
    world.open_gate("a").await;
    ends(&mut watch, &first[0]).await;
    ends(&mut watch, &both).await;
    assert_eq!(devices(&world, &both), "0,1 PCI_BUS_ID");
    client.finish().await;
}

#[tokio::test]
async fn a_gpu_is_shared_by_as_many_as_may() {
    let mut world = world(Some(1), 1).await;
    world.tune = |config| {
        tune(config);
        config.max_trials_per_gpu = 2;
    };
    let client = Client::start(&world).await;
    let mut spec = client.spec.clone();
    let warnings = client.service.validate(&spec).await.expect("valid");
    let told: Vec<_> = warnings.iter().map(|warning| format!("{warning:?}")).collect();
    assert!(
        told.len() == 1 && told[0].contains("`maxTrialNumberPerGpu` has no effect"),
        "{told:?}"
    );
    spec.gpus = GpuCount::Exactly(1);
    assert!(client.service.validate(&spec).await.expect("valid").is_empty());
    let mut watch = client.watch();
    let mut trials = Vec::new();
    for _ in 0..2 {
        let trial = submit(&world, &client, 1, &Behavior::gated("go")).await;
        watch.until_metrics(&trial.id, 1).await;
        assert_eq!(devices(&world, &trial), "0 PCI_BUS_ID");
        trials.push(trial);
    }
    let third = submit(&world, &client, 1, &Behavior::quick()).await;
    until_why(&mut watch, &third, ReasonCode::Quota, "all 1 nodes").await;
    world.open_gate("go").await;
    for trial in trials.iter().chain([&third]) {
        ends(&mut watch, trial).await;
    }
    client.finish().await;
}

#[tokio::test]
async fn as_many_workers_come_as_are_needed_once_one_has_told_its_gpus() {
    let world = world(Some(2), 8).await;
    world.server.hold("Queued");
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let mut trials = Vec::new();
    for _ in 0..5 {
        trials.push(submit(&world, &client, 1, &Behavior::gated("go")).await);
    }
    for trial in &trials {
        until_why(
            &mut watch,
            trial,
            ReasonCode::Queued,
            "in the queue of the compute target",
        )
        .await;
    }
    assert_eq!(world.server.jobs().len(), 1, "nobody knows how many are needed");
    world.server.let_go("Queued");
    for trial in &trials {
        watch.until_metrics(&trial.id, 1).await;
    }
    assert_eq!(
        world.server.jobs().len(),
        3,
        "two trials on each of two, one on the third"
    );
    let mut seen: Vec<String> = trials.iter().map(|trial| devices(&world, trial)).collect();
    seen.sort();
    assert_eq!(seen.iter().filter(|gpus| gpus.starts_with('0')).count(), 3, "{seen:?}");
    world.open_gate("go").await;
    for trial in &trials {
        ends(&mut watch, trial).await;
    }
    client.finish().await;
}

#[tokio::test]
async fn trials_without_gpus_share_a_node_as_far_as_it_is_allowed() {
    let mut world = world(None, 1).await;
    world.tune = |config| {
        tune(config);
        config.max_trials_per_node = 2;
    };
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let blind = submit(&world, &client, 0, &Behavior::gated("a")).await;
    let open = client.submit(&Behavior::gated("b")).await;
    for trial in [&blind, &open] {
        watch.until_metrics(&trial.id, 1).await;
    }
    assert_eq!(devices(&world, &blind), "-1 any");
    let third = client.submit(&Behavior::quick()).await;
    until_why(&mut watch, &third, ReasonCode::Quota, "all 1 nodes").await;
    // The end of one is none of the other.
    client.cancel(&open.id, CancelReason::EarlyStop).await;
    assert_eq!(
        watch.until_end(&open.id).await.status(),
        Some(TrialStatus::EarlyStopped)
    );
    ends(&mut watch, &third).await;
    assert_eq!(watch.of(&blind.id).status(), Some(TrialStatus::Running));
    world.open_gate("a").await;
    ends(&mut watch, &blind).await;
    client.finish().await;
}

#[tokio::test]
async fn a_lost_worker_ends_all_its_trials_as_the_platforms() {
    let world = world(Some(2), 4).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    for is_begun_again in [true, false] {
        let mut trials = Vec::new();
        for _ in 0..2 {
            let trial = submit(&world, &client, 1, &Behavior::gated("never")).await;
            watch.until_metrics(&trial.id, 1).await;
            trials.push(trial);
        }
        let worker = world.server.jobs().pop().expect("a worker");
        if is_begun_again {
            world.server.preempt(&worker);
        } else {
            world.server.cancel(&worker);
        }
        for trial in &trials {
            let history = watch.until_end(&trial.id).await;
            assert_eq!(history.status(), Some(TrialStatus::SysCanceled), "{history:?}");
            let why = history.why.clone().expect("a reason");
            assert_eq!(why.code.verdict(), Some(Verdict::Platform), "{why:?}");
        }
    }
    // Whoever tries them again finds room, on the GPUs that they had.
    world.open_gate("go").await;
    for _ in 0..2 {
        let again = submit(&world, &client, 2, &Behavior::gated("go")).await;
        ends(&mut watch, &again).await;
    }
    client.finish().await;
}

#[tokio::test]
async fn a_new_manager_knows_which_gpus_are_in_use() {
    let world = world(Some(2), 1).await;
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trial = submit(&world, &client, 1, &Behavior::gated("go")).await;
    watch.until_metrics(&trial.id, 1).await;
    drop(watch);
    let client = client.crash().await;
    let record = TrialRecord::new(trial.clone(), true, TrialStatus::Running, JournalCursor::default());
    client.recover(&[record]).await;
    let mut watch = client.watch();
    let other = submit(&world, &client, 1, &Behavior::quick()).await;
    ends(&mut watch, &other).await;
    assert_eq!(devices(&world, &other), "1 PCI_BUS_ID");
    world.open_gate("go").await;
    ends(&mut watch, &trial).await;
    client.finish().await;
}

#[tokio::test]
async fn more_gpus_than_any_node_has_are_refused_with_the_reason() {
    for n_gpus in [Some(1), None] {
        let world = world(n_gpus, 4).await;
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trials = [
            submit(&world, &client, 2, &Behavior::quick()).await,
            submit(&world, &client, 2, &Behavior::quick()).await,
        ];
        for trial in &trials {
            let history = watch.until_end(&trial.id).await;
            assert_eq!(history.status(), Some(TrialStatus::Failed), "{history:?}");
            let why = history.why.expect("a reason");
            assert_eq!(why.code, ReasonCode::NoMachine);
            assert!(
                why.message.starts_with("the trial needs 2 GPUs, but the machine has"),
                "{why:?}"
            );
        }
        assert_eq!(world.server.jobs().len(), 1, "one is enough to know");
        client.finish().await;
    }
}

#[tokio::test]
async fn processes_of_others_are_left_alone_unless_it_is_allowed() {
    for is_allowed in [false, true] {
        let mut world = world(Some(1), 1).await;
        fs::write(world.path("bin/processes"), "GPU-0, 4711, 100\n").expect("a file");
        if is_allowed {
            world.tune = |config| {
                tune(config);
                config.use_active_gpu = true;
            };
        }
        let client = Client::start(&world).await;
        let mut watch = client.watch();
        let trial = submit(&world, &client, 1, &Behavior::quick()).await;
        if !is_allowed {
            until_why(&mut watch, &trial, ReasonCode::Quota, "all 1 nodes").await;
            // The worker sees it go.
            fs::write(world.path("bin/processes"), "").expect("a file");
        }
        ends(&mut watch, &trial).await;
        client.finish().await;
    }
}

#[tokio::test]
async fn a_driver_that_fails_is_told_and_looked_at_again() {
    let world = world(Some(1), 4).await;
    fs::rename(world.path("bin/gpus"), world.path("bin/lost")).expect("a file");
    let client = Client::start(&world).await;
    let mut watch = client.watch();
    let trials = [
        submit(&world, &client, 1, &Behavior::quick()).await,
        submit(&world, &client, 1, &Behavior::quick()).await,
    ];
    for trial in &trials {
        until_why(&mut watch, trial, ReasonCode::GpuUnknown, "version mismatch").await;
    }
    assert_eq!(world.server.jobs().len(), 1, "another node would be no better");
    fs::rename(world.path("bin/lost"), world.path("bin/gpus")).expect("a file");
    for trial in &trials {
        ends(&mut watch, trial).await;
    }
    client.finish().await;
}
