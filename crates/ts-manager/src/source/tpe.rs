//! `TPE`, alias `TPE_legacy`: proposes values like those of the good trials and unlike those of the others, leaf by leaf.
//!
//! The estimator is the `tpe` crate's. It is built anew for each proposal from a bounded set of results that does not depend on the
//! order in which they came, so that a resumed experiment goes on as an uninterrupted one would. A leaf learns only from trials in
//! which it was active; trials without a usable result teach nothing.

use super::{
    built_in::{Algorithm, rng},
    tpe_settings::{Liar, Settings},
    unpack,
};
use crate::search_space::{Coordinate, Domain, Leaf, Point, SearchSpace};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use ts_core::{Error, ErrorKind, Result};

/// How many of the newest results are kept; of older ones only as many of the best as may count as good. Keeps the cost of a
/// proposal and the memory flat.
const NEWEST: usize = 1000;

#[derive(Debug)]
pub(super) struct Tpe {
    space: SearchSpace,
    settings: Settings,
    results: BTreeMap<u64, TrialResult>,
    pending: BTreeMap<u64, Point>,
    /// From elsewhere, the newest last.
    imported: VecDeque<TrialResult>,
}

#[derive(Debug)]
struct TrialResult {
    point: Point,
    loss: f64,
}

impl Tpe {
    pub(super) fn new(space: SearchSpace, settings: Settings) -> Self {
        Self {
            space,
            settings,
            results: BTreeMap::new(),
            pending: BTreeMap::new(),
            imported: VecDeque::new(),
        }
    }

    /// The loss to assume for trials without a result.
    fn lie(&self) -> Option<f64> {
        let losses = || self.results.values().chain(&self.imported).map(|r| r.loss);
        let lie = match self.settings.liar? {
            Liar::Best => losses().min_by(f64::total_cmp),
            Liar::Worst => losses().max_by(f64::total_cmp),
            Liar::Mean => Some(losses().sum::<f64>() / losses().count() as f64),
        };
        // Without results, or with infinite ones of both signs, every lie is as good.
        Some(lie.filter(|x| !x.is_nan()).unwrap_or(0.0))
    }

    fn choose(&self, index: usize, leaf: &Leaf, lie: Option<f64>, rng: &mut ChaCha8Rng) -> Result<Coordinate> {
        let results = self.results.values().chain(&self.imported).map(|r| (&r.point, r.loss));
        let lies = self.pending.values().filter_map(|point| lie.map(|loss| (point, loss)));
        let known: Vec<_> = results
            .chain(lies)
            .filter_map(|(point, loss)| Some((to_axis(&leaf.domain, point[index]?), loss)))
            .collect();
        if known.len() < self.settings.startup {
            return Ok(leaf.domain.sample(rng));
        }
        let x = self
            .estimate(&leaf.domain, &known, rng)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("TPE failed: {e}")).with_key(leaf.path.join(".")))?;
        Ok(from_axis(&leaf.domain, x))
    }

    /// The next value along an axis, given those known with their losses.
    fn estimate(
        &self,
        domain: &Domain,
        known: &[(f64, f64)],
        rng: &mut ChaCha8Rng,
    ) -> Result<f64, Box<dyn std::error::Error>> {
        let (estimator, range) = match domain {
            Domain::Choice(values) | Domain::Branches(values) => {
                (tpe::histogram_estimator(), tpe::categorical_range(values.len())?)
            }
            Domain::RandInt { .. } | Domain::Numeric(_) => (tpe::parzen_estimator(), tpe::range(0.0, 1.0)?),
        };
        let mut optimizer = tpe::TpeOptimizerBuilder::new()
            .gamma(self.good_share(known.len()))
            .candidates(self.settings.candidates)
            .build(estimator, range)
            .map_err(|e| e.to_string())?;
        for (x, loss) in known {
            optimizer.tell(*x, *loss)?;
        }
        Ok(optimizer.ask(rng)?)
    }

    /// The share of `n` trials that counts as good, such that rounding up gives the number that NNI takes.
    ///
    /// Source: nni v3.0, `tpe_tuner.py`, `split_history`.
    fn good_share(&self, n: usize) -> f64 {
        let n = n as f64;
        let good = (self.settings.gamma * n.sqrt())
            .ceil()
            .min(self.settings.most_good as f64)
            .min(n);
        if good < 1.0 { 0.0 } else { (good - 0.5) / n }
    }

    /// Drops the worst of the old results if there are too many.
    fn forget(&mut self) {
        if self.results.len() <= NEWEST.saturating_add(self.settings.most_good) {
            return;
        }
        let worst = self
            .results
            .iter()
            .take(self.settings.most_good + 1)
            .max_by(|(_, a), (_, b)| a.loss.total_cmp(&b.loss))
            .map(|(id, _)| *id);
        if let Some(id) = worst {
            self.results.remove(&id);
        }
    }
}

impl Algorithm for Tpe {
    fn name(&self) -> &'static str {
        "TPE"
    }

    fn propose(&mut self, id: u64) -> Result<Option<Value>> {
        let mut rng = rng(self.settings.seed, id);
        let lie = self.lie();
        let point = self
            .space
            .point_by(|index, leaf| self.choose(index, leaf, lie, &mut rng))?;
        let parameters = self.space.render(&point);
        // What a resumed run would read from the parameters, rounding included, is what this run goes by, too.
        if let Some(point) = self.space.locate(&parameters) {
            self.pending.insert(id, point);
        }
        Ok(Some(parameters))
    }

    fn adopt(&mut self, parameters: &str) {
        if let Some(packed) = unpack(parameters)
            && let Some(point) = self.space.locate(&packed.parameters)
        {
            self.pending.insert(packed.id, point);
        }
    }

    fn result(&mut self, parameters: &str, number: Option<f64>) {
        let Some(packed) = unpack(parameters) else {
            return;
        };
        let Some(point) = self.pending.remove(&packed.id) else {
            return;
        };
        let Some(number) = number.filter(|x| !x.is_nan()) else {
            return;
        };
        let loss = if self.settings.maximize { -number } else { number };
        self.results.insert(packed.id, TrialResult { point, loss });
        self.forget();
    }

    fn ended(&mut self, parameters: &str) {
        if let Some(packed) = unpack(parameters) {
            self.pending.remove(&packed.id);
        }
    }

    fn import(&mut self, parameters: &Value, number: Option<f64>) {
        let number = number.filter(|x| !x.is_nan());
        if let (Some(point), Some(number)) = (self.space.locate(parameters), number) {
            let loss = if self.settings.maximize { -number } else { number };
            self.imported.push_back(TrialResult { point, loss });
            if self.imported.len() > NEWEST {
                self.imported.pop_front();
            }
        }
    }

    /// What was learned is kept where its parameters lie in the new space, too.
    fn update_search_space(&mut self, space: &Value) -> Result<()> {
        let old = std::mem::replace(&mut self.space, SearchSpace::parse(space)?);
        let moved = |point: &Point| self.space.locate(&old.render(point));
        self.pending = std::mem::take(&mut self.pending)
            .into_iter()
            .filter_map(|(id, point)| Some((id, moved(&point)?)))
            .collect();
        self.results = std::mem::take(&mut self.results)
            .into_iter()
            .filter_map(|(id, TrialResult { point, loss })| {
                Some((
                    id,
                    TrialResult {
                        point: moved(&point)?,
                        loss,
                    },
                ))
            })
            .collect();
        self.imported = std::mem::take(&mut self.imported)
            .into_iter()
            .filter_map(|TrialResult { point, loss }| {
                Some(TrialResult {
                    point: moved(&point)?,
                    loss,
                })
            })
            .collect();
        Ok(())
    }
}

/// Where a coordinate lies on the axis of its estimator: categories by number, everything ordered between 0 and 1.
fn to_axis(domain: &Domain, coordinate: Coordinate) -> f64 {
    match (domain, coordinate) {
        (Domain::RandInt { low, high }, Coordinate::Level(level)) => (level as f64 + 0.5) / high.abs_diff(*low) as f64,
        (_, Coordinate::Level(level)) => level as f64,
        (_, Coordinate::Share(u)) => u,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the estimators stay within the range, which starts at 0"
)]
fn from_axis(domain: &Domain, x: f64) -> Coordinate {
    match domain {
        Domain::Choice(_) | Domain::Branches(_) => Coordinate::Level(x as u64),
        Domain::RandInt { low, high } => {
            let levels = high.abs_diff(*low);
            Coordinate::Level(((x * levels as f64) as u64).min(levels - 1))
        }
        Domain::Numeric(_) => Coordinate::Share(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::pack;
    use serde_json::json;

    fn learned(ids: impl Iterator<Item = u64>) -> Tpe {
        let space = SearchSpace::parse(&json!({"x": {"_type": "randint", "_value": [0, 5000]}})).unwrap();
        let settings = Settings {
            maximize: false,
            seed: 1,
            liar: Some(Liar::Best),
            startup: 20,
            candidates: 24,
            gamma: 0.25,
            most_good: 25,
        };
        let mut tpe = Tpe::new(space, settings);
        for id in ids {
            let text = pack(id, &json!({ "x": id }));
            tpe.adopt(&text);
            // Losses in an order of their own, each one different.
            tpe.result(&text, Some(((id * 1237) % 3001) as f64));
        }
        tpe
    }

    #[test]
    fn what_is_remembered_is_bounded_and_does_not_depend_on_the_order() {
        let count = 3001;
        let mut forth = learned(0..count);
        let mut back = learned((0..count).rev());
        assert_eq!(forth.results.len(), NEWEST + forth.settings.most_good);
        assert!(forth.results.keys().eq(back.results.keys()));
        assert!(forth.results.contains_key(&0), "old, but the best of all");
        assert!(forth.pending.is_empty());
        assert_eq!(forth.propose(count).unwrap(), back.propose(count).unwrap());
    }

    #[test]
    fn imported_results_teach_and_a_new_space_keeps_what_lies_in_it() {
        let space = |high: u32| json!({"x": {"_type": "randint", "_value": [0, high]}});
        let (mut taught, mut other) = (learned(0..0), learned(0..0));
        for n in 0..60 {
            // The best are around 100.
            let x = n * 80;
            taught.import(&json!({ "x": x }), Some((f64::from(x) - 100.0).abs()));
        }
        assert_eq!(taught.imported.len(), 60);
        taught.import(&json!({"x": 99_999}), Some(0.0));
        taught.import(&json!({"y": 1}), Some(0.0));
        taught.import(&json!({"x": 1}), Some(f64::NAN));
        taught.import(&json!({"x": 1}), None);
        assert_eq!(taught.imported.len(), 60, "what teaches nothing is left out");
        assert_ne!(taught.propose(0).unwrap(), other.propose(0).unwrap());

        let text = pack(1, &json!({"x": 4000}));
        taught.adopt(&text);
        assert!(taught.update_search_space(&json!({"x": {"_type": "none"}})).is_err());
        assert_eq!(
            (taught.imported.len(), taught.pending.len()),
            (60, 2),
            "nothing is changed by it"
        );
        taught.update_search_space(&space(1600)).unwrap();
        assert_eq!(taught.imported.len(), 20);
        assert!(taught.pending.len() < 2, "4000 is not in it");
        for id in 2..40 {
            let proposal = taught.propose(id).unwrap().unwrap();
            assert!(proposal["x"].as_u64().unwrap() < 1600, "{proposal}");
        }
    }
}
