//! The platform against a dashboard in process, whose cluster runs the jobs as processes.

mod asking;
mod conformance;
mod doctor;
mod ends;
mod faults;
mod lost_answers;
mod server;
mod world;
