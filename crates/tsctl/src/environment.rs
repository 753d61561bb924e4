//! What the process's environment says: home, state directory, the terminal. The one place that reads it; everything below
//! gets values.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

/// What the environment says.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// Home directory, if it is known.
    pub(crate) home: Option<PathBuf>,
    /// Where this program keeps what is not worth a backup: the list of experiments.
    pub(crate) state: Option<PathBuf>,
    /// Directory that relative paths of the command line start from.
    pub(crate) current: PathBuf,
    /// Whether standard output is a terminal.
    pub(crate) stdout_is_terminal: bool,
    /// Whether standard error is a terminal that can redraw lines.
    pub(crate) stderr_is_terminal: bool,
    /// Whether colors are wanted there.
    pub(crate) colors: bool,
}

impl Environment {
    /// Reads the process's environment.
    pub(crate) fn read() -> Self {
        let home = absolute("HOME");
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(home.as_ref()?.join(".local/state")));
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let stderr_is_terminal = std::io::stderr().is_terminal() && !is_dumb;
        Self {
            state: state.map(|dir| dir.join("tsctl")),
            home,
            current: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal,
            colors: stderr_is_terminal && !no_color,
        }
    }

    /// Where experiments live unless the configuration says otherwise.
    ///
    /// Source: nni v2.0, `nni/experiment/config/common.py`, `experiment_working_directory`.
    pub(crate) fn default_working_dir(&self) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join("nni-experiments"))
    }

    /// The absolute path that an argument names.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.current.join(path).components().collect()
    }
}

/// A variable that holds text; an empty one counts as unset, as OpenTelemetry's specification asks.
#[cfg(feature = "otel")]
pub(crate) fn text(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?;
    value.into_string().ok().filter(|text| !text.is_empty())
}

/// A variable that holds an absolute path; anything else counts as unset, as the XDG specification asks.
fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
