//! `ls` and `trials`: tables.

use super::now;
use crate::{
    cli::{Ls, Trials},
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate::{self, Place},
    output::Output,
    render::{experiment::State, json, span, table, trial},
};
use serde_json::{Value, json};
use ts_core::{Error, ErrorKind, Result, TrialStatus};
use ts_manager::{store::TrialFilter, view};

/// Lists experiments, the newest first.
pub(crate) fn experiments(environment: &Environment, output: &Output, args: Ls) -> Result<Exit, Failure> {
    let mut entries = Vec::new();
    for place in locate::all(environment)? {
        let manager = place.directory.manager();
        if args.running && manager.is_none() {
            continue;
        }
        entries.push(entry(&place));
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.created));
    let objects: Vec<&Value> = entries.iter().map(|entry| &entry.object).collect();
    output.data(&json!({ "experiments": objects }), || {
        if entries.is_empty() {
            return String::new();
        }
        let heads = ["ID", "NAME", "STATUS", "TRIALS", "BEST", "CREATED", "DIRECTORY"];
        table::table(&heads, entries.iter().map(|entry| entry.cells.clone()))
    })?;
    if entries.is_empty() {
        output.say("there is no experiment; `tsctl run FILE` runs one");
    }
    Ok(Exit::Success)
}

struct Entry {
    created: i64,
    object: Value,
    cells: Vec<String>,
}

/// A line of the list; what is wrong with an experiment is part of its line.
fn entry(place: &Place) -> Entry {
    read(place).unwrap_or_else(|error| {
        let status = match error.kind() {
            ErrorKind::NotFound => "GONE",
            _ => "UNREADABLE",
        };
        let path = place.directory.path();
        Entry {
            created: i64::MIN,
            object: json::unreadable(&place.id, path, &error),
            cells: vec![
                place.id.to_string(),
                String::new(),
                status.into(),
                String::new(),
                String::new(),
                String::new(),
                path.display().to_string(),
            ],
        }
    })
}

fn read(place: &Place) -> Result<Entry> {
    let reader = place.reader()?;
    let optimize = view::optimize(&reader.experiment()?);
    let state = State::read(&reader, optimize)?;
    let manager = place.directory.manager();
    let path = place.directory.path();
    let status = match (manager, state.row.status.is_ended()) {
        (None, false) => format!("{} (no manager)", state.row.status),
        _ => state.row.status.to_string(),
    };
    let of = state
        .row
        .limits
        .max_trials
        .map(|max| format!("/{max}"))
        .unwrap_or_default();
    Ok(Entry {
        created: state.row.created.0,
        object: json::experiment(&reader, optimize, path, manager, now())?,
        cells: vec![
            place.id.to_string(),
            state.row.config["resolved"]["experimentName"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            status,
            format!("{}{of}", state.counts.ended()),
            state
                .best
                .as_ref()
                .map(|best| trial::cut(&trial::result(best), 20))
                .unwrap_or_default(),
            span::ago(now(), state.row.created),
            path.display().to_string(),
        ],
    })
}

/// Lists trials in the order of their numbers.
pub(crate) fn trials(environment: &Environment, output: &Output, args: &Trials) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let mut filter = TrialFilter::all();
    if !args.status.is_empty() {
        let statuses = args
            .status
            .iter()
            .map(|name| status(name))
            .collect::<Result<Vec<_>>>()?;
        filter = filter.in_status(statuses);
    }
    let mut rows = place.reader()?.trials(&filter)?;
    if let Some(head) = args.head {
        rows.truncate(usize::try_from(head).unwrap_or(usize::MAX));
    }
    if let Some(limit) = args.limit {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        rows.drain(..rows.len().saturating_sub(limit));
    }
    let objects: Vec<Value> = rows.iter().map(json::trial).collect();
    output.data(&json!({ "trials": objects }), || trial::list(&rows, now()))?;
    Ok(Exit::Success)
}

fn status(name: &str) -> Result<TrialStatus> {
    let upper = name.to_uppercase().replace('-', "_");
    TrialStatus::parse(&upper).ok_or_else(|| {
        let all: Vec<&str> = TrialStatus::ALL.iter().map(|s| s.as_str()).collect();
        Error::new(
            ErrorKind::Config,
            format!("`{}` is no status of a trial", name.escape_debug()),
        )
        .with_help(format!("statuses are {}", all.join(", ")))
    })
}
