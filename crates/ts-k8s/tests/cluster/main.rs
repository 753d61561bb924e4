//! The platform against a cluster in process: API server, operators, and a node that runs the pods as processes.

mod conformance;
mod journals;
mod leftovers;
mod looking_on;
mod stored;
mod world;
