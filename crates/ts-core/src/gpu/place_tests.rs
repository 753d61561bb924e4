//! Placement: tables of NNI's rules and of refusals, and brute force over small machines.

use super::*;
use crate::{TrialId, gpu::MigDevice};

fn trial(n: usize) -> TrialId {
    TrialId::new(&format!("t{n}")).expect("a legal id")
}

/// A machine with these numbers of processes per GPU, pids from 100 × index.
fn machine(n_processes: &[u32]) -> GpuInventory {
    let gpu = |(index, n): (u32, &u32)| {
        Gpu::new(index, format!("GPU-{index}"), "T4").with_processes((0..*n).map(|pid| index * 100 + pid + 1))
    };
    GpuInventory::new((0..).zip(n_processes).map(gpu).collect())
}

/// A ledger with this number of one-GPU trials per GPU.
fn ledger(n_trials: &[u32]) -> GpuLedger {
    let mut ledger = GpuLedger::new();
    let mut id = 0;
    for (index, n) in (0..).zip(n_trials) {
        for _ in 0..*n {
            ledger.restore(&trial(id), &[index]);
            id += 1;
        }
    }
    ledger
}

fn ask(n: u32, processes: &[u32], trials: &[u32], rules: &GpuRules) -> Result<Vec<u32>, Refusal> {
    let none = BTreeSet::new();
    place(GpuCount::Exactly(n), &machine(processes), rules, &ledger(trials), &none)
}

/// What it shows, GPUs wanted, processes and trials per GPU, rules, GPUs expected.
type Case = (
    &'static str,
    u32,
    &'static [u32],
    &'static [u32],
    GpuRules,
    &'static [u32],
);

#[test]
fn gpus_are_chosen_as_nni_documents() {
    let only = |indices: &[u32], max, active| GpuRules::new(Some(indices.to_vec()), max, active);
    let all = |max, active| GpuRules::new(None, max, active);
    let cases: [Case; 11] = [
        ("one of one", 1, &[0], &[], all(1, false), &[0]),
        ("all of many", 3, &[0, 0, 0], &[], all(1, false), &[0, 1, 2]),
        ("lowest first", 1, &[0, 0], &[], all(1, false), &[0]),
        ("active ones are avoided", 1, &[1, 0], &[], all(1, false), &[1]),
        ("unless allowed", 1, &[1, 0], &[], all(1, true), &[0]),
        ("full ones are avoided", 2, &[0, 0, 0], &[0, 1], all(1, false), &[0, 2]),
        (
            "shared with our own, whatever runs there",
            1,
            &[2],
            &[1],
            all(2, false),
            &[0],
        ),
        ("least used first", 1, &[0, 0, 0], &[2, 1, 1], all(3, false), &[1]),
        (
            "ascending, though 2 is preferred",
            2,
            &[0, 0, 0],
            &[1, 2, 0],
            all(3, false),
            &[0, 2],
        ),
        ("only those named", 1, &[0, 0, 0], &[], only(&[2, 1], 1, false), &[1]),
        (
            "named twice is named",
            2,
            &[0, 0, 0],
            &[],
            only(&[2, 0, 2], 1, false),
            &[0, 2],
        ),
    ];
    for (what, n, processes, trials, rules, expected) in cases {
        assert_eq!(ask(n, processes, trials, &rules).as_deref(), Ok(expected), "{what}");
    }
}

#[test]
fn trials_without_a_wish_are_placed_on_any_machine() {
    let nothing_works = GpuRules::new(Some(vec![9]), 0, false);
    for count in [GpuCount::Unset, GpuCount::Exactly(0)] {
        let placed = place(
            count,
            &GpuInventory::default(),
            &nothing_works,
            &GpuLedger::new(),
            &BTreeSet::new(),
        );
        assert_eq!(placed, Ok(Vec::new()));
    }
}

#[test]
fn what_can_never_run_is_refused_for_good_and_names_the_key() {
    let rules = GpuRules::default();
    let named = |indices: &[u32]| GpuRules::new(Some(indices.to_vec()), 1, false);
    let cases = [
        (
            1,
            0,
            rules.clone(),
            "trialGpuNumber",
            "the trial needs 1 GPU, but the machine has no GPU",
        ),
        (
            2,
            1,
            rules.clone(),
            "trialGpuNumber",
            "the trial needs 2 GPUs, but the machine has only GPU 0",
        ),
        (
            3,
            2,
            rules,
            "trialGpuNumber",
            "the trial needs 3 GPUs, but the machine has GPUs 0, 1",
        ),
        (
            1,
            2,
            named(&[0, 5]),
            "gpuIndices",
            "`gpuIndices` names GPU 5, but the machine has GPUs 0, 1",
        ),
        (
            2,
            3,
            named(&[1]),
            "gpuIndices",
            "the trial needs 2 GPUs, but `gpuIndices` allows 1",
        ),
        (
            1,
            1,
            named(&[]),
            "gpuIndices",
            "the trial needs 1 GPU, but `gpuIndices` allows 0",
        ),
        (
            1,
            1,
            GpuRules::new(None, 0, false),
            "maxTrialNumPerGpu",
            "`maxTrialNumPerGpu` is 0, so that no trial may use a GPU",
        ),
    ];
    for (n, n_gpus, rules, key, message) in cases {
        // The machine is busy as well, which must not hide that waiting is in vain.
        let refusal = ask(n, &vec![1; n_gpus], &[], &rules).expect_err(message);
        assert_eq!(refusal.message, message);
        assert_eq!((refusal.code, refusal.key), (ReasonCode::NoMachine, Some(key)));
        assert!(refusal.permanent);
        let error = refusal.error();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Config, Some(key)));
        assert!(error.help().is_some());
    }
}

#[test]
fn who_waits_learns_for_what() {
    let refusal = ask(2, &[1, 0, 0], &[0, 1], &GpuRules::default()).expect_err("one is free");
    assert_eq!(refusal.code, ReasonCode::GpuBusy);
    assert!(!refusal.permanent);
    assert_eq!(
        refusal.message,
        "the trial needs 2 GPUs, 1 free: GPU 0 runs process 1 of somebody else; GPU 1 holds 1 trial"
    );
    assert_eq!(
        refusal.unblock,
        "a trial on these GPUs ends, or `maxTrialNumPerGpu` is raised; \
         the processes of others end, or `useActiveGpu` is set to true"
    );
    let reason = refusal.reason(Timestamp(7));
    assert_eq!((reason.code, reason.since), (ReasonCode::GpuBusy, Timestamp(7)));
    assert_eq!(refusal.error().kind(), ErrorKind::NoCapacity);
}

#[test]
fn our_own_processes_do_not_block_but_hidden_ones_do() {
    let ours = BTreeSet::from([1, 2]);
    let mut gpus = machine(&[2]).gpus().to_vec();
    let ask = |gpus: &[Gpu]| {
        let inventory = GpuInventory::new(gpus.to_vec());
        place(
            GpuCount::Exactly(1),
            &inventory,
            &GpuRules::default(),
            &GpuLedger::new(),
            &ours,
        )
    };
    assert_eq!(ask(&gpus), Ok(vec![0]));
    gpus[0].n_hidden_processes = 1;
    let refusal = ask(&gpus).expect_err("somebody is there");
    assert!(
        refusal.message.ends_with("GPU 0 runs a process of somebody else"),
        "{}",
        refusal.message
    );
}

#[test]
fn partitioned_gpus_serve_single_gpu_trials_only() {
    let mut gpus = machine(&[0, 0]).gpus().to_vec();
    gpus[0].mig = MigMode::Enabled;
    gpus[0].mig_devices = vec![MigDevice {
        index: 0,
        profile: "1g.5gb".into(),
        uuid: "MIG-1".into(),
    }];
    let inventory = GpuInventory::new(gpus);
    let ask = |n| {
        let (rules, ledger) = (GpuRules::default(), GpuLedger::new());
        place(GpuCount::Exactly(n), &inventory, &rules, &ledger, &BTreeSet::new())
    };
    assert_eq!(ask(1), Ok(vec![0]));
    let refusal = ask(2).expect_err("one GPU is partitioned");
    assert!(
        refusal.permanent && refusal.message.contains("MIG mode (0)"),
        "{}",
        refusal.message
    );
}
