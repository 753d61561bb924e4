//! How things look: errors, tables, lengths of time, and the view of a running experiment. Text in, text out.

pub(crate) mod diff;
pub(crate) mod experiment;
pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod span;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod trial;
