#![doc = include_str!("../README.md")]

mod clone;
mod digest;
mod glob;
mod ignore_rules;
mod limits;
mod node;
mod pack;
mod scan;
mod shelf;
mod spool;
mod staging;
mod tar_format;
mod unpack;
mod why;

pub use clone::{CloneMethod, CloneMode, clone_package, clone_tree};
pub use digest::Digest;
pub use ignore_rules::{IGNORE_FILE, Rule};
pub use pack::{Compression, PackOptions, PackSummary, digest, pack};
pub use scan::{CodePackage, Entry, EntryKind, Excluded, Note, NoteKind, scan};
pub use shelf::Shelf;
pub use spool::{PACKAGES, Piece, Spool, Written, is_known};
pub use unpack::{OutsideLinks, UnpackLimits, UnpackSummary, unpack};
pub use why::{Decision, why};

/// The configuration key that errors about a code directory name.
const KEY: &str = "trial.codeDir";
