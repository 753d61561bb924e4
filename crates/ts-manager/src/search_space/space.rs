//! The search space as a list of leaves in key order, and points in it: sampled, turned into JSON, and found again from JSON.
//!
//! A nested choice is a leaf of its own, followed by the leaves of its branches, each of which knows the branch it needs.

use super::{Domain, SpaceProblem, parse};
use rand::{Rng, RngExt as _};
use serde_json::{Map, Value};
use std::convert::Infallible;
use ts_core::{Error, ErrorKind, Result};

/// A parsed search space. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchSpace {
    leaves: Vec<Leaf>,
}

/// One parameter of the space.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Leaf {
    /// Keys from the outside in; the last is the parameter's own.
    pub path: Vec<String>,
    /// What it may be.
    pub domain: Domain,
    /// The branch of a nested choice that it belongs to.
    pub parent: Option<Parent>,
}

/// A branch of a nested choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Number of the choice's leaf, always a smaller one.
    pub leaf: usize,
    /// Number of the branch.
    pub branch: u64,
}

/// Where a point lies along one leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Coordinate {
    /// The value of this number, as [`Domain::level`] counts.
    Level(u64),
    /// The value at this share, as [`super::Numeric::at`] takes it.
    Share(f64),
}

/// A point: one coordinate per leaf, `None` for leaves of branches that were not chosen.
pub type Point = Vec<Option<Coordinate>>;

impl SearchSpace {
    pub(super) fn new(leaves: Vec<Leaf>) -> Self {
        Self { leaves }
    }

    /// Parses NNI's search space JSON.
    ///
    /// # Errors
    /// `Config` with every problem in the message, one per line; the key is that of the first.
    pub fn parse(space: &Value) -> Result<Self> {
        Self::check(space).map_err(|problems| {
            let first = problems.first();
            let lines: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.key, p.message)).collect();
            let key = first.map_or("searchSpace", |p| p.key.as_str());
            let help = first.map_or("", |p| p.help.as_str());
            match lines.as_slice() {
                [_] => Error::new(ErrorKind::Config, format!("search space: {}", problems[0].message)),
                _ => Error::new(
                    ErrorKind::Config,
                    format!("{} problems in the search space\n{}", lines.len(), lines.join("\n")),
                ),
            }
            .with_key(key)
            .with_help(help)
        })
    }

    /// Parses NNI's search space JSON, giving the problems one by one.
    ///
    /// # Errors
    /// All problems, in key order; never an empty list.
    pub fn check(space: &Value) -> Result<Self, Vec<SpaceProblem>> {
        parse::parse(space)
    }

    /// All parameters: in key order, a nested choice before the leaves of its branches.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// Whether leaf `index` has a value, given the coordinates of the leaves before it.
    pub fn is_active(&self, index: usize, before: &[Option<Coordinate>]) -> bool {
        self.leaves[index]
            .parent
            .is_none_or(|parent| before.get(parent.leaf).copied().flatten() == Some(Coordinate::Level(parent.branch)))
    }

    /// Makes a point by asking `choose` for the coordinate of each active leaf, in order.
    ///
    /// # Errors
    /// The first error of `choose`.
    pub fn point_by<E>(&self, mut choose: impl FnMut(usize, &Leaf) -> Result<Coordinate, E>) -> Result<Point, E> {
        let mut point = Point::with_capacity(self.leaves.len());
        for (index, leaf) in self.leaves.iter().enumerate() {
            let coordinate = if self.is_active(index, &point) {
                Some(choose(index, leaf)?)
            } else {
                None
            };
            point.push(coordinate);
        }
        Ok(point)
    }

    /// A random point: each leaf drawn from its own distribution, in key order.
    pub fn sample(&self, rng: &mut impl Rng) -> Point {
        let Ok(point) = self.point_by(|_, leaf| Ok::<_, Infallible>(leaf.domain.sample(rng)));
        point
    }

    /// The parameters at a point, as the trial will read them.
    pub fn render(&self, point: &[Option<Coordinate>]) -> Value {
        let mut root = Map::new();
        for (leaf, coordinate) in self.leaves.iter().zip(point) {
            let Some(value) = coordinate.and_then(|c| leaf.domain.value(c)) else {
                continue;
            };
            let Some((own, outer)) = leaf.path.split_last() else {
                continue;
            };
            let place = outer
                .iter()
                .try_fold(&mut root, |map, key| map.get_mut(key).and_then(Value::as_object_mut));
            if let Some(map) = place {
                let value = match leaf.domain {
                    Domain::Branches(_) => Value::Object(Map::from_iter([("_name".to_owned(), value)])),
                    _ => value,
                };
                map.insert(own.clone(), value);
            }
        }
        Value::Object(root)
    }

    /// The point of given parameters; `None` if they are not of this space.
    pub fn locate(&self, parameters: &Value) -> Option<Point> {
        let mut point = Point::with_capacity(self.leaves.len());
        for (index, leaf) in self.leaves.iter().enumerate() {
            let coordinate = if self.is_active(index, &point) {
                let value = leaf.path.iter().try_fold(parameters, |value, key| value.get(key))?;
                Some(leaf.domain.coordinate(value)?)
            } else {
                None
            };
            point.push(coordinate);
        }
        Some(point)
    }
}

impl Domain {
    /// A random coordinate.
    pub fn sample(&self, rng: &mut impl Rng) -> Coordinate {
        match (self, self.levels()) {
            (Self::Numeric(_), _) | (_, None) => {
                // 53 bits and a half: never 0 and never 1, so that a normal quantile is finite.
                let bits = (rng.next_u64() >> 11) as f64;
                Coordinate::Share((bits + 0.5) * 2.0_f64.powi(-53))
            }
            (_, Some(levels)) => Coordinate::Level(rng.random_range(0..levels)),
        }
    }

    /// The value at a coordinate; `None` if the coordinate does not fit the domain.
    pub fn value(&self, coordinate: Coordinate) -> Option<Value> {
        match (self, coordinate) {
            (Self::Numeric(numeric), Coordinate::Share(u)) => Some(Value::from(numeric.at(u))),
            (_, Coordinate::Level(index)) => self.level(index),
            (_, Coordinate::Share(_)) => None,
        }
    }

    fn coordinate(&self, value: &Value) -> Option<Coordinate> {
        match self {
            Self::Numeric(numeric) => value.as_f64().map(|x| Coordinate::Share(numeric.share(x))),
            Self::Branches(_) => self.index_of(value.get("_name")?).map(Coordinate::Level),
            _ => self.index_of(value).map(Coordinate::Level),
        }
    }
}
