//! The fate of a simulated trial: a pure function of seed and trial. When things happen is decided here, that they happen is
//! the cluster's part.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{fmt, sync::Arc, time::Duration};
use ts_core::{JournalCursor, Parameters, TrialSpec};

/// How trials of a simulation behave.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Simulation {
    /// The same seed and trials give the same events. Default 0.
    pub seed: u64,
    /// Most trials at a time. Default 8.
    pub slots: usize,
    /// From getting a slot to running. Default 1 s.
    pub start_delay: Duration,
    /// How long commands run. Default 1 to 10 minutes, uniformly.
    pub durations: Durations,
    /// Share of trials whose command fails, from 0 to 1. Default 0.
    pub failure_rate: f64,
    /// Share of trials whose machine is lost, from 0 to 1. Default 0.
    pub loss_rate: f64,
    /// Share of trials whose last metric becomes visible only after the command has ended, from 0 to 1. Default 0.
    pub late_rate: f64,
    /// Metrics of a trial that succeeds; the last one is final. Default 1.
    pub n_metrics: u32,
    /// What trials report.
    pub objective: Objective,
}

impl Simulation {
    /// The defaults with a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: 8,
            start_delay: Duration::from_secs(1),
            durations: Durations::Uniform {
                from: Duration::from_mins(1),
                to: Duration::from_mins(10),
            },
            failure_rate: 0.0,
            loss_rate: 0.0,
            late_rate: 0.0,
            n_metrics: 1,
            objective: Objective::Random,
        }
    }
}

/// How long commands run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durations {
    /// All the same.
    Fixed(Duration),
    /// Evenly spread.
    Uniform {
        /// Shortest.
        from: Duration,
        /// Longest.
        to: Duration,
    },
    /// Many short ones and a few long ones.
    Exponential {
        /// Mean.
        mean: Duration,
    },
}

impl Durations {
    fn draw(self, rng: &mut ChaCha8Rng) -> Duration {
        let u: f64 = rng.random();
        match self {
            Self::Fixed(d) => d,
            Self::Uniform { from, to } => from + to.saturating_sub(from).mul_f64(u),
            Self::Exponential { mean } => mean.mul_f64(-(1.0 - u).ln()),
        }
    }
}

/// Computes a result from parameters.
type Function = dyn Fn(&Parameters) -> f64 + Send + Sync;

/// What trials report in the end; intermediate results approach it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Objective {
    /// A random number from 0 to 1.
    Random,
    /// A function of the parameters.
    Function(Arc<Function>),
}

impl fmt::Debug for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "Random",
            Self::Function(_) => "Function",
        })
    }
}

/// How a trial ends if nobody cancels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
    Loss,
}

/// A trial's fate.
#[derive(Debug)]
pub(super) struct Plan {
    /// From the start to the moment at which the end is known; never before the last metric.
    pub(super) ends_after: Duration,
    pub(super) outcome: Outcome,
    /// From the start to the moment at which each metric becomes visible.
    pub(super) metrics_after: Vec<Duration>,
    result: f64,
    parameter_id: String,
}

impl Plan {
    pub(super) fn of(simulation: &Simulation, trial: &TrialSpec) -> Self {
        // A generator per trial: the fate does not depend on the order of submits. The odd factor spreads the seeds.
        let seed = simulation.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(trial.sequence_id);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let duration = simulation.durations.draw(&mut rng);
        let dice: f64 = rng.random();
        let random_result: f64 = rng.random();
        let late = rng.random_bool(simulation.late_rate.clamp(0.0, 1.0));
        let outcome = if dice < simulation.loss_rate {
            Outcome::Loss
        } else if dice < simulation.loss_rate + simulation.failure_rate {
            Outcome::Failure
        } else {
            Outcome::Success
        };
        let n = match outcome {
            Outcome::Success => simulation.n_metrics,
            Outcome::Failure | Outcome::Loss => rng.random_range(0..=simulation.n_metrics.saturating_sub(1)),
        };
        let step = duration / simulation.n_metrics.max(1);
        let mut metrics_after: Vec<Duration> = (1..=n).map(|k| step * k).collect();
        let mut ends_after = duration;
        if late && let Some(last) = metrics_after.last_mut() {
            *last = duration + Duration::from_millis(200);
            ends_after = *last;
        }
        Self {
            ends_after,
            outcome,
            metrics_after,
            result: match &simulation.objective {
                Objective::Random => random_result,
                Objective::Function(function) => function(&trial.parameters),
            },
            parameter_id: parameter_id(&trial.parameters),
        }
    }

    /// Metric number `k`, as NNI's SDK writes it, and where it ends in a journal in which it begins at `offset`.
    pub(super) fn metric(&self, trial: &TrialSpec, k: usize, offset: u64) -> (JournalCursor, String) {
        const FRAME_HEADER: usize = 8;
        let last = self.outcome == Outcome::Success && k + 1 == self.metrics_after.len();
        let (kind, sequence, value) = if last {
            ("FINAL", 0, self.result)
        } else {
            ("PERIODICAL", k, self.result * (1.0 - 1.0 / (k as f64 + 2.0)))
        };
        let body = format!(
            r#"{{"parameter_id": {}, "trial_job_id": "{}", "type": "{kind}", "sequence": {sequence}, "value": "{value}"}}"#,
            self.parameter_id, trial.id
        );
        let cursor = JournalCursor {
            base: 0,
            offset: offset + (FRAME_HEADER + body.len() + 1) as u64,
            check: 0,
        };
        (cursor, body)
    }
}

fn parameter_id(parameters: &Parameters) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_str(&parameters.text).ok();
    let id = parsed.as_ref().and_then(|value| value.get("parameter_id"));
    id.map_or_else(|| "null".to_owned(), ToString::to_string)
}
