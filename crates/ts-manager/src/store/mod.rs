//! The event log and store of an experiment: one SQLite file, one writer thread, any number of readers.
//!
//! Everything the manager knows is in `experiment.db` before anybody acts on it, so ending the manager at any moment loses
//! nothing. The tables are described in `docs/store.md`. What to do with the facts is decided elsewhere.
//!
//! ```
//! use std::sync::Arc;
//! use ts_core::{Parameters, SystemClock, Timestamp, TrialId, TrialSpec};
//! use ts_manager::store::{Change, Limits, NewExperiment, Outcome, Store, StoreReader, file_in};
//!
//! # fn main() -> ts_core::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let directory = directory.path();
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! let id = ts_core::ExperimentId::new("ab12cd34")?;
//! let new = NewExperiment::new(id.clone(), Timestamp(0), "trialCommand: ./train", Limits::new(1));
//! let store = Store::create(&file_in(directory), &new, Arc::new(SystemClock::new()))?;
//!
//! let code = ts_core::CodeDirectory::new("/home/alice/code");
//! let spec = ts_core::ExperimentSpec::new(id, code, "./train");
//! let spec = TrialSpec::new(&spec, TrialId::new("Ab1cd")?, 0, Parameters::new(r#"{"x": 1}"#));
//! let applied = runtime.block_on(store.apply(vec![Change::created(spec, Timestamp(5))]))?;
//! assert_eq!(applied.outcomes, [Outcome::Stored]);
//!
//! let reader = StoreReader::open(&file_in(directory))?;
//! assert_eq!(reader.counts_by_status()?.total(), 1);
//! # Ok(())
//! # }
//! ```

mod apply;
mod change;
mod error;
mod health;
mod history;
mod lines;
mod model;
mod phases;
mod reader;
mod rows;
mod schema;
mod store_file;
mod writer;

pub use change::{Applied, Change, MetricPlace, Outcome};
pub use health::StoreHealth;
pub use lines::{MetricLine, Template, TrialHead, TrialLine};
pub(crate) use model::{COUNTED_EVERY, parameters_of};
pub use model::{
    ExperimentRow, ExperimentStatus, FIRST_REPORT, Limits, LoggedEvent, Metric, MetricKind, NewExperiment, Optimize,
    PastTrial, Phase, StatusCounts, TrialFilter, TrialRow,
};
pub use reader::StoreReader;
pub use store_file::{FILE_NAME, file_in};
pub use writer::Store;
