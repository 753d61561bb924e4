//! One message between manager and dispatcher, whatever carries it, and the codes of those that we know.
//!
//! Source: nni v3.0, `nni/runtime/tuner_command_channel/command_type.py`; v1.9, `nni/protocol.py`.

/// A message: two letters that say what it is, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Two ASCII characters.
    pub code: [u8; 2],
    /// Text that belongs to it, mostly JSON; may be empty.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(code: [u8; 2], content: impl Into<String>) -> Self {
        Self {
            code,
            content: content.into(),
        }
    }
}

/// Search space, the first message of all.
pub(crate) const INITIALIZE: [u8; 2] = *b"IN";
/// Results of earlier trials.
pub(crate) const IMPORT: [u8; 2] = *b"FD";
/// Parameters of earlier trials, so that their ids are not used again.
pub(crate) const ADD_CUSTOMIZED: [u8; 2] = *b"AD";
/// Another search space.
pub(crate) const UPDATE_SEARCH_SPACE: [u8; 2] = *b"SS";
/// Parameters are wanted; the content is how many.
pub(crate) const REQUEST: [u8; 2] = *b"GE";
/// A result.
pub(crate) const METRIC: [u8; 2] = *b"ME";
/// A trial has ended.
pub(crate) const TRIAL_END: [u8; 2] = *b"EN";
/// Nothing; makes a dispatcher look whether one of its threads has failed.
pub(crate) const PING: [u8; 2] = *b"PI";
/// The end.
pub(crate) const TERMINATE: [u8; 2] = *b"TE";

/// Answer to the search space.
pub(crate) const INITIALIZED: [u8; 2] = *b"ID";
/// Parameters of a new trial.
pub(crate) const NEW_TRIAL: [u8; 2] = *b"TR";
/// Further parameters of a running trial, as answer to its request (nni v1.9).
pub(crate) const NEXT_PARAMETERS: [u8; 2] = *b"SP";
/// There are no parameters, for now at least.
pub(crate) const NO_MORE: [u8; 2] = *b"NO";
/// A trial should end early.
pub(crate) const KILL: [u8; 2] = *b"KI";
/// A traceback.
pub(crate) const ERROR: [u8; 2] = *b"ER";
