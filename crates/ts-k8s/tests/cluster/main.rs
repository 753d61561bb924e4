//! The platform against a cluster in process: API server, operators, and a node that runs the pods as processes.

mod conformance;
mod faults;
mod faults_access;
mod faults_late;
mod faults_logs;
mod faults_pods;
mod faults_refused;
mod faults_server;
mod journals;
mod leftovers;
mod looking_on;
mod quiet;
mod roles;
mod stale;
mod stored;
mod variants;
mod world;
