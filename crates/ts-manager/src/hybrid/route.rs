//! Which platform gets the next trial: a pure function of how full each is.

/// What routing looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Trials that have not ended.
    pub(super) live: u32,
    /// Most trials at a time; `None`: as many as the experiment has.
    pub(super) most: Option<u32>,
    /// Its part of the trials, beside the others'. `None` for all: the first with room is taken.
    pub(super) weight: Option<u32>,
    /// Whether it did not answer lately.
    pub(super) is_down: bool,
}

/// Platforms with room in the order in which to try them; those that did not answer lately come last.
pub(super) fn order(loads: &[Load]) -> Vec<usize> {
    let is_weighted = loads.iter().any(|load| load.weight.is_some());
    let mut order: Vec<usize> = (0..loads.len())
        .filter(|at| loads[*at].most.is_none_or(|most| loads[*at].live < most))
        .collect();
    order.sort_by(|a, b| {
        let (one, other) = (&loads[*a], &loads[*b]);
        // One trial more, as a share of the weight, compared without a division.
        let share = |load: &Load, by: &Load| u64::from(load.live + 1) * u64::from(by.weight.unwrap_or(1).max(1));
        let by_weight = || share(one, other).cmp(&share(other, one));
        let by_list = a.cmp(b);
        one.is_down
            .cmp(&other.is_down)
            .then_with(|| if is_weighted { by_weight() } else { by_list })
            .then(by_list)
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(live: u32, most: Option<u32>, weight: Option<u32>, is_down: bool) -> Load {
        Load {
            live,
            most,
            weight,
            is_down,
        }
    }

    #[test]
    fn the_list_counts_where_there_are_no_weights() {
        assert_eq!(order(&[load(5, None, None, false), load(0, None, None, false)]), [0, 1]);
        assert_eq!(order(&[load(2, Some(2), None, false), load(0, None, None, false)]), [1]);
        assert_eq!(order(&[load(0, None, None, true), load(9, None, None, false)]), [1, 0]);
        assert_eq!(order(&[load(1, Some(1), None, false)]), [] as [usize; 0]);
    }

    #[test]
    fn weights_share_the_trials_out() {
        let mut loads = [load(0, None, Some(3), false), load(0, None, Some(1), false)];
        for _ in 0..40 {
            loads[order(&loads)[0]].live += 1;
        }
        assert_eq!((loads[0].live, loads[1].live), (30, 10));
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_it_takes_and_room_is_found_if_there_is_any(
            loads in proptest::collection::vec(
                (0u32..6, proptest::option::of(0u32..6), proptest::option::of(1u32..9), any::<bool>())
                    .prop_map(|(live, most, weight, is_down)| load(live, most, weight, is_down)),
                0..6,
            ),
        ) {
            let order = order(&loads);
            let has_room = |load: &Load| load.most.is_none_or(|most| load.live < most);
            prop_assert!(order.iter().all(|at| has_room(&loads[*at])));
            prop_assert_eq!(order.len(), loads.iter().filter(|load| has_room(load)).count());
            let down = order.iter().map(|at| loads[*at].is_down);
            prop_assert!(down.is_sorted());
        }
    }
}
