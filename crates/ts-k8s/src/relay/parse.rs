//! Takes a container's log apart: what the trial printed, and the records that `pod/trial.sh` has put between.
//!
//! A line of the log, as the API gives it with `timestamps=true`, is a time, a space, and the text. A record is a text that begins
//! with the character RS (0x1e) and the trial's token, and then a letter:
//!
//! | letter | rest of the line | |
//! |---|---|---|
//! | `b` | number | so many lines of the journal were said by an earlier pod |
//! | `m` | number, space, text | line of the journal of this number, or its last piece |
//! | `M` | number, space, text | a piece of such a line; more follow |
//! | `p` | text | the end of the journal, which has no newline |
//! | `e` | text | line of standard error |
//! | `c` | | the end of the line is not the trial's |
//! | `x` | exit code, space, milliseconds | the command has ended, and all it wrote was said |
//!
//! All other text is standard output. Nothing here does I/O.

use std::cmp::Ordering;

/// Begins a record.
const RS: u8 = 0x1e;
/// Longest text of a record that is believed; ours are shorter.
const LONGEST_RECORD: usize = 64 * 1024;
/// Longest time in front of a line: RFC 3339 with nanoseconds and an offset.
const LONGEST_TIME: usize = 40;

/// How the command of a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    /// Milliseconds since 1970; 0 if the pod could not tell.
    pub(crate) at: i64,
}

/// What was said, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// Line `n` of the journal, without its newline. Numbers begin with 1; the same may come again.
    Line {
        n: u64,
        text: Vec<u8>,
    },
    /// The journal's last bytes, which are no line.
    Rest(Vec<u8>),
    /// Lines up to this number were said by an earlier pod.
    Began(u64),
    /// All was said.
    Ended(Exit),
}

/// Reads a log piece by piece.
#[derive(Debug)]
pub(crate) struct Parser {
    token: Vec<u8>,
    at: At,
    /// The time in front of the present line, while it is read.
    time: Vec<u8>,
    /// The time of the line that was read last, and how many lines had it.
    last: (String, u32),
    /// Lines of the time where an earlier stream ended, so far, while this stream may still repeat it.
    repeated: Option<u32>,
    /// Whether the present line was read before: its text is not told again. Records are, their numbers tell repeats.
    is_old: bool,
    line: Line,
    /// What may be a record's beginning.
    head: Vec<u8>,
    record: Vec<u8>,
    /// Pieces of a line of the journal.
    pieces: Option<(u64, Vec<u8>)>,
    out: Vec<Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Time,
    Text,
    Head,
    Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Stdout,
    Stderr,
}

impl Parser {
    /// A reader of the log of a pod whose records bear `token`.
    pub(crate) fn new(token: &str) -> Self {
        Self {
            token: token.as_bytes().to_vec(),
            at: At::Time,
            time: Vec::new(),
            last: (String::new(), 0),
            repeated: None,
            is_old: false,
            line: Line::Stdout,
            head: Vec::new(),
            record: Vec::new(),
            pieces: None,
            out: Vec::new(),
        }
    }

    /// The time of the line read last, and how many lines in a row had it.
    pub(crate) fn position(&self) -> (&str, u32) {
        (&self.last.0, self.last.1)
    }

    /// Goes on behind the position of an earlier parser. A new stream, which begins at its second, may repeat lines before it.
    pub(crate) fn resume(&mut self, time: String, count: u32) {
        self.last = (time, count);
        self.at = At::Time;
        self.time.clear();
        self.head.clear();
        self.record.clear();
        self.pieces = None;
        self.line = Line::Stdout;
        self.is_old = false;
        self.repeated = Some(0);
    }

    /// Reads some bytes of the log and appends what they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Said>) {
        for &byte in bytes {
            self.step(byte);
        }
        out.append(&mut self.out);
    }

    fn step(&mut self, byte: u8) {
        match self.at {
            At::Time => self.time_byte(byte),
            At::Text => self.text_byte(byte),
            At::Head => self.head_byte(byte),
            At::Record => self.record_byte(byte),
        }
    }

    fn time_byte(&mut self, byte: u8) {
        if byte != b' ' && byte != b'\n' && self.time.len() < LONGEST_TIME {
            self.time.push(byte);
            return;
        }
        let is_time = byte == b' ' && self.time.first().is_some_and(u8::is_ascii_digit);
        let said = std::mem::take(&mut self.time);
        self.at = At::Text;
        if is_time && let Ok(time) = String::from_utf8(said.clone()) {
            self.note_time(time);
            return;
        }
        // The continuation of a line that the runtime has cut has no time of its own on some servers.
        for byte in said {
            self.text_byte(byte);
        }
        self.text_byte(byte);
    }

    fn note_time(&mut self, time: String) {
        if let Some(n) = &mut self.repeated {
            let order = sortable(&time).cmp(&sortable(&self.last.0));
            if order == Ordering::Equal {
                *n += 1;
            }
            self.is_old = order == Ordering::Less || (order == Ordering::Equal && *n <= self.last.1);
            if self.is_old {
                return;
            }
            self.repeated = None;
        }
        if self.last.0 == time {
            self.last.1 += 1;
        } else {
            self.last = (time, 1);
        }
    }

    fn text_byte(&mut self, byte: u8) {
        if byte == RS {
            self.at = At::Head;
            self.head.clear();
            return;
        }
        self.print(byte);
        if byte == b'\n' {
            self.line = Line::Stdout;
            self.at = At::Time;
        }
    }

    fn head_byte(&mut self, byte: u8) {
        let n = self.head.len();
        if self.token.get(n) == Some(&byte) {
            self.head.push(byte);
            return;
        }
        let is_whole = n == self.token.len();
        match byte {
            b'e' if is_whole => {
                self.line = Line::Stderr;
                self.at = At::Text;
            }
            b'b' | b'c' | b'm' | b'M' | b'p' | b'x' if is_whole => {
                self.record.clear();
                self.record.push(byte);
                self.at = At::Record;
            }
            _ => {
                // The trial printed this character itself.
                self.at = At::Text;
                self.print(RS);
                for byte in std::mem::take(&mut self.head) {
                    self.print(byte);
                }
                self.text_byte(byte);
            }
        }
    }

    fn record_byte(&mut self, byte: u8) {
        if byte != b'\n' {
            if self.record.len() <= LONGEST_RECORD {
                self.record.push(byte);
            }
            return;
        }
        let record = std::mem::take(&mut self.record);
        self.line = Line::Stdout;
        self.at = At::Time;
        if record.len() <= LONGEST_RECORD {
            self.take(record[0], &record[1..]);
        }
    }

    fn take(&mut self, letter: u8, rest: &[u8]) {
        match letter {
            b'm' | b'M' => {
                let Some((n, text)) = numbered(rest) else { return };
                let mut whole = match self.pieces.take() {
                    Some((of, pieces)) if of == n => pieces,
                    _ => Vec::new(),
                };
                whole.extend_from_slice(text);
                if letter == b'M' {
                    self.pieces = Some((n, whole));
                } else {
                    self.out.push(Said::Line { n, text: whole });
                }
            }
            b'p' => self.out.push(Said::Rest(rest.to_vec())),
            b'b' => self.out.extend(number(rest).map(Said::Began)),
            b'x' => {
                let text = String::from_utf8_lossy(rest);
                let mut fields = text.split(' ');
                let code = fields.next().and_then(|f| f.parse().ok());
                let at = fields.next().and_then(|f| f.trim().parse().ok());
                if let (Some(code), Some(at)) = (code, at) {
                    self.out.push(Said::Ended(Exit { code, at }));
                }
            }
            _ => {}
        }
    }

    fn print(&mut self, byte: u8) {
        if self.is_old {
            return;
        }
        match (self.line, self.out.last_mut()) {
            (Line::Stdout, Some(Said::Stdout(bytes))) | (Line::Stderr, Some(Said::Stderr(bytes))) => bytes.push(byte),
            (Line::Stdout, _) => self.out.push(Said::Stdout(vec![byte])),
            (Line::Stderr, _) => self.out.push(Said::Stderr(vec![byte])),
        }
    }
}

/// A time whose fraction has nine digits, so that times of one node compare as texts.
fn sortable(time: &str) -> String {
    let end = time.find(['Z', '+']).unwrap_or(time.len());
    let (second, fraction) = time[..end].split_once('.').unwrap_or((&time[..end], ""));
    format!("{second}.{fraction:0<9}")
}

fn numbered(rest: &[u8]) -> Option<(u64, &[u8])> {
    let space = rest.iter().position(|b| *b == b' ')?;
    Some((number(&rest[..space])?, &rest[space + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
