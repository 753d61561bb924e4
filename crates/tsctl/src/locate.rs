//! Finds experiments and trials by what a user types: an id, the start of one, a directory, `#` and a number, or nothing.

use crate::{environment::Environment, output::Output, registry::Registry};
use std::path::{Path, PathBuf};
use ts_core::{Error, ErrorKind, ExperimentId, Result, Timestamp, TrialId};
use ts_manager::{
    ExperimentDirectory,
    store::{ExperimentRow, StoreReader, TrialFilter, TrialRow},
};

/// An experiment whose place is known. Its store may be damaged or gone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) id: ExperimentId,
    pub(crate) directory: ExperimentDirectory,
}

impl Place {
    /// The experiment in a directory; its name is the id.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let id = ExperimentId::new(path.file_name()?.to_str()?).ok()?;
        Some(Self {
            id,
            directory: ExperimentDirectory::at(path),
        })
    }

    /// Opens the store for reading.
    pub(crate) fn reader(&self) -> Result<StoreReader> {
        StoreReader::open(&self.directory.store())
    }

    /// Whether its directory is still there.
    pub(crate) fn exists(&self) -> bool {
        self.directory.path().is_dir()
    }

    fn created(&self) -> Option<Timestamp> {
        Some(self.reader().ok()?.experiment().ok()?.created)
    }
}

/// The list of experiments, where the state directory is known.
pub(crate) fn registry(environment: &Environment) -> Result<Registry> {
    match &environment.state {
        Some(state) => Ok(Registry::new(state)),
        None => Err(Error::new(ErrorKind::Config, "the state directory is not known").with_help("set `HOME`")),
    }
}

/// Every experiment that is listed or lies in the default working directory, by id.
pub(crate) fn all(environment: &Environment) -> Result<Vec<Place>> {
    let mut places = registry(environment)?.list()?;
    let default = environment.default_working_dir();
    let entries = default.and_then(|dir| std::fs::read_dir(dir).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let directory = ExperimentDirectory::at(entry.path());
        if let Some(place) = Place::at(&entry.path()).filter(|_| directory.store().exists()) {
            places.entry(place.id).or_insert_with(|| entry.path());
        }
    }
    let place = |(id, path): (ExperimentId, PathBuf)| Place {
        id,
        directory: ExperimentDirectory::at(path),
    };
    Ok(places.into_iter().map(place).collect())
}

/// The experiment that is meant; without a word, the one that runs, else the newest.
pub(crate) fn experiment(environment: &Environment, output: &Output, wanted: Option<&str>) -> Result<Place> {
    let all = all(environment)?;
    let Some(wanted) = wanted else {
        return default(all, output);
    };
    if wanted.contains('/') || wanted == "." {
        let path = environment.absolute(Path::new(wanted));
        return Place::at(&path).filter(Place::exists).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("`{wanted}` is not the directory of an experiment"),
            )
            .with_help("`tsctl ls` lists experiments with their directories")
        });
    }
    let ids: Vec<&str> = all.iter().map(|place| place.id.as_str()).collect();
    let at = by_prefix("experiment", wanted, &ids)?;
    Ok(all[at].clone())
}

/// The one that runs, else the newest; says which, unless there is but one.
fn default(all: Vec<Place>, output: &Output) -> Result<Place> {
    let n_all = all.len();
    let present: Vec<Place> = all.into_iter().filter(Place::exists).collect();
    let running: Vec<&Place> = present.iter().filter(|p| p.directory.manager().is_some()).collect();
    let (from, which): (Vec<&Place>, _) = match running.len() {
        0 => (present.iter().collect(), "the newest"),
        1 => (running, "the one that runs"),
        _ => (running, "the newest that runs"),
    };
    let newest = from.into_iter().max_by_key(|place| place.created()).cloned();
    let place = newest.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "there is no experiment yet").with_help("`tsctl run FILE` runs one")
    })?;
    if n_all > 1 {
        output.say(format_args!("experiment {} ({which})", place.id));
    }
    Ok(place)
}

/// Position of the only one of `ids` that is `wanted` or starts with it.
fn by_prefix(what: &str, wanted: &str, ids: &[&str]) -> Result<usize> {
    if let Some(at) = ids.iter().position(|id| *id == wanted) {
        return Ok(at);
    }
    let mut matching = ids
        .iter()
        .enumerate()
        .filter(|(_, id)| !wanted.is_empty() && id.starts_with(wanted));
    match (matching.next(), matching.next()) {
        (Some((at, _)), None) => Ok(at),
        (None, _) => {
            let list = if what == "trial" { "tsctl trials" } else { "tsctl ls" };
            let near = ts_core::config::nearest(wanted, ids.iter().copied());
            let hint = near.map(|id| format!("did you mean `{id}`? ")).unwrap_or_default();
            Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no {what} `{}`", wanted.escape_debug()),
            )
            .with_help(format!("{hint}`{list}` lists them")))
        }
        (Some((_, one)), Some((_, two))) => Err(Error::new(
            ErrorKind::NotFound,
            format!("several {what}s start with `{wanted}`: `{one}`, `{two}` and perhaps more"),
        )
        .with_help("write more of the id")),
    }
}

/// A trial with its experiment.
#[derive(Debug)]
pub(crate) struct FoundTrial {
    pub(crate) place: Place,
    pub(crate) reader: StoreReader,
    pub(crate) experiment: ExperimentRow,
    pub(crate) row: TrialRow,
}

/// Trials of one experiment.
#[derive(Debug)]
pub(crate) struct FoundTrials {
    pub(crate) place: Place,
    pub(crate) ids: Vec<TrialId>,
}

/// The trial that is meant.
pub(crate) fn trial(
    environment: &Environment,
    output: &Output,
    in_experiment: Option<&str>,
    wanted: &str,
) -> Result<FoundTrial> {
    let place = experiment_of(environment, output, in_experiment, wanted)?;
    let reader = place.reader()?;
    let row = trial_in(&reader, wanted)?;
    Ok(FoundTrial {
        experiment: reader.experiment()?,
        place,
        reader,
        row,
    })
}

/// The trials that are meant, all of one experiment.
pub(crate) fn trials(
    environment: &Environment,
    output: &Output,
    in_experiment: Option<&str>,
    wanted: &[String],
) -> Result<FoundTrials> {
    let first = wanted.first().map_or("", String::as_str);
    let place = experiment_of(environment, output, in_experiment, first)?;
    let reader = place.reader()?;
    let ids = wanted.iter().map(|wanted| Ok(trial_in(&reader, wanted)?.spec.id));
    Ok(FoundTrials {
        ids: ids.collect::<Result<_>>()?,
        place,
    })
}

/// The experiment that was named; else the one that knows the trial by its full id; else the default.
fn experiment_of(environment: &Environment, output: &Output, named: Option<&str>, trial: &str) -> Result<Place> {
    if named.is_some() {
        return experiment(environment, output, named);
    }
    if let Ok(id) = TrialId::new(trial) {
        let knows = |place: &Place| {
            place
                .reader()
                .and_then(|reader| reader.trial(&id))
                .is_ok_and(|row| row.is_some())
        };
        if let Some(place) = all(environment)?.into_iter().find(knows) {
            return Ok(place);
        }
    }
    experiment(environment, output, None)
}

fn trial_in(reader: &StoreReader, wanted: &str) -> Result<TrialRow> {
    if let Some(number) = wanted.strip_prefix('#') {
        let missing = || {
            Error::new(
                ErrorKind::NotFound,
                format!("the experiment has no trial `{}`", wanted.escape_debug()),
            )
            .with_help("`tsctl trials` lists them with their numbers")
        };
        let number: u32 = number.parse().map_err(|_| missing())?;
        let filter = match number.checked_sub(1) {
            Some(before) => TrialFilter::all().after(before).limit(1),
            None => TrialFilter::all().limit(1),
        };
        let row = reader.trials(&filter)?.into_iter().next();
        return row.filter(|row| row.spec.sequence_id == number).ok_or_else(missing);
    }
    if let Ok(id) = TrialId::new(wanted)
        && let Some(row) = reader.trial(&id)?
    {
        return Ok(row);
    }
    let mut rows = reader.trials(&TrialFilter::all())?;
    let ids: Vec<&str> = rows.iter().map(|row| row.spec.id.as_str()).collect();
    let at = by_prefix("trial", wanted, &ids)?;
    Ok(rows.swap_remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_an_id_is_enough_if_it_is_the_only_one() {
        let ids = ["abc1", "abd2", "x", "xyz"];
        assert_eq!(by_prefix("trial", "abc", &ids).unwrap(), 0);
        assert_eq!(by_prefix("trial", "x", &ids).unwrap(), 2);
        let several = by_prefix("trial", "ab", &ids).unwrap_err();
        assert!(
            several.message().contains("several trials start with `ab`"),
            "{several}"
        );
        let typo = by_prefix("experiment", "acb1", &ids).unwrap_err();
        assert!(typo.help().unwrap().contains("did you mean `abc1`?"), "{typo:?}");
        assert!(by_prefix("trial", "", &ids).is_err());
    }
}
