//! Writes the store of an experiment that has ended, for pages and measurements that want many trials at once:
//! `ended DIRECTORY [TRIALS [METRICS_OF_EACH]]`. The directory's name becomes the experiment's id.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::{path::Path, sync::Arc, time::Duration};
use ts_core::{
    CodeDirectory, ExperimentId, ExperimentSpec, JournalCursor, Parameters, Reason, ReasonCode, Timestamp, TrialId,
    TrialSpec, TrialStatus,
};
use ts_manager::{
    ExperimentDirectory,
    store::{Change, ExperimentStatus, Limits, MetricKind, MetricPlace, NewExperiment, Store},
};
use ts_testkit::TestClock;

/// Changes that are stored together.
const BATCH: usize = 2_000;
/// Trials at a time, as it would have been.
const SLOTS: u32 = 8;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory")?;
    let trials: u32 = arguments.next().map_or(Ok(10_000), |n| n.parse())?;
    let metrics: u32 = arguments.next().map_or(Ok(20), |n| n.parse())?;
    let name = Path::new(&directory).file_name().and_then(|name| name.to_str());
    let id = ExperimentId::new(name.ok_or("the directory has no name")?)?;
    let directory = ExperimentDirectory::at(&directory);
    directory.create()?;
    let clock = TestClock::new();
    let start = ts_core::Clock::now(&clock);
    let mut limits = Limits::new(SLOTS);
    limits.max_trials = Some(trials);
    let config = json!({
        "resolved": {
            "experimentName": "many trials",
            "tuner": { "classArgs": { "optimize_mode": "maximize" } },
            "trainingService": { "platform": "local" },
        },
        "searchSpace": {
            "lr": { "_type": "loguniform", "_value": [1e-5, 0.1] },
            "batch_size": { "_type": "choice", "_value": [16, 32, 64, 128] },
            "optimizer": { "_type": "choice", "_value": ["adam", "sgd", "lion"] },
            "dropout": { "_type": "uniform", "_value": [0, 0.6] },
            "layer": { "_type": "choice", "_value": [
                { "_name": "conv", "size": { "_type": "randint", "_value": [1, 6] } },
                { "_name": "dense", "size": { "_type": "randint", "_value": [1, 6] } },
            ] },
        },
    });
    let new = NewExperiment::new(id.clone(), start, "", limits).with_config(config);
    let store = Store::create(&directory.store(), &new, Arc::new(clock))?;
    let experiment = ExperimentSpec::new(id, CodeDirectory::new(directory.path()), "python train.py");
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut changes = vec![experiment_is(ExperimentStatus::Running, start)];
    let mut end = start;
    for n in 0..trials {
        end = trial(&experiment, n, metrics, start, &mut random, &mut changes)?;
        if changes.len() >= BATCH {
            store.apply(std::mem::take(&mut changes)).await?;
        }
    }
    changes.push(Change::DurationAccumulated {
        by: end.since(start),
        at: end,
    });
    changes.push(experiment_is(ExperimentStatus::Done, end));
    store.apply(changes).await?;
    Ok(())
}

fn experiment_is(status: ExperimentStatus, at: Timestamp) -> Change {
    Change::ExperimentStatus {
        status,
        at,
        message: None,
    }
}

/// All of one trial; when it ended.
fn trial(
    experiment: &ExperimentSpec,
    n: u32,
    metrics: u32,
    start: Timestamp,
    random: &mut ChaCha8Rng,
    changes: &mut Vec<Change>,
) -> Result<Timestamp, Failure> {
    let lr = 10_f64.powf(random.random_range(-5.0..-1.0));
    let dropout: f64 = random.random_range(0.0..0.6);
    let pick = |names: &[&'static str], random: &mut ChaCha8Rng| names[random.random_range(0..names.len())];
    let parameters = json!({
        "parameter_id": n,
        "parameter_source": "algorithm",
        "parameters": {
            "lr": lr,
            "batch_size": 16 << random.random_range(0..4),
            "optimizer": pick(&["adam", "sgd", "lion"], random),
            "dropout": dropout,
            "layer": { "_name": pick(&["conv", "dense"], random), "size": random.random_range(1..6) },
        },
    });
    let id = TrialId::new(&format!("t{n:06}"))?;
    let spec = TrialSpec::new(experiment, id.clone(), n, Parameters::new(parameters.to_string()));
    let created = start.plus(Duration::from_millis(u64::from(n / SLOTS) * 9_000));
    let length = Duration::from_millis(random.random_range(3_000..9_000));
    let end = created.plus(length);
    changes.push(Change::created(spec, created));
    changes.push(Change::TrialSubmitted {
        trial: id.clone(),
        at: created,
        url: format!("job://machine/{id}"),
    });
    let status = |status, at, reason| Change::TrialStatus {
        trial: id.clone(),
        at,
        status,
        reason,
    };
    changes.push(status(TrialStatus::Running, created, None));
    let best = 0.95 - (lr.log10() + 3.0).abs() * 0.12 - dropout * 0.1;
    for step in 0..metrics {
        let grown = 1.0 - (-f64::from(step + 1) * 5.0 / f64::from(metrics)).exp();
        let number = best * grown + random.random_range(-0.01..0.01);
        changes.push(metric(&id, end, step, MetricKind::Intermediate, number));
    }
    let (ended, reason) = match random.random_range(0..100) {
        0..4 => (
            TrialStatus::Failed,
            Some((ReasonCode::ExitCode, "the command ended with code 1")),
        ),
        4..7 => (
            TrialStatus::EarlyStopped,
            Some((ReasonCode::EarlyStopped, "stopped early for poor results")),
        ),
        7..8 => (
            TrialStatus::UserCanceled,
            Some((ReasonCode::Canceled, "canceled by the user")),
        ),
        _ => (TrialStatus::Succeeded, None),
    };
    if ended == TrialStatus::Succeeded {
        changes.push(metric(&id, end, metrics, MetricKind::Final, best));
    }
    let reason = reason.map(|(code, message)| Reason::new(code, message, end));
    changes.push(status(ended, end, reason));
    Ok(end)
}

fn metric(trial: &TrialId, at: Timestamp, step: u32, kind: MetricKind, number: f64) -> Change {
    let cursor = JournalCursor {
        base: 0,
        offset: u64::from(step + 1) * 100,
        check: 0,
    };
    Change::Metric {
        trial: trial.clone(),
        at,
        place: MetricPlace::Journal(cursor),
        kind,
        sequence: if kind == MetricKind::Final { 0 } else { step },
        value: number.to_string(),
        number: Some(number),
        parameter_index: 0,
    }
}
