//! The kubelet of the tests: scheduler, kubelet and container runtime of one node, without root and without containers.
//!
//! `handle` is what a test sees; `watch` follows the pods, `scheduler` binds them, `life` lives through one of them with
//! `container` and `process` for what runs in it, `pod` and `status` say how it stands, `logs` and `exec` serve what the API server asks a node for.

mod clock;
mod container;
mod environment;
mod events;
mod exec;
mod expand;
mod faults;
mod fit;
mod handle;
mod image;
mod life;
mod log_file;
mod log_read;
mod logs;
mod mounts;
mod pod;
mod process;
mod pull;
mod quantity;
mod scheduler;
mod settings;
mod shared;
mod status;
mod volumes;
mod watch;

pub use handle::Kubelet;
pub use shared::SharedVolume;
