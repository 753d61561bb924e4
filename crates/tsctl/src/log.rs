//! Where log lines of the libraries go: to standard error, or through the live view while there is one, so that neither
//! tears the other.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError, mpsc},
};
use tracing::level_filters::LevelFilter;

/// Takes log lines; clones are handles of the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogLines {
    view: Arc<Mutex<Option<mpsc::Sender<String>>>>,
}

impl LogLines {
    /// Lets the libraries' log lines come here: warnings, and more of them with `--verbose`.
    pub(crate) fn collect(&self, quiet: bool, verbose: u8) {
        let level = match (quiet, verbose) {
            (true, _) => LevelFilter::ERROR,
            (false, 0) => LevelFilter::WARN,
            (false, 1) => LevelFilter::DEBUG,
            (false, _) => LevelFilter::TRACE,
        };
        let lines = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || Line {
                lines: lines.clone(),
                text: Vec::new(),
            })
            .with_ansi(false)
            .with_target(false)
            .init();
    }

    /// Sends lines through a view from now on, or to standard error again.
    pub(crate) fn show_in(&self, view: Option<mpsc::Sender<String>>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    fn take(&self, text: &[u8]) {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = match view.as_ref() {
            Some(view) => view.send(String::from_utf8_lossy(text).trim_end().to_owned()).is_err(),
            None => true,
        };
        if rest {
            // Whoever closed standard error wants no log.
            let _ = io::stderr().write_all(text);
        }
    }
}

/// One line while it is written.
struct Line {
    lines: LogLines,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.take(&self.text);
        }
    }
}
