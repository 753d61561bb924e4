//! The listener of the push channel (feature `push`): trials that share no storage with the manager fetch their files from it and
//! push to it what they write.
//!
//! It serves one folder, `TRIAL/…` and `code/…`, to whoever knows the experiment's token. What it acknowledges lies on the disk, and
//! each append says its offset: an answer that is lost, a piece that comes twice, or a manager that comes back at the same port neither
//! loses nor doubles a byte.
//!
//! Every request is a POST whose body begins with the token and a newline, and every answer that a worker acts on has status 200:
//! busybox's `wget` knows no other method, hides no header from `ps`, and does not show what comes with another status.
//!
//! | Request below `/v1/` | Body after the token | Answer |
//! | --- | --- | --- |
//! | `read/PATH` | – | the file |
//! | `append/TRIAL/FILE?offset=N`, with `&hex=1` | bytes, or their hexadecimal digits | how many bytes are stored, or `gone` |
//! | `claim/TRIAL?by=NAME` | – | `yes`: `NAME` may run the trial; `no`; `gone` |
//! | `wait/TRIAL?have=N` | – | `cancel`, `gone`, and names of parameter files, once there is such or more than N; else nothing after 20 s |
//!
//! Refusals: 400 what is none of these, 401 another token, 404 a file that is not there, 413 a piece that is too long, 500 a disk
//! that takes nothing.

mod answer;
mod body;
mod listener;
mod request;
mod store;
mod token;

pub use listener::{Listener, Settings, is_free};
pub use token::remove as remove_token;

#[cfg(test)]
mod tests;
