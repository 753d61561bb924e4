//! Where text goes: data to standard output, talk to standard error. The one place that writes to either.
//!
//! A reader that went away is no error: what it does not want is not written, and the work goes on.

use crate::{
    cli::Global,
    environment::Environment,
    log::LogLines,
    render::{failure, style::Style},
};
use std::{
    fmt::Display,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};
use ts_core::{Error, Result, Warning};

/// Where text goes, and in which form.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the user and facts of the terminal"
)]
pub(crate) struct Output {
    pub(crate) json: bool,
    quiet: bool,
    /// Whether lines on standard error may be redrawn.
    pub(crate) live: bool,
    /// Whether standard output is a terminal.
    pub(crate) to_terminal: bool,
    pub(crate) style: Style,
    /// Where the libraries' log lines go.
    pub(crate) log: LogLines,
    closed: AtomicBool,
}

impl Output {
    pub(crate) fn new(environment: &Environment, global: Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            live: environment.stderr_is_terminal && !global.json && !global.quiet,
            to_terminal: environment.stdout_is_terminal,
            style: Style::new(environment.colors),
            log: LogLines::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Whether only failures are told.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether nobody reads standard output any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Writes data as it is.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(e) => Err(Error::io("write to", std::path::Path::new("standard output"), e)),
            Ok(()) => Ok(()),
        }
    }

    /// Writes a line of data.
    pub(crate) fn line(&self, line: impl Display) -> Result<()> {
        self.raw(format!("{line}\n").as_bytes())
    }

    /// Writes data: a JSON document if asked for, else the text that `text` makes.
    pub(crate) fn data(&self, json: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<()> {
        if !self.json {
            return self.raw(text().as_bytes());
        }
        let document = if self.to_terminal {
            serde_json::to_string_pretty(json)
        } else {
            serde_json::to_string(json)
        };
        let document = document.map_err(|e| {
            Error::new(ts_core::ErrorKind::Internal, "the data cannot be written as JSON").with_source(e)
        })?;
        self.line(document)
    }

    /// Says something that is no data; kept back by `--quiet`.
    pub(crate) fn say(&self, text: impl Display) {
        if !self.quiet {
            talk(&format!("{text}\n"));
        }
    }

    /// Says how something failed.
    pub(crate) fn error(&self, error: &Error) {
        talk(&failure::error(error, self.json, self.style));
    }

    /// Says several failures, each in full.
    pub(crate) fn problems(&self, problems: &[ts_core::config::Problem]) {
        talk(&failure::problems(problems, self.json, self.style));
    }

    /// Warns; kept back by `--quiet`.
    pub(crate) fn warning(&self, warning: &Warning) {
        if !self.quiet {
            talk(&failure::warning(warning, self.json, self.style));
        }
    }
}

/// Says a line, for those who have no [`Output`] at hand.
pub(crate) fn talk_line(line: &str) {
    talk(&format!("{line}\n"));
}

/// Nobody can be told that nobody listens, so a failure to talk is no failure.
fn talk(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
