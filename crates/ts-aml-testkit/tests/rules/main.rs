//! The rules that the platform keeps, asked for with plain HTTP.

mod arm;
mod blobs;
mod client;
mod faults;
mod identity;
mod jobs;
mod runs;
