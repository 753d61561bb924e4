//! Pods on the node of the tests, through the API server of the tests. `world` has both, and waits.

mod faults;
mod inside;
mod pods;
mod scheduling;
mod world;
