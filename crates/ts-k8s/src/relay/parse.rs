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
//! All other text is standard output. A line that the runtime has cut into pieces has a time in front of each. Nothing here does
//! I/O.

use std::cmp::Ordering;

/// Begins a record.
const RS: u8 = 0x1e;
/// Longest text of a record that is believed; ours are shorter.
const LONGEST_RECORD: usize = 64 * 1024;
/// Longest time in front of a line: RFC 3339 with nanoseconds and an offset.
const LONGEST_TIME: usize = 40;

/// Lengths at which runtimes cut lines are multiples of this: 16 KiB in containerd and Docker, 8 KiB in CRI-O.
///
/// Source: containerd v1.6, `pkg/cri/config/config.go`, `MaxContainerLogLineSize`; conmon v2.1, `src/ctr_stdio.c`, `STDIO_BUF_SIZE`.
const CUT: u64 = 4096;

/// How far a log was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Time of the line that was read last; empty at the beginning.
    pub(crate) time: String,
    /// How many lines in a row had it, that one included.
    pub(crate) count: u32,
    /// How many bytes of that line were read; `None` if all.
    pub(crate) within: Option<u64>,
    /// Whether standard output and standard error are in the middle of a line.
    pub(crate) open: [bool; 2],
}

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
    /// How far it has read.
    last: Mark,
    /// How far it counts as read while pieces of a line of the journal are here: to read the first of them again.
    held: Option<Mark>,
    /// Lines of the time where an earlier stream ended, so far, while this stream may still repeat it.
    repeated: Option<u32>,
    /// How many bytes of the present line an earlier stream has brought.
    n_old: u64,
    /// How many bytes of the present line were read, times within it included.
    n_line: u64,
    /// How many of them came behind the last of these times.
    n_entry: u64,
    /// Whether what is read was read before: its text is not told again. Numbered records are, their numbers tell repeats.
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
    /// Where the runtime may have cut the line.
    Cut,
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
            last: Mark::default(),
            held: None,
            repeated: None,
            n_old: 0,
            n_line: 0,
            n_entry: 0,
            is_old: false,
            line: Line::Stdout,
            head: Vec::new(),
            record: Vec::new(),
            pieces: None,
            out: Vec::new(),
        }
    }

    /// Goes on where an earlier parser was. The new stream begins at the second of that, and so may repeat lines before it.
    pub(crate) fn resumed(token: &str, from: Mark) -> Self {
        Self {
            repeated: (!from.time.is_empty()).then_some(0),
            last: from,
            ..Self::new(token)
        }
    }

    /// Where another parser goes on and misses nothing.
    pub(crate) fn position(&self) -> Mark {
        self.held.as_ref().unwrap_or(&self.last).clone()
    }

    /// Reads some bytes of the log and appends what they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Said>) {
        for &byte in bytes {
            self.step(byte);
        }
        out.append(&mut self.out);
    }

    fn step(&mut self, byte: u8) {
        if self.at == At::Time {
            return self.time_byte(byte);
        }
        if self.at == At::Text && self.n_entry > 0 && self.n_entry.is_multiple_of(CUT) {
            self.at = At::Cut;
        }
        self.n_entry += 1;
        if self.repeated.is_none()
            && let Some(within) = &mut self.last.within
        {
            // Bytes that an earlier stream has brought are counted already.
            self.is_old = self.n_line < self.n_old;
            self.n_line += 1;
            *within = self.n_line.max(self.n_old);
        }
        match self.at {
            At::Time | At::Text => self.text_byte(byte),
            At::Cut => self.cut_byte(byte),
            At::Head => self.head_byte(byte),
            At::Record => self.record_byte(byte),
        }
        if byte == b'\n' && self.repeated.is_none() {
            self.last.within = None;
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
        self.n_entry = 0;
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
        (self.n_old, self.n_line) = (0, 0);
        if let Some(n) = &mut self.repeated {
            let order = sortable(&time).cmp(&sortable(&self.last.time));
            if order == Ordering::Equal {
                *n += 1;
            }
            let place = order.then((*n).cmp(&self.last.count));
            let is_whole = self.last.within.is_none();
            self.is_old = place == Ordering::Less || (place == Ordering::Equal && is_whole);
            if self.is_old {
                return;
            }
            self.repeated = None;
            if place == Ordering::Equal {
                // It was read in part.
                self.n_old = self.last.within.unwrap_or_default();
                return;
            }
        }
        let count = if self.last.time == time { self.last.count + 1 } else { 1 };
        let open = self.last.open;
        self.last = Mark {
            time,
            count,
            within: Some(0),
            open,
        };
    }

    /// A time at a place where the runtime cuts lines is its own.
    fn cut_byte(&mut self, byte: u8) {
        self.time.push(byte);
        match time_at(&self.time) {
            Some(false) => {}
            Some(true) => {
                self.time.clear();
                self.n_entry = 0;
                self.at = At::Text;
            }
            None => {
                self.at = At::Text;
                for byte in std::mem::take(&mut self.time) {
                    self.text_byte(byte);
                }
            }
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
                    if whole.len() == text.len() {
                        // Within this line, whose record is told again when it is read again.
                        self.held = Some(self.last.clone());
                    }
                    self.pieces = Some((n, whole));
                } else {
                    self.held = None;
                    self.out.push(Said::Line { n, text: whole });
                }
            }
            // It has no number.
            b'p' if !self.is_old => self.out.push(Said::Rest(rest.to_vec())),
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
        let [stdout, stderr] = &mut self.last.open;
        let open = if self.line == Line::Stdout { stdout } else { stderr };
        *open = byte != b'\n';
        match (self.line, self.out.last_mut()) {
            (Line::Stdout, Some(Said::Stdout(bytes))) | (Line::Stderr, Some(Said::Stderr(bytes))) => bytes.push(byte),
            (Line::Stdout, _) => self.out.push(Said::Stdout(vec![byte])),
            (Line::Stderr, _) => self.out.push(Said::Stderr(vec![byte])),
        }
    }
}

/// Whether this is a time with the space behind it; `None` if it cannot become one.
fn time_at(text: &[u8]) -> Option<bool> {
    const SECOND: &[u8] = b"0000-00-00T00:00:00";
    const OFFSET: &[u8] = b"00:00 ";
    let is_like = |text: &[u8], form: &[u8]| {
        let same = |(byte, form): (&u8, &u8)| byte == form || (*form == b'0' && byte.is_ascii_digit());
        text.iter().zip(form).all(same)
    };
    if !is_like(text, SECOND) || text.len() > LONGEST_TIME {
        return None;
    }
    let rest = text.get(SECOND.len()..).unwrap_or_default();
    let rest = match rest.split_first() {
        Some((b'.', fraction)) => {
            let end = fraction.iter().position(|byte| !byte.is_ascii_digit());
            end.map_or(&[][..], |end| &fraction[end..])
        }
        _ => rest,
    };
    match rest.split_first() {
        None => Some(false),
        Some((b'Z', end)) if end.len() <= 1 => is_like(end, b" ").then_some(end.len() == 1),
        Some((b'+' | b'-', end)) if end.len() <= OFFSET.len() => {
            is_like(end, OFFSET).then_some(end.len() == OFFSET.len())
        }
        _ => None,
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
