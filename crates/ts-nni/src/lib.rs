#![doc = include_str!("../README.md")]

mod dispatcher;
mod endings;
mod experiment_parameters;
mod frame;
mod history;
mod life;
mod link;
mod message;
mod phases;
mod process;
mod python;
mod release;
mod requests;
mod source;
mod spec;

pub use frame::{FrameDecoder, encode_frame};
pub use message::Message;
pub use python::Nni;
pub use source::NniSource;
pub use spec::{Algorithm, Class, NniSpec};
