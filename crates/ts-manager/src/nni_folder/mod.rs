//! What NNI keeps of an experiment, read from its folder: the newest profile and every trial with its metrics.
//!
//! Nothing in the folder is changed. Storing it as an experiment of ours is [`NniExperiment::changes`]; what its configuration
//! means belongs to the command line.
//!
//! Sources: nni v1.9 to v3.0, `nnimanager.ts`, `sqlDatabase.ts` and `nniDataStore.ts`.

mod changes;
mod file;
mod replay;

pub use replay::{NniMetric, NniTrial};

use crate::source::ImportedResult;
use std::path::{Path, PathBuf};
use ts_core::{ExperimentId, Result, Timestamp};

/// An experiment of NNI.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NniExperiment {
    /// Its folder.
    pub folder: PathBuf,
    /// Its id.
    pub id: ExperimentId,
    /// Its configuration: the parameters of schema 1 as NNI's manager got them, or schema 2.
    pub params: serde_json::Value,
    /// When it ran first.
    pub started: Timestamp,
    /// When it ended, if its manager noted that.
    pub ended: Option<Timestamp>,
    /// How long it ran, in seconds.
    pub exec_seconds: u64,
    /// Its trials by their numbers.
    pub trials: Vec<NniTrial>,
    /// Results that its tuner was told of by `nnictl experiment import`, a list for each time.
    pub imported: Vec<(Timestamp, Vec<ImportedResult>)>,
    /// What could not be taken over, and why.
    pub left_out: Vec<String>,
}

impl NniExperiment {
    /// Reads `<folder>/db/nni.sqlite`. `scratch`: a directory for a copy, which is needed where NNI's manager was ended while it
    /// wrote; it must exist, and the copy is removed.
    ///
    /// # Errors
    /// `NotFound` if the folder is none of NNI; `Conflict` if the database is another program's; `Io` if it is damaged.
    pub fn read(folder: &Path, scratch: &Path) -> Result<Self> {
        let file = file::NniFile::open(folder, scratch)?;
        let read = file.read().map_err(|error| file.failed(error))?;
        replay::experiment(folder, file.path(), read)
    }
}

/// Where the database of an experiment's folder is.
pub fn database_in(folder: &Path) -> PathBuf {
    folder.join("db/nni.sqlite")
}
