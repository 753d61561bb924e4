//! The platform against an Azure ML in process, whose jobs run for real.

mod clouds;
mod conformance;
mod doctor;
mod faults;
mod instances;
mod logins;
mod reuse;
mod scripts;
mod sharing;
mod world;
