//! The platform against a cluster in process: REST server, late database, limits, and a node that runs the jobs as processes.

mod asking;
mod conformance;
mod documents;
mod ends;
mod faults;
mod limits;
mod proxy;
mod pushed;
mod pushed_faults;
mod reuse;
mod server;
mod tls;
mod world;
