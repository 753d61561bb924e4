//! From rows to trials: NNI's events in their order, its metrics decoded.
//!
//! As NNI's own replay, but for what it gets wrong: a request to cancel that is noted after the trial's end does not replace that end.
//!
//! Source: nni v2.10, `ts/nni_manager/core/nniDataStore.ts`, `getTrialJobsByReplayEvents`.

use super::{
    NniExperiment,
    file::{EventRow, MetricRow, ProfileRow, Rows},
};
use crate::{source::ImportedResult, store::MetricKind};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};
use ts_core::{Error, ErrorKind, ExperimentId, Result, Timestamp, TrialId, TrialStatus};

/// A trial as NNI's database has it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NniTrial {
    /// Its id.
    pub id: TrialId,
    /// Its number; where NNI has none or one twice, the next that is free.
    pub sequence_id: u32,
    /// Packed parameters, byte for byte; several for a multi-phase trial, in their order.
    pub parameters: Vec<String>,
    /// The last status that the platform reported. Not an end if NNI's manager did not see it.
    pub status: TrialStatus,
    /// When it was handed to the platform.
    pub submitted: Timestamp,
    /// When it began to run.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// When somebody asked for its end.
    pub cancel_asked: Option<Timestamp>,
    /// Where NNI says its files are.
    pub log_path: Option<String>,
    /// What the platform said of it.
    pub message: Option<String>,
    /// Its metrics in the order in which they came.
    pub metrics: Vec<NniMetric>,
}

/// A metric as NNI's database has it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NniMetric {
    /// When it came.
    pub at: Timestamp,
    /// Intermediate or final.
    pub kind: MetricKind,
    /// The trial's own number of it.
    pub sequence: u32,
    /// JSON text as the trial wrote it, `NaN` included.
    pub value: String,
    /// Index of the parameters that it is of, in [`NniTrial::parameters`].
    pub parameter_index: u32,
}

pub(super) fn experiment(folder: &Path, path: &Path, rows: Rows) -> Result<NniExperiment> {
    let Some(profile) = rows.profile else {
        let message = format!("NNI's database `{}` holds no experiment", path.display());
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_help("its manager ended before the experiment began: there is nothing to import"));
    };
    let params = params(path, &profile)?;
    let mut left_out = Vec::new();
    let imported = imported(&rows.events, &mut left_out);
    let mut trials = trials(&rows.events, &mut left_out);
    metrics(&rows.metrics, &mut trials, &mut left_out);
    number(&mut trials);
    Ok(NniExperiment {
        folder: folder.to_owned(),
        id: ExperimentId::new(&profile.id)?,
        params,
        started: Timestamp(profile.started),
        ended: profile.ended.filter(|at| *at > 0).map(Timestamp),
        exec_seconds: u64::try_from(profile.exec_seconds).unwrap_or(0),
        trials: trials.into_iter().map(|(trial, _)| trial).collect(),
        imported,
        left_out,
    })
}

/// What `nnictl experiment import` told the tuner. Source: nni v2.10, `nnimanager.ts`, `importData`.
fn imported(events: &[EventRow], left_out: &mut Vec<String>) -> Vec<(Timestamp, Vec<ImportedResult>)> {
    let mut imported = Vec::new();
    for row in events.iter().filter(|row| row.event == "IMPORT_DATA") {
        match serde_json::from_str(row.data.as_deref().unwrap_or_default()) {
            Ok(results) => imported.push((Timestamp(row.at), results)),
            Err(_) => left_out.push("results of `nnictl experiment import` that cannot be read".to_owned()),
        }
    }
    imported
}

fn params(path: &Path, profile: &ProfileRow) -> Result<serde_json::Value> {
    serde_json::from_str(&profile.params).map_err(|e| {
        let message = format!(
            "NNI's database `{}` is damaged: the configuration is no JSON",
            path.display()
        );
        Error::new(ErrorKind::Io, message)
            .with_help("take the column `params` of `ExperimentProfile` from another copy of the folder")
            .with_source(e)
    })
}

type Numbered = (NniTrial, Option<i64>);

fn trials(events: &[EventRow], left_out: &mut Vec<String>) -> Vec<Numbered> {
    let mut trials: Vec<Numbered> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    let mut unknown = HashSet::new();
    for row in events {
        if row.trial.is_empty() {
            continue;
        }
        let at = match (index.get(row.trial.as_str()), TrialId::new(&row.trial)) {
            (Some(at), _) => *at,
            (None, Ok(id)) => {
                trials.push((new_trial(id, Timestamp(row.at)), None));
                index.insert(&row.trial, trials.len() - 1);
                trials.len() - 1
            }
            (None, Err(_)) => {
                if unknown.insert(&row.trial) {
                    left_out.push(format!(
                        "trial `{}`: this is no id of a trial",
                        row.trial.escape_debug()
                    ));
                }
                continue;
            }
        };
        apply(row, &mut trials[at]);
    }
    trials.retain(|(trial, _)| {
        let has_parameters = !trial.parameters.is_empty();
        if !has_parameters {
            left_out.push(format!("trial {}: the database has no parameters of it", trial.id));
        }
        has_parameters
    });
    trials
}

fn new_trial(id: TrialId, submitted: Timestamp) -> NniTrial {
    NniTrial {
        id,
        sequence_id: 0,
        parameters: Vec::new(),
        status: TrialStatus::Waiting,
        submitted,
        started: None,
        ended: None,
        cancel_asked: None,
        log_path: None,
        message: None,
        metrics: Vec::new(),
    }
}

fn apply(row: &EventRow, (trial, number): &mut Numbered) {
    let at = Timestamp(row.at);
    if let Some(sequence_id) = row.sequence_id.filter(|id| *id >= 0) {
        number.get_or_insert(sequence_id);
    }
    if let Some(path) = row.log_path.as_deref().filter(|path| !path.is_empty()) {
        trial.log_path = Some(path.to_owned());
    }
    if let Some(message) = row.message.as_deref().filter(|message| !message.is_empty()) {
        trial.message = Some(message.to_owned());
    }
    if let Some(text) = row.data.as_deref().and_then(packed) {
        add_parameters(trial, text);
    }
    let Some(status) = TrialStatus::parse(&row.event) else {
        if row.event == "USER_TO_CANCEL" {
            trial.cancel_asked.get_or_insert(at);
        }
        return;
    };
    if trial.status.is_terminal() {
        return;
    }
    trial.status = status;
    match status {
        TrialStatus::Waiting => trial.submitted = at,
        TrialStatus::Running => trial.started = Some(at),
        status if status.is_terminal() => trial.ended = Some(at),
        _ => {}
    }
}

/// The packed parameters in a row; some versions have encoded them once more.
fn packed(data: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(data) {
        Ok(serde_json::Value::Object(_)) => Some(data.to_owned()),
        Ok(serde_json::Value::String(inner)) => packed(&inner),
        _ => {
            // Python writes `NaN` and `Infinity`, which are no JSON.
            data.trim_start().starts_with('{').then(|| data.to_owned())
        }
    }
}

/// Each phase counts once; all events of a trial repeat its parameters.
fn add_parameters(trial: &mut NniTrial, text: String) {
    let index = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .and_then(|packed| packed.get("parameter_index")?.as_u64())
            .unwrap_or(0)
    };
    let own = index(&text);
    if !trial.parameters.iter().any(|known| index(known) == own) {
        trial.parameters.push(text);
    }
}

fn metrics(rows: &[MetricRow], trials: &mut [Numbered], left_out: &mut Vec<String>) {
    let index: HashMap<String, usize> = trials
        .iter()
        .enumerate()
        .map(|(at, (trial, _))| (trial.id.to_string(), at))
        .collect();
    let (mut strangers, mut others) = (0, 0);
    for row in rows {
        let Some(at) = index.get(&row.trial) else {
            strangers += 1;
            continue;
        };
        let Some(kind) = MetricKind::parse(&row.kind) else {
            others += 1;
            continue;
        };
        let trial = &mut trials[*at].0;
        let parameter_index = parameter_index(trial, row.parameter_id.as_deref());
        trial.metrics.push(NniMetric {
            at: Timestamp(row.at),
            kind,
            sequence: row.sequence.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            value: value(&row.data),
            parameter_index,
        });
    }
    for (trial, _) in trials {
        // NNI writes them as its database takes them, which is not always the order in which they came; the trial counted them.
        trial
            .metrics
            .sort_by_key(|metric| (metric.kind == MetricKind::Final, metric.sequence, metric.at));
    }
    if strangers > 0 {
        left_out.push(format!("{strangers} metrics of trials that the database does not know"));
    }
    if others > 0 {
        left_out.push(format!("{others} metrics that are neither intermediate nor final"));
    }
}

/// Which of the trial's parameters have this id; the newest if none has. NNI's database has some ids as JSON text.
fn parameter_index(trial: &NniTrial, id: Option<&str>) -> u32 {
    let newest = trial.parameters.len().saturating_sub(1);
    let found = match (id, newest) {
        (None, _) | (_, 0) => newest,
        (Some(id), _) => {
            let id = serde_json::from_str(id).unwrap_or_else(|_| id.to_owned());
            let is_named = |text: &String| crate::source::parameter_id(text).as_ref() == Some(&id);
            trial.parameters.iter().position(is_named).unwrap_or(newest)
        }
    };
    u32::try_from(found).unwrap_or(u32::MAX)
}

/// The trial's own JSON text: the column holds it as JSON text of a string. A value that was never encoded stands for itself.
fn value(data: &str) -> String {
    serde_json::from_str::<String>(data).unwrap_or_else(|_| data.to_owned())
}

/// Gives every trial a number of its own, and puts them in that order.
fn number(trials: &mut [Numbered]) {
    let mut taken: HashSet<u32> = HashSet::new();
    let mut free = trials
        .iter()
        .filter_map(|(_, number)| u32::try_from((*number)?).ok())
        .max()
        .map_or(0, |most| most.saturating_add(1));
    for (trial, number) in trials.iter_mut() {
        let own = number
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| !taken.contains(n));
        trial.sequence_id = own.unwrap_or_else(|| {
            free = free.saturating_add(1);
            free - 1
        });
        taken.insert(trial.sequence_id);
    }
    trials.sort_by_key(|(trial, _)| trial.sequence_id);
}
