//! The log of one run of a container, as containerd writes it: entries of time, stream, a mark for lines in pieces, and text.
//!
//! Each stream is cut at its line ends by itself. Sources: containerd v1.6, `pkg/cri/io/logger.go`, `redirectLogs`; kubernetes v1.20,
//! `pkg/kubelet/logs/container_log_manager.go` for the change to a new file. Reading is in `log_read`.

use super::clock;
use std::{
    fs::{self, File},
    io::{self, Write},
    mem,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// Longer lines become several entries. Source: containerd v1.6, `pkg/cri/config/config.go`, `MaxContainerLogLineSize`.
const MAX_LINE: usize = 16 * 1024;

/// A log that grows.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    limit: Option<u64>,
    file: Mutex<File>,
    state: watch::Sender<Extent>,
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// How many files were begun before the current one.
    pub(super) file: u64,
    /// The size of the current one, in whole entries.
    pub(super) size: u64,
    /// Nothing more will come.
    pub(super) closed: bool,
}

impl Log {
    /// Begins a log at `path`.
    pub(super) fn create(path: PathBuf, limit: Option<u64>) -> io::Result<Self> {
        let file = Mutex::new(File::create(&path)?);
        let state = watch::Sender::new(Extent {
            file: 0,
            size: 0,
            closed: false,
        });
        Ok(Self {
            path,
            limit,
            file,
            state,
        })
    }

    /// The current file, to read, and how far it has come.
    pub(super) fn open(&self) -> io::Result<(File, Extent)> {
        let _current = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((File::open(&self.path)?, *self.state.borrow()))
    }

    /// Tells of each change.
    pub(super) fn follow(&self) -> watch::Receiver<Extent> {
        self.state.subscribe()
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.state.send_modify(|extent| extent.closed = true);
    }

    /// Adds entries, and begins a new file after the one with which this gets too large.
    fn append<'a>(&self, stream: &str, entries: impl IntoIterator<Item = (&'a [u8], bool)>) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut extent = *self.state.borrow();
        let mut text = Vec::new();
        for (line, partial) in entries {
            let mark = if partial { 'P' } else { 'F' };
            write!(text, "{} {stream} {mark} ", clock::nanoseconds(clock::now()))?;
            text.extend_from_slice(line);
            text.push(b'\n');
            let size = extent.size + text.len() as u64;
            if self.limit.is_some_and(|limit| size > limit) {
                file.write_all(&mem::take(&mut text))?;
                // Whoever has the old file open reads it to its end.
                fs::remove_file(&self.path)?;
                *file = File::create(&self.path)?;
                extent.file += 1;
                extent.size = 0;
            }
        }
        file.write_all(&text)?;
        extent.size += text.len() as u64;
        self.state
            .send_modify(|state| (state.file, state.size) = (extent.file, extent.size));
        Ok(())
    }
}

/// One stream of a container on its way into the log.
#[derive(Debug)]
pub(super) struct Lines {
    stream: &'static str,
    begun: Vec<u8>,
}

impl Lines {
    /// `stdout` or `stderr`.
    pub(super) fn new(stream: &'static str) -> Self {
        Self {
            stream,
            begun: Vec::new(),
        }
    }

    /// Writes the lines that are complete by now, and what is too long to wait for its end.
    pub(super) fn write(&mut self, log: &Log, bytes: &[u8]) -> io::Result<()> {
        self.begun.extend_from_slice(bytes);
        let mut entries = Vec::new();
        let mut rest = self.begun.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            pieces(line, &mut entries, true);
            rest = &after[1..];
        }
        let kept = pieces(rest, &mut entries, false);
        if !entries.is_empty() {
            log.append(self.stream, entries)?;
        }
        self.begun.drain(..self.begun.len() - kept);
        Ok(())
    }

    /// Writes what has no line end. It is marked as if more followed.
    pub(super) fn end(self, log: &Log) -> io::Result<()> {
        if self.begun.is_empty() {
            return Ok(());
        }
        log.append(self.stream, [(self.begun.as_slice(), true)])
    }
}

/// Cuts a line into entries. Returns the length of what remains of one without end.
fn pieces<'a>(mut line: &'a [u8], entries: &mut Vec<(&'a [u8], bool)>, ended: bool) -> usize {
    while line.len() > MAX_LINE {
        let (piece, rest) = line.split_at(MAX_LINE);
        entries.push((piece, true));
        line = rest;
    }
    if ended {
        entries.push((line, false));
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::{Lines, Log};
    use std::fs;

    /// The entries without their times.
    fn written(chunks: &[(&'static str, &[u8])], limit: Option<u64>) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("0.log");
        let log = Log::create(path.clone(), limit).expect("a log");
        let (mut out, mut err) = (Lines::new("stdout"), Lines::new("stderr"));
        for (stream, bytes) in chunks {
            let lines = if *stream == "stdout" { &mut out } else { &mut err };
            lines.write(&log, bytes).expect("written");
        }
        out.end(&log).expect("ended");
        err.end(&log).expect("ended");
        let text = fs::read_to_string(path).expect("a log");
        let entry = |line: &str| {
            let (time, rest) = line.split_once(' ').expect("a time");
            assert_eq!(time.len(), "2016-10-06T00:17:09.669794202Z".len(), "{time}");
            rest.to_owned()
        };
        text.lines().map(entry).collect()
    }

    #[test]
    fn streams_are_cut_by_themselves() {
        let chunks: [(&str, &[u8]); 5] = [
            ("stdout", b"a"),
            ("stderr", b"x\ny"),
            ("stdout", b"b\n\n"),
            ("stderr", b"z\n"),
            ("stdout", b"end"),
        ];
        let expected = ["stderr F x", "stdout F ab", "stdout F ", "stderr F yz", "stdout P end"];
        assert_eq!(written(&chunks, None), expected);
    }

    #[test]
    fn long_lines_become_pieces() {
        for (length, sizes) in [
            (16384, vec![('F', 16384)]),
            (16385, vec![('P', 16384), ('F', 1)]),
            (40000, vec![('P', 16384), ('P', 16384), ('F', 7232)]),
        ] {
            let mut line = vec![b'x'; length];
            line.push(b'\n');
            let entries = written(&[("stdout", &line)], None);
            let found: Vec<(char, usize)> = entries
                .iter()
                .map(|entry| (entry.chars().nth(7).expect("a mark"), entry.len() - "stdout F ".len()))
                .collect();
            assert_eq!(found, sizes);
        }
    }

    #[test]
    fn a_log_that_is_too_large_is_begun_anew() {
        let chunks: [(&str, &[u8]); 1] = [("stdout", b"one\ntwo\nthree\nfour\n")];
        // An entry takes about 45 bytes, so two exceed the limit.
        assert_eq!(written(&chunks, Some(60)), Vec::<String>::new());
        assert_eq!(written(&chunks, Some(120)), ["stdout F four"]);
    }
}
