//! `GridSearch`: every combination of a finite space once; a space with real numbers in ever finer grids.
//!
//! The first pass takes all values of discrete parameters and the median of the others; each later pass halves the distances
//! between the shares of the distributions (quartiles, eighths, …) and visits the new combinations only. Within a pass the last
//! parameter changes fastest. Never holds more than one combination and the values per parameter.
//!
//! Sources: nni v3.0, `gridsearch_tuner.py`: the passes; nni v1.9, `gridsearch_tuner.py`: `quniform` as all its multiples.

use super::built_in::{Algorithm, goes_through_its_space};
use crate::search_space::{Coordinate, Domain, Numeric, Point, SearchSpace};
use serde_json::Value;
use std::convert::Infallible;
use ts_core::Result;

/// Proposal `id` is combination `id`, counted from 0.
#[derive(Debug)]
pub(super) struct Grid {
    space: SearchSpace,
    axes: Vec<Axis>,
    /// Where the walk is: per leaf the number of its value; 0 for leaves of branches that are not chosen.
    at: Vec<u64>,
    /// Per leaf how many values earlier passes had.
    seen: Vec<u64>,
    /// Combinations visited, the present one included.
    visited: u64,
    is_exhausted: bool,
}

impl Grid {
    pub(super) fn new(space: SearchSpace) -> Self {
        let axes: Vec<_> = space.leaves().iter().map(|leaf| Axis::new(&leaf.domain)).collect();
        Self {
            at: vec![0; axes.len()],
            seen: vec![0; axes.len()],
            space,
            axes,
            visited: 0,
            is_exhausted: false,
        }
    }

    fn point(&self) -> Point {
        let Ok(point) = self
            .space
            .point_by(|leaf, _| Ok::<_, Infallible>(self.axes[leaf].coordinate(self.at[leaf])));
        point
    }

    /// Moves to the next new combination; false if there is none.
    fn advance(&mut self) -> bool {
        let mut fresh = self.visited == 0;
        while fresh || self.step() || self.refine() {
            fresh = false;
            if self.at.iter().zip(&self.seen).any(|(at, seen)| at >= seen) {
                self.visited += 1;
                return true;
            }
        }
        self.is_exhausted = true;
        false
    }

    /// Moves to the next combination of this pass; false, and back at the first, if there is none.
    fn step(&mut self) -> bool {
        let point = self.point();
        for leaf in (0..self.axes.len()).rev().filter(|leaf| point[*leaf].is_some()) {
            if self.at[leaf] + 1 < self.axes[leaf].len() {
                self.at[leaf] += 1;
                return true;
            }
            self.at[leaf] = 0;
        }
        false
    }

    /// Begins the next pass; false if no parameter has further values.
    fn refine(&mut self) -> bool {
        for (seen, axis) in self.seen.iter_mut().zip(&mut self.axes) {
            *seen = axis.len();
            axis.refine();
        }
        self.seen.iter().zip(&self.axes).any(|(seen, axis)| axis.len() > *seen)
    }
}

impl Algorithm for Grid {
    fn name(&self) -> &'static str {
        "GridSearch"
    }

    fn propose(&mut self, id: u64) -> Result<Option<Value>> {
        while self.visited <= id {
            if self.is_exhausted || !self.advance() {
                return Ok(None);
            }
        }
        Ok(Some(self.space.render(&self.point())))
    }

    fn adopt(&mut self, _parameters: &str) {}

    fn result(&mut self, _parameters: &str, _number: Option<f64>) {}

    fn ended(&mut self, _parameters: &str) {}

    fn import(&mut self, _parameters: &Value, _number: Option<f64>) {}

    fn update_search_space(&mut self, _space: &Value) -> Result<()> {
        Err(goes_through_its_space(self.name()))
    }
}

/// The values of one leaf so far.
#[derive(Debug)]
enum Axis {
    /// All levels of a discrete parameter.
    All(u64),
    /// The different values of a choice, which may repeat itself.
    Different(Vec<u64>),
    /// Shares of a distribution, and the intervals between them that still hold other values.
    Shares {
        numeric: Numeric,
        shares: Vec<f64>,
        open: Vec<(f64, f64)>,
    },
}

impl Axis {
    fn new(domain: &Domain) -> Self {
        match (domain, domain.levels()) {
            (Domain::Choice(values), _) => {
                let mut different: Vec<u64> = Vec::with_capacity(values.len());
                for (i, value) in (0_u64..).zip(values) {
                    if domain.index_of(value) == Some(i) {
                        different.push(i);
                    }
                }
                Self::Different(different)
            }
            (_, Some(levels)) => Self::All(levels),
            (Domain::Numeric(numeric), None) => Self::Shares {
                numeric: *numeric,
                shares: vec![0.5],
                open: vec![(0.0, 0.5), (0.5, 1.0)],
            },
            (_, None) => Self::All(0),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::All(levels) => *levels,
            Self::Different(levels) => levels.len() as u64,
            Self::Shares { shares, .. } => shares.len() as u64,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "below the length of a list")]
    fn coordinate(&self, index: u64) -> Coordinate {
        match self {
            Self::All(_) => Coordinate::Level(index),
            Self::Different(levels) => Coordinate::Level(levels[index as usize]),
            Self::Shares { shares, .. } => Coordinate::Share(shares[index as usize]),
        }
    }

    /// Halves the open intervals until new values turn up or nothing is open. With a step it takes several rounds at times.
    fn refine(&mut self) {
        let Self::Shares { numeric, shares, open } = self else {
            return;
        };
        let before = shares.len();
        while shares.len() == before && !open.is_empty() {
            for (left, right) in std::mem::take(open) {
                let middle = f64::midpoint(left, right);
                if middle <= left || middle >= right || !holds_more(numeric, left, right) {
                    continue;
                }
                let value = numeric.at(middle);
                // The ends of an interval were values of their own before, except 0 and 1, which are never visited.
                if numeric.at(left) < value && value < numeric.at(right) {
                    shares.push(middle);
                }
                open.push((left, middle));
                open.push((middle, right));
            }
        }
    }
}

/// Whether values other than those at its ends may lie within an interval of shares.
fn holds_more(numeric: &Numeric, left: f64, right: f64) -> bool {
    let distance = numeric.at(right) - numeric.at(left);
    match numeric.step {
        // Neighboring multiples are one step apart, up to rounding.
        Some(q) => distance > 1.5 * q,
        None => distance > 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn first(space: &Value, most: u64) -> Vec<Value> {
        let mut grid = Grid::new(SearchSpace::parse(space).unwrap());
        (0..most).map_while(|id| grid.propose(id).unwrap()).collect()
    }

    #[test]
    fn a_finite_space_is_visited_once_with_the_last_key_fastest() {
        let space = json!({
            "a": {"_type": "choice", "_value": ["x", "y"]},
            "b": {"_type": "randint", "_value": [1, 3]},
            "c": {"_type": "quniform", "_value": [0, 1.2, 0.5]}
        });
        let points = first(&space, 1000);
        assert_eq!(points.len(), 2 * 2 * 3);
        assert_eq!(points[0], json!({"a": "x", "b": 1, "c": 0.0}));
        assert_eq!(points[1], json!({"a": "x", "b": 1, "c": 0.5}));
        assert_eq!(points[11], json!({"a": "y", "b": 2, "c": 1.0}));
    }

    #[test]
    fn only_chosen_branches_multiply() {
        let space = json!({
            "layer": {"_type": "choice", "_value": [
                {"_name": "none"},
                {"_name": "conv", "k": {"_type": "choice", "_value": [3, 5, 7]}},
                {"_name": "pool", "k": {"_type": "randint", "_value": [2, 4]}}
            ]},
            "lr": {"_type": "choice", "_value": [0.1, 0.01]}
        });
        let points = first(&space, 1000);
        let texts: BTreeSet<_> = points.iter().map(Value::to_string).collect();
        assert_eq!((points.len(), texts.len()), ((1 + 3 + 2) * 2, 12));
        assert!(points.contains(&json!({"layer": {"_name": "pool", "k": 3}, "lr": 0.01})));
    }

    #[test]
    fn real_numbers_are_halved_pass_by_pass() {
        let space = json!({"x": {"_type": "uniform", "_value": [0, 8]}});
        let points: Vec<_> = first(&space, 7).iter().map(|p| p["x"].as_f64().unwrap()).collect();
        assert_eq!(points, [4.0, 2.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
        let pair = json!({
            "x": {"_type": "uniform", "_value": [0, 8]},
            "y": {"_type": "loguniform", "_value": [1, 16]}
        });
        let points = first(&pair, 9 + 40);
        let texts: BTreeSet<_> = points.iter().map(Value::to_string).collect();
        assert_eq!(texts.len(), 49, "no combination comes twice");
        assert!(
            (points[0]["y"].as_f64().unwrap() - 4.0).abs() < 1e-12,
            "the median of 1 to 16"
        );
    }

    #[test]
    fn values_that_repeat_are_visited_once() {
        let space = json!({"a": {"_type": "choice", "_value": [1, 1, 2]}});
        assert_eq!(first(&space, 10), [json!({"a": 1}), json!({"a": 2})]);
        let normal = first(&json!({"a": {"_type": "qnormal", "_value": [0, 1, 1]}}), 9);
        let values: BTreeSet<_> = normal.iter().map(Value::to_string).collect();
        assert_eq!((normal.len(), values.len()), (9, 9));
        assert!(
            (-2..=2).all(|n| normal.contains(&json!({"a": f64::from(n)}))),
            "{normal:?}"
        );
    }

    #[test]
    fn a_huge_space_costs_no_memory_before_it_is_visited() {
        let space = json!({
            "a": {"_type": "randint", "_value": [0, 1_000_000_000_000_i64]},
            "b": {"_type": "quniform", "_value": [0, 1e9, 1e-3]}
        });
        assert_eq!(first(&space, 2)[1], json!({"a": 0, "b": 0.001}));
    }
}
