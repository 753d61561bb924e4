//! Placement: who goes where, and why not.

use super::*;
use proptest::prelude::*;
use ts_core::gpu::Gpu;

const NOW: Duration = Duration::from_secs(100);
const AT: Timestamp = Timestamp(7);

fn trial(n: usize) -> TrialId {
    TrialId::new(&format!("t{n}")).expect("legal")
}

fn waiting(n: usize, gpus: GpuCount) -> Waiting {
    Waiting {
        trial: trial(n),
        gpus,
        package: "p".to_owned(),
    }
}

/// A board of connected machines with these numbers of GPUs, all with the code.
fn board(gpus: &[u32]) -> Board {
    let slots = (0..gpus.len()).map(|i| Slot::new(format!("m{i}"), GpuRules::new(None, 1, false)));
    let mut board = Board::new(slots.collect());
    for (i, n_gpus) in gpus.iter().enumerate() {
        board.set_condition(i, Condition::Up);
        board.set_package(i, "p", true);
        let inventory = GpuInventory::new((0..*n_gpus).map(|g| Gpu::new(g, format!("u{g}"), "H100")).collect());
        board.set_inventory(i, NOW, Ok(inventory));
    }
    board
}

#[test]
fn trials_without_gpus_spread_by_load_per_core() {
    let mut board = board(&[0, 0]);
    board.set_cores(0, 1);
    board.set_cores(1, 3);
    (0..8).for_each(|n| board.enqueue(waiting(n, GpuCount::Unset)));
    let (placed, refused) = board.place_all(NOW, AT);
    assert!(refused.is_empty());
    assert_eq!(placed.len(), 8);
    let n_on = |machine| placed.iter().filter(|p| p.machine == machine).count();
    assert_eq!((n_on(0), n_on(1)), (2, 6));
    assert!(placed.iter().all(|p| p.visible_devices.is_none()));
}

#[test]
fn a_trial_that_cannot_be_placed_holds_up_nobody_and_says_why() {
    let mut board = board(&[1, 2]);
    board.enqueue(waiting(0, GpuCount::Exactly(4)));
    board.enqueue(waiting(1, GpuCount::Exactly(2)));
    board.enqueue(waiting(2, GpuCount::Exactly(0)));
    let (placed, refused) = board.place_all(NOW, AT);
    let ways: Vec<(usize, &[u32], Option<&str>)> = placed
        .iter()
        .map(|p| (p.machine, p.devices.as_slice(), p.visible_devices.as_deref()))
        .collect();
    assert_eq!(ways, [(1, &[0, 1][..], Some("0,1")), (0, &[][..], Some("-1"))]);
    let [(waits, why)] = refused.as_slice() else {
        panic!("{refused:?}")
    };
    assert_eq!(*waits, trial(0));
    assert!(
        why.message.contains("`m0`") && why.message.contains("`m1`"),
        "{}",
        why.message
    );
    board.enqueue(waiting(3, GpuCount::Exactly(2)));
    let (placed, refused) = board.place_all(NOW, AT);
    assert!(placed.is_empty());
    assert_eq!(refused[1].1.code, ReasonCode::GpuBusy, "{:?}", refused[1].1);
    assert!(board.release(1, &trial(1)));
    assert_eq!(
        board.stale_inventories(NOW),
        [1],
        "whose processes use the GPUs has changed"
    );
}

#[test]
fn machines_that_are_down_or_put_aside_get_nothing_and_come_back() {
    let mut board = board(&[0, 0]);
    let why = Reason::new(ReasonCode::Unreachable, "no route", AT);
    board.set_condition(0, Condition::Down { why: why.clone() });
    let until = NOW + Duration::from_secs(5);
    board.set_condition(1, Condition::Aside { why, until });
    board.enqueue(waiting(0, GpuCount::Unset));
    let (placed, refused) = board.place_all(NOW, AT);
    assert!(placed.is_empty());
    assert_eq!(refused[0].1.code, ReasonCode::Unreachable);
    assert_eq!(board.next_return(), Some(until));
    let (placed, _) = board.place_all(until, AT);
    assert_eq!(placed[0].machine, 1);
    assert!(!board.withdraw(&trial(0)), "placed already");
}

#[test]
fn code_on_its_way_is_waited_for() {
    let mut board = board(&[0]);
    board.set_package(0, "p", false);
    board.enqueue(waiting(0, GpuCount::Unset));
    assert_eq!(board.place_all(NOW, AT).1[0].1.code, ReasonCode::Starting);
    board.set_package(0, "p", true);
    assert_eq!(board.place_all(NOW, AT).0.len(), 1);
}

proptest! {
    /// Whatever is asked, no GPU is given twice and nothing is lost or doubled.
    #[test]
    fn no_gpu_is_held_twice(
        machines in prop::collection::vec(0_u32..5, 1..4),
        wishes in prop::collection::vec(0_u32..4, 1..30),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut board = board(&machines);
        for (n, wish) in wishes.iter().enumerate() {
            board.enqueue(waiting(n, GpuCount::Exactly(*wish)));
        }
        let mut live: Vec<Placed> = Vec::new();
        let mut n_ended = 0;
        for end in std::iter::once(None).chain(ends.iter().map(Some)) {
            if let Some(end) = end && !live.is_empty() {
                let over = live.swap_remove(end.index(live.len()));
                board.release(over.machine, &over.waiting.trial);
                n_ended += 1;
                let all = GpuInventory::new((0..machines[over.machine]).map(|g| Gpu::new(g, format!("u{g}"), "x")).collect());
                board.set_inventory(over.machine, NOW, Ok(all));
            }
            let (placed, refused) = board.place_all(NOW, AT);
            live.extend(placed);
            prop_assert_eq!(live.len() + refused.len() + n_ended, wishes.len());
            let mut held = HashSet::new();
            for p in &live {
                prop_assert!(p.devices.iter().all(|d| held.insert((p.machine, *d))), "a GPU is held twice");
            }
        }
    }
}
