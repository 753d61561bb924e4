//! Frames of nni v1.9 to v2.7: two letters, the length of the content in bytes as 14 decimal digits, the content.
//!
//! Source: nni v1.9, `nni/protocol.py`; v2.7, `nni/runtime/tuner_command_channel/legacy.py`.

use crate::message::Message;
use ts_core::{Error, ErrorKind, Result};

/// Bytes before the content.
const HEADER: usize = 16;
/// Longest content that is taken: 1 GiB. More is a broken stream rather than a set of parameters.
const LONGEST: usize = 1 << 30;

/// The bytes of one message.
pub fn encode_frame(message: &Message) -> Vec<u8> {
    let mut bytes = message.code.to_vec();
    bytes.extend(format!("{:014}", message.content.len()).bytes());
    bytes.extend(message.content.bytes());
    bytes
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Where the bytes begin that are not taken yet.
    at: usize,
}

impl FrameDecoder {
    /// Takes bytes in, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 && self.at * 2 >= self.buffer.len() {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    ///
    /// # Errors
    /// `Protocol` if the bytes are no frame; nothing that follows can be understood.
    pub fn next_message(&mut self) -> Result<Option<Message>> {
        let rest = &self.buffer[self.at..];
        let Some((header, content)) = rest.split_at_checked(HEADER) else {
            return Ok(None);
        };
        let (code, digits) = (&header[..2], &header[2..]);
        let size = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|size| *size <= LONGEST)
            .filter(|_| code.iter().all(u8::is_ascii_graphic));
        let Some(size) = size else {
            let seen = String::from_utf8_lossy(header);
            return Err(broken(&format!("`{}` is no header of a frame", seen.escape_debug())));
        };
        let Some(content) = content.get(..size) else {
            return Ok(None);
        };
        let content = std::str::from_utf8(content).map_err(|e| broken("a frame is not UTF-8").with_source(e))?;
        let message = Message::new([code[0], code[1]], content);
        self.at += HEADER + size;
        Ok(Some(message))
    }

    /// Whether the stream may end here: no part of a message is waiting.
    pub fn is_empty(&self) -> bool {
        self.at == self.buffer.len()
    }
}

fn broken(message: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("NNI's dispatcher: {message}"))
}
