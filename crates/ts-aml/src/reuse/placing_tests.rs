//! Trials on a node: no GPU twice, sharing as far as it is allowed, and nobody who sees all beside one who has some.

use super::*;
use proptest::prelude::*;
use ts_core::gpu::Gpu;

#[expect(clippy::unnecessary_wraps, reason = "what a node tells, which may be a failure")]
fn node_of(n_gpus: u32) -> Gpus {
    Ok(GpuInventory::new(
        (0..n_gpus)
            .map(|index| Gpu::new(index, format!("GPU-{index}"), "T4"))
            .collect(),
    ))
}

fn limits(per_gpu: u32, per_node: u32) -> Limits {
    Limits {
        gpus: GpuRules::new(None, per_gpu, false),
        per_node,
    }
}

fn trial(n: usize) -> TrialId {
    TrialId::new(&format!("t{n}")).expect("legal")
}

/// Places trials with these wishes one after another; what each got.
fn fill(gpus: &Gpus, limits: &Limits, wishes: &[GpuCount]) -> Vec<Result<Share, Full>> {
    let mut node = Node {
        gpus: Some(gpus),
        ..Node::default()
    };
    let mut told = Vec::new();
    for (n, wish) in wishes.iter().enumerate() {
        let got = fit(*wish, &node, limits);
        if let Ok(share) = &got {
            node.shares.insert(trial(n), share.clone());
        }
        told.push(got);
    }
    told
}

fn shares(told: &[Result<Share, Full>]) -> Vec<Option<Share>> {
    told.iter().map(|one| one.clone().ok()).collect()
}

const fn n(count: u32) -> GpuCount {
    GpuCount::Exactly(count)
}

#[test]
fn gpus_are_given_once_and_shared_as_allowed() {
    let gpus = node_of(3);
    let got = |indices: &[u32]| Some(Share::Gpus(indices.to_vec()));
    let told = fill(&gpus, &limits(1, 1), &[n(1), n(2), n(1)]);
    assert_eq!(shares(&told), [got(&[0]), got(&[1, 2]), None]);
    assert!(matches!(&told[2], Err(full @ Full::Gpus(why)) if why.code == ReasonCode::GpuBusy && !full.is_final()));
    let told = fill(&gpus, &limits(2, 1), &[n(2), n(2), n(2), n(1)]);
    assert_eq!(shares(&told), [got(&[0, 1]), got(&[0, 2]), got(&[1, 2]), None]);
    let told = fill(&gpus, &limits(1, 1), &[n(4)]);
    assert!(matches!(&told[0], Err(full) if full.is_final()), "{told:?}");
}

#[test]
fn trials_without_gpus_have_a_limit_of_their_own() {
    let gpus = node_of(0);
    let told = fill(&gpus, &limits(1, 2), &[GpuCount::Unset, n(0), n(0)]);
    assert_eq!(told, [Ok(Share::Open), Ok(Share::Blind), Err(Full::Node)]);
    let told = fill(&gpus, &limits(1, 1), &[GpuCount::Unset, GpuCount::Unset]);
    assert_eq!(told, [Ok(Share::Open), Err(Full::Node)]);
}

#[test]
fn who_sees_all_gpus_runs_beside_nobody_who_has_some() {
    let gpus = node_of(2);
    let told = fill(&gpus, &limits(1, 4), &[n(1), GpuCount::Unset, n(0), n(1)]);
    assert_eq!(told[1..3], [Err(Full::Mixed), Ok(Share::Blind)]);
    assert_eq!(told[3], Ok(Share::Gpus(vec![1])));
    let told = fill(&gpus, &limits(1, 4), &[GpuCount::Unset, n(1)]);
    assert_eq!(told[1], Err(Full::Mixed));
}

#[test]
fn what_is_not_known_of_a_node_is_waited_for() {
    assert_eq!(fit(n(1), &Node::default(), &limits(1, 1)), Err(Full::Untold));
    assert_eq!(fit(n(0), &Node::default(), &limits(1, 1)), Ok(Share::Blind));
    let failing = Err(Refusal::unknown("no answer", "mend it"));
    let node = Node {
        gpus: Some(&failing),
        ..Node::default()
    };
    assert!(fit(n(1), &node, &limits(1, 1)).is_err_and(|full| full.is_unknown() && !full.is_final()));
}

#[test]
fn processes_of_others_count_unless_allowed() {
    let busy = Ok(GpuInventory::new(vec![Gpu::new(0, "GPU-0", "T4").with_processes([7])]));
    let node = |gpus| Node {
        gpus: Some(gpus),
        ..Node::default()
    };
    assert!(fit(n(1), &node(&busy), &limits(1, 1)).is_err());
    let free = emptied(&busy);
    assert!(fit(n(1), &node(&free), &limits(1, 1)).is_ok());
    let active = Limits {
        gpus: GpuRules::new(None, 1, true),
        per_node: 1,
    };
    assert!(fit(n(1), &node(&busy), &active).is_ok());
}

#[test]
fn a_share_is_read_from_the_name_that_it_makes() {
    for share in [
        Share::Open,
        Share::Blind,
        Share::Gpus(vec![0]),
        Share::Gpus(vec![3, 11]),
    ] {
        assert_eq!(Share::parse(share.suffix().trim_start_matches('.')), share);
    }
}

proptest! {
    /// Trials come and go in any order.
    #[test]
    fn no_history_breaks_a_limit(
        n_gpus in 0_u32..5,
        per_gpu in 1_u32..4,
        per_node in 1_u32..4,
        steps in proptest::collection::vec((0_usize..10, prop_oneof![Just(GpuCount::Unset), (0_u32..4).prop_map(GpuCount::Exactly)]), 0..60),
    ) {
        let gpus = node_of(n_gpus);
        let mut node = Node { gpus: Some(&gpus), ..Node::default() };
        let limits = limits(per_gpu, per_node);
        for (id, wish) in steps {
            if node.shares.remove(&trial(id)).is_some() {
                continue;
            }
            let Ok(share) = fit(wish, &node, &limits) else { continue };
            node.shares.insert(trial(id), share);
            let held: Vec<u32> = node.shares.values().filter_map(|share| match share {
                Share::Gpus(indices) => Some(indices.clone()),
                _ => None,
            }).flatten().collect();
            for gpu in 0..n_gpus {
                prop_assert!(held.iter().filter(|one| **one == gpu).count() <= per_gpu as usize);
            }
            let without = node.shares.values().filter(|share| !matches!(share, Share::Gpus(_))).count();
            prop_assert!(without <= per_node as usize);
            let sees_all = node.shares.values().any(|share| *share == Share::Open);
            prop_assert!(held.is_empty() || !sees_all);
        }
    }
}
