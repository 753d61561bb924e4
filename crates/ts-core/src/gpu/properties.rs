//! Properties of placement and ledger: compared with brute force on small machines, and over long histories.

use super::{Gpu, GpuCount, GpuInventory, GpuLedger, GpuRules, MigDevice, MigMode, place};
use crate::{ReasonCode, TrialId};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

const OUR_PID: u32 = 1;
const FOREIGN_PID: u32 = 2;

/// One GPU of a generated machine.
#[derive(Debug, Clone)]
struct Slot {
    n_trials: u32,
    foreign: bool,
    hidden: bool,
    ours: bool,
    /// Number of MIG devices, if it is partitioned.
    mig: Option<u32>,
}

fn slot() -> impl Strategy<Value = Slot> {
    let mig = prop_oneof![8 => Just(None), 1 => (0_u32..3).prop_map(Some)];
    (0_u32..4, any::<[bool; 3]>(), mig).prop_map(|(n_trials, [foreign, hidden, ours], mig)| Slot {
        n_trials,
        foreign,
        hidden: hidden && foreign,
        ours,
        mig,
    })
}

fn rules() -> impl Strategy<Value = GpuRules> {
    (prop::option::of(vec(0_u32..5, 0..4)), 0_u32..4, any::<bool>())
        .prop_map(|(indices, max, active)| GpuRules::new(indices, max, active))
}

fn trial(n: usize) -> TrialId {
    TrialId::new(&format!("t{n}")).expect("a legal id")
}

fn inventory(slots: &[Slot]) -> GpuInventory {
    let gpu = |(index, slot): (u32, &Slot)| {
        let pids = [(slot.ours, OUR_PID), (slot.foreign && !slot.hidden, FOREIGN_PID)];
        let present = pids.into_iter().filter(|(there, _)| *there).map(|(_, pid)| pid);
        let mut gpu = Gpu::new(index, format!("GPU-{index}"), "T4").with_processes(present);
        gpu.n_hidden_processes = u32::from(slot.hidden);
        if let Some(n_devices) = slot.mig {
            gpu.mig = MigMode::Enabled;
            let device = |n| MigDevice {
                index: n,
                profile: "1g.5gb".into(),
                uuid: format!("MIG-{index}-{n}"),
            };
            gpu.mig_devices = (0..n_devices).map(device).collect();
        }
        gpu
    };
    GpuInventory::new((0..).zip(slots).map(gpu).collect())
}

fn ledger(slots: &[Slot]) -> GpuLedger {
    let mut ledger = GpuLedger::new();
    let holders = (0..)
        .zip(slots)
        .flat_map(|(index, slot)| vec![index; slot.n_trials as usize]);
    for (n, index) in holders.enumerate() {
        ledger.restore(&trial(n), &[index]);
    }
    ledger
}

/// Every set of `n` GPUs that the rules allow, by trying all sets.
fn legal_sets(n: u32, slots: &[Slot], rules: &GpuRules) -> Vec<Vec<u32>> {
    let legal = |index: u32| {
        let slot = &slots[index as usize];
        let named = rules.indices.as_ref().is_none_or(|indices| indices.contains(&index));
        let room = slot.n_trials < rules.max_trials_per_gpu;
        let peace = rules.use_active_gpu || slot.n_trials > 0 || !slot.foreign;
        let computes = slot.mig.is_none_or(|n_devices| n == 1 && n_devices > 0);
        named && room && peace && computes
    };
    (0_u32..1 << slots.len())
        .filter(|set| set.count_ones() == n)
        .map(|set| (0..32).filter(|bit| set & (1 << bit) != 0).collect::<Vec<u32>>())
        .filter(|set| set.iter().all(|index| legal(*index)))
        .collect()
}

/// The same machine with nobody on it.
fn emptied(slots: &[Slot]) -> Vec<Slot> {
    let empty = |slot: &Slot| Slot {
        n_trials: 0,
        foreign: false,
        hidden: false,
        ours: false,
        mig: slot.mig,
    };
    slots.iter().map(empty).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn placement_agrees_with_brute_force(slots in vec(slot(), 0..5), rules in rules(), n in 1_u32..5) {
        let (inventory, ledger) = (inventory(&slots), ledger(&slots));
        let answer = place(GpuCount::Exactly(n), &inventory, &rules, &ledger, &BTreeSet::from([OUR_PID]));
        let names_absent = rules.indices.iter().flatten().any(|index| *index as usize >= slots.len());
        let sets = if names_absent { Vec::new() } else { legal_sets(n, &slots, &rules) };
        match answer {
            Ok(chosen) => {
                prop_assert!(sets.contains(&chosen), "{chosen:?} breaks a rule");
                let load = |set: &[u32]| {
                    let mut load: Vec<_> = set.iter().map(|index| (slots[*index as usize].n_trials, *index)).collect();
                    load.sort_unstable();
                    load
                };
                let best = sets.iter().map(|set| load(set)).min();
                prop_assert_eq!(Some(load(&chosen)), best, "the least used, then the lowest");
            }
            Err(refusal) => {
                prop_assert!(sets.is_empty(), "refused, though {:?} would do: {}", sets[0], refusal.message);
                let ever = !names_absent && !legal_sets(n, &emptied(&slots), &rules).is_empty();
                prop_assert_eq!(refusal.permanent, !ever, "{}", refusal.message);
                let code = if ever { ReasonCode::GpuBusy } else { ReasonCode::NoMachine };
                prop_assert_eq!(refusal.code, code);
                prop_assert!(!refusal.unblock.is_empty());
            }
        }
    }

    /// Trials come, end and are adopted in any order.
    #[test]
    fn no_history_books_twice(
        n_gpus in 1_usize..5,
        max in 1_u32..4,
        steps in vec((0_usize..12, 1_u32..4, any::<bool>()), 0..60),
    ) {
        let empty = Slot { n_trials: 0, foreign: false, hidden: false, ours: false, mig: None };
        let inventory = inventory(&vec![empty; n_gpus]);
        let rules = GpuRules::new(None, max, false);
        let mut ledger = GpuLedger::new();
        for (id, wish, ends) in steps {
            let trial = trial(id);
            let before = ledger.clone();
            if ends {
                let held = ledger.held_by(&trial).map(<[u32]>::to_vec);
                let freed = ledger.release(&trial);
                prop_assert_eq!(&freed, &held, "exactly what was reserved");
                prop_assert_eq!(ledger.release(&trial), None);
                for index in 0..5 {
                    let less = u32::from(freed.as_ref().is_some_and(|freed| freed.contains(&index)));
                    prop_assert_eq!(ledger.trials_on(index) + less, before.trials_on(index));
                }
                if let Some(freed) = freed {
                    // A restart enters the same again, and so it is the same ledger.
                    let mut restarted = ledger.clone();
                    restarted.restore(&trial, &freed);
                    prop_assert_eq!(restarted, before);
                }
            } else if let Ok(chosen) = place(GpuCount::Exactly(wish), &inventory, &rules, &ledger, &BTreeSet::new()) {
                let held_before = ledger.held_by(&trial).is_some();
                let reserved = ledger.reserve(&trial, &chosen, max);
                prop_assert_eq!(reserved.is_err(), held_before, "what place gives can be reserved");
                if held_before {
                    prop_assert_eq!(&ledger, &before);
                } else {
                    prop_assert_eq!(ledger.held_by(&trial), Some(&chosen[..]));
                }
            }
            prop_assert!((0..5).all(|index| ledger.trials_on(index) <= max));
        }
    }

    /// Whatever is asked of it, not only what `place` gives.
    #[test]
    fn the_ledger_itself_refuses_to_double_book(asked in vec((0_usize..9, vec(0_u32..4, 0..4)), 0..40), max in 0_u32..3) {
        let mut ledger = GpuLedger::new();
        for (id, indices) in asked {
            let before = ledger.clone();
            let distinct: BTreeSet<u32> = indices.iter().copied().collect();
            let fits = before.held_by(&trial(id)).is_none()
                && distinct.len() == indices.len()
                && distinct.iter().all(|index| before.trials_on(*index) < max);
            prop_assert_eq!(ledger.reserve(&trial(id), &indices, max).is_ok(), fits);
            if !fits {
                prop_assert_eq!(&ledger, &before, "all or none");
            }
            prop_assert!((0..4).all(|index| ledger.trials_on(index) <= max));
        }
    }
}

#[test]
fn an_adopted_trial_keeps_its_gpus_above_the_limit_and_blocks_others() {
    let mut ledger = GpuLedger::new();
    ledger.reserve(&trial(0), &[0], 1).expect("free");
    ledger.restore(&trial(1), &[1, 0, 1]);
    assert_eq!(ledger.held_by(&trial(1)), Some(&[0, 1][..]));
    assert_eq!((ledger.trials_on(0), ledger.trials_on(1)), (2, 1));
    let refused = ledger.reserve(&trial(2), &[1], 1).expect_err("full");
    assert_eq!(refused.message(), "GPU 1 holds 1 of at most 1 trials, no room for `t2`");
    ledger.restore(&trial(1), &[1]);
    assert_eq!(ledger.trials_on(0), 1, "a second restore replaces the first");
}
