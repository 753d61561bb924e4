//! An experiment for people: a page of facts, and the summary at its end.

use super::{span, table, trial};
use ts_core::{Result, Timestamp, TrialStatus};
use ts_manager::{
    ManagerProcess,
    store::{ExperimentRow, Optimize, StatusCounts, StoreReader, TrialRow},
};

/// What is known of an experiment at one moment.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) row: ExperimentRow,
    pub(crate) counts: StatusCounts,
    pub(crate) best: Option<TrialRow>,
}

impl State {
    /// Reads it, all from one moment.
    pub(crate) fn read(reader: &StoreReader, optimize: Optimize) -> Result<Self> {
        reader.snapshot(|reader| {
            Ok(Self {
                row: reader.experiment()?,
                counts: reader.counts_by_status()?,
                best: reader.best(optimize)?,
            })
        })
    }

    /// How many trials reached their result: succeeded, or stopped early for poor results.
    pub(crate) fn succeeded(&self) -> u64 {
        self.counts.of(TrialStatus::Succeeded) + self.counts.of(TrialStatus::EarlyStopped)
    }

    /// A page of facts.
    pub(crate) fn page(
        &self,
        directory: &std::path::Path,
        manager: Option<ManagerProcess>,
        url: Option<&str>,
        now: Timestamp,
    ) -> String {
        let row = &self.row;
        let name = row.config["resolved"]["experimentName"].as_str().unwrap_or_default();
        let at = |time: Option<Timestamp>| time.map(|t| format!("{t} ({})", span::ago(now, t))).unwrap_or_default();
        let ran_for = row.duration_at(now, manager.is_some());
        let manager = match manager {
            Some(ManagerProcess { pid: Some(pid), .. }) => format!("process {pid}"),
            Some(_) => "runs".into(),
            None if row.status.is_ended() => String::new(),
            None => format!("none; `tsctl resume {}` goes on", row.id),
        };
        table::facts([
            ("experiment", row.id.to_string()),
            ("name", name.to_owned()),
            ("status", row.status.to_string()),
            ("message", row.message.clone().unwrap_or_default()),
            ("manager", manager),
            ("served at", url.unwrap_or_default().to_owned()),
            ("trials", self.trials()),
            ("best", self.best()),
            ("created", at(Some(row.created))),
            ("ended", at(row.ended)),
            ("ran for", span::short(ran_for)),
            ("directory", directory.display().to_string()),
        ])
    }

    /// Counts of trials, of how many if that is known.
    pub(crate) fn trials(&self) -> String {
        let of = self
            .row
            .limits
            .max_trials
            .map(|max| format!(" of {max}"))
            .unwrap_or_default();
        let counts: Vec<String> = self.counts.iter().map(|(s, n)| format!("{n} {s}")).collect();
        if counts.is_empty() {
            format!("0{of}")
        } else {
            format!("{}{of}: {}", self.counts.total(), counts.join(", "))
        }
    }

    /// The best trial with its result and parameters.
    pub(crate) fn best(&self) -> String {
        self.best
            .as_ref()
            .map(|best| {
                format!(
                    "{} by #{} {} {}",
                    trial::result(best),
                    best.spec.sequence_id,
                    best.spec.id,
                    trial::cut(&trial::parameters(best), 60)
                )
            })
            .unwrap_or_default()
    }
}
