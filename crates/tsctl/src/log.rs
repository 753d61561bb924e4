//! Where log lines of the libraries go: to standard error, or through the live view while there is one, so that neither
//! tears the other.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError, mpsc},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, Targets},
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

/// Takes log lines; clones are handles of the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogLines {
    view: Arc<Mutex<Option<mpsc::Sender<String>>>>,
}

impl LogLines {
    /// Lets log lines come here: warnings of our libraries, and more with `--verbose`; and how far long steps are, as talk without
    /// time and level.
    pub(crate) fn collect(&self, quiet: bool, verbose: u8) {
        let lines = self.clone();
        let log = tracing_subscriber::fmt::layer()
            .with_writer(move || Line {
                lines: lines.clone(),
                text: Vec::new(),
            })
            .with_ansi(false)
            .with_target(false)
            .with_filter(wanted(quiet, verbose));
        let progress = Progress(self.clone()).with_filter(FilterFn::new(move |metadata| {
            !quiet && metadata.target() == ts_core::PROGRESS
        }));
        tracing_subscriber::registry().with(log).with(progress).init();
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

/// What is shown of which library. One of others says every failed request, also those that ours try again, and without what a
/// user could do about it: ours say what came of it.
fn wanted(quiet: bool, verbose: u8) -> Targets {
    let (ours, others) = match (quiet, verbose) {
        (true, _) => (LevelFilter::ERROR, LevelFilter::OFF),
        (false, 0) => (LevelFilter::WARN, LevelFilter::OFF),
        (false, 1) => (LevelFilter::DEBUG, LevelFilter::WARN),
        (false, _) => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // Targets are compared by how they begin.
    Targets::new()
        .with_default(others)
        .with_targets([("tsctl", ours), ("ts_", ours)])
        .with_target(ts_core::PROGRESS, LevelFilter::OFF)
}

/// Shows how far long steps are.
struct Progress(LogLines);

impl<S: Subscriber> Layer<S> for Progress {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        message.0.push('\n');
        self.0.take(message.0.as_bytes());
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
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

#[cfg(test)]
mod tests {
    use super::wanted;
    use tracing::Level;

    #[test]
    fn what_libraries_of_others_say_is_shown_on_demand_only() {
        let (ours, kube) = ("ts_k8s::submit", "kube_client::client::builder");
        for (quiet, verbose, target, level, is_shown) in [
            (false, 0, ours, Level::WARN, true),
            (false, 0, ours, Level::INFO, false),
            (false, 0, "tsctl::session", Level::WARN, true),
            (false, 0, kube, Level::ERROR, false),
            (true, 0, ours, Level::ERROR, true),
            (true, 0, ours, Level::WARN, false),
            (true, 0, kube, Level::ERROR, false),
            (false, 1, ours, Level::DEBUG, true),
            (false, 1, kube, Level::ERROR, true),
            (false, 1, kube, Level::INFO, false),
            (false, 2, kube, Level::TRACE, true),
            (false, 2, ts_core::PROGRESS, Level::INFO, false),
        ] {
            let shown = wanted(quiet, verbose).would_enable(target, &level);
            assert_eq!(shown, is_shown, "{target} {level} --quiet {quiet} --verbose {verbose}");
        }
    }
}
