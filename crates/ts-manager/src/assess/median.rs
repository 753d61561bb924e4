//! The median of a growing set of numbers: adding costs the logarithm of their count, asking nothing.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// A number that is ordered among all others; not a number is the greatest.
#[derive(Debug, Clone, Copy)]
struct Ordered(f64);

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ordered {}
impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Numbers, halved into the lower and the upper ones; the lower half has at most one more.
#[derive(Debug, Default)]
pub(super) struct Medians {
    lower: BinaryHeap<Ordered>,
    upper: BinaryHeap<Reverse<Ordered>>,
}

impl Medians {
    /// Adds a number.
    pub(super) fn add(&mut self, x: f64) {
        self.lower.push(Ordered(x));
        if let Some(greatest) = self.lower.pop() {
            self.upper.push(Reverse(greatest));
        }
        if self.upper.len() > self.lower.len()
            && let Some(Reverse(least)) = self.upper.pop()
        {
            self.lower.push(least);
        }
    }

    /// The middle number, of two the smaller; `None` if there are none.
    pub(super) fn low(&self) -> Option<f64> {
        self.lower.peek().map(|x| x.0)
    }

    /// The middle number, of two the greater; `None` if there are none.
    pub(super) fn high(&self) -> Option<f64> {
        if self.lower.len() == self.upper.len() {
            self.upper.peek().map(|Reverse(x)| x.0)
        } else {
            self.low()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_sorting(numbers in proptest::collection::vec(-1e6_f64..1e6, 1..60)) {
            let mut medians = Medians::default();
            let mut sorted = Vec::new();
            for x in numbers {
                medians.add(x);
                sorted.push(x);
                sorted.sort_by(f64::total_cmp);
                prop_assert_eq!(medians.low(), Some(sorted[(sorted.len() - 1) / 2]));
                prop_assert_eq!(medians.high(), Some(sorted[sorted.len() / 2]));
            }
        }
    }
}
