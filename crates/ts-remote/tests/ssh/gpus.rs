//! GPUs of a machine whose `nvidia-smi` is a script: who gets which, and what a driver that hangs holds up.

use crate::machine::Machine;
use std::path::PathBuf;
use ts_core::{CancelReason, GpuCount, ReasonCode, TrialStatus};
use ts_testkit::{
    conformance::{Behavior, Client, Fixture as _},
    write_program,
};

/// A program in the place of `nvidia-smi`.
fn program(machine: &Machine, text: &str) -> PathBuf {
    let path = machine.path("smi");
    write_program(&path, &format!("#!/bin/sh\n{text}\n"));
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_holds_up_neither_starts_nor_cancels() {
    let machine = Machine::with(|_, _| {}).await;
    // Deaf to the request to end, as a process in the driver is.
    let smi = program(&machine, "trap '' TERM; sleep 30");
    let mut entry = machine.config();
    entry.nvidia_smi = smi.display().to_string();
    let ctx = machine.ctx();
    let service = machine.service_of(&ctx, vec![entry]);
    let client = Client::with(&machine, ctx, service).await;
    let mut seen = client.watch();
    let mut waits = client.trial(&Behavior::RunUntilCanceled { metrics: vec![] });
    waits.gpus = GpuCount::Exactly(1);
    client.submit_spec(&waits).await;
    for _ in 0..3 {
        let done = client
            .submit(&Behavior::Exit {
                metrics: vec!["1".into()],
                code: 0,
            })
            .await;
        assert_eq!(seen.until_end(&done.id).await.status(), Some(TrialStatus::Succeeded));
    }
    let runs = client.submit(&Behavior::RunUntilCanceled { metrics: vec![] }).await;
    seen.until_status(&runs.id, TrialStatus::Running).await;
    client.cancel(&runs.id, CancelReason::User).await;
    seen.until_end(&runs.id).await;
    client.cancel(&waits.id, CancelReason::User).await;
    seen.until_end(&waits.id).await;
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_gpus_says_so_to_a_trial_that_wants_one() {
    let machine = Machine::with(|_, _| {}).await;
    let mut entry = machine.config();
    entry.nvidia_smi = machine.path("absent").display().to_string();
    let ctx = machine.ctx();
    let service = machine.service_of(&ctx, vec![entry]);
    let client = Client::with(&machine, ctx, service).await;
    let mut seen = client.watch();
    let mut waits = client.trial(&Behavior::RunUntilCanceled { metrics: vec![] });
    waits.gpus = GpuCount::Exactly(1);
    client.submit_spec(&waits).await;
    seen.until("a reason about GPUs", |seen| {
        seen.of(&waits.id)
            .why
            .is_some_and(|why| why.code != ReasonCode::Starting && why.message.contains("GPU"))
    })
    .await;
    client.cancel(&waits.id, CancelReason::User).await;
    seen.until_end(&waits.id).await;
    client.finish().await;
}
