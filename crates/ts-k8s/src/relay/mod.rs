//! What a pod says in its log, and how it gets into the files of its trial on this machine.

mod follow;
mod ledger;
mod parse;

pub(crate) use follow::{Phase, PodLog, Spoken, follow, print};
pub(crate) use ledger::{Batch, Logs, Mirror, Position, Source, VOLUME};
pub(crate) use parse::{Exit, Mark, Parser, Said};
