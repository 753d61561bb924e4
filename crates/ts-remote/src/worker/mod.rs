//! What runs on a machine: POSIX sh and nothing else, and the protocol that it speaks with us.
//!
//! The scripts are the `.sh` files beside the modules. How the bytes get there is `ssh`'s business.

mod deliver;
mod requests;
mod set_up;
mod shell;
mod watch_session;
mod watch_stream;

pub(crate) use deliver::{Progress, deliver, is_there};
pub(crate) use requests::{
    CODE_IS_GONE, CancelAnswer, Start, Started, cancel_snippet, list_snippet, parse_canceled, parse_list,
    parse_started, remove_all_snippet, remove_snippet, send_parameters_snippet, settle_snippet, start_snippet,
};
pub(crate) use set_up::{Facts, SetUp, set_up};
pub(crate) use shell::{Reply, Shell};
pub(crate) use watch_session::{WatchSession, add, follow_log};
pub(crate) use watch_stream::{GoneWhat, WatchEvent, WatchParser};
