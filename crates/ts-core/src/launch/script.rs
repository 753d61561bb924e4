//! The text of `run.sh`: what surrounds the user's command so that its end is always recorded.
//!
//! Which shell reads the command is decided in `shell.rs`. The script uses builtins wherever it can, because each program
//! that it would start costs a quarter of the time that a short trial has.

use super::{Interpreter, interpreter, quote};
use crate::{Error, ErrorKind, Result};
use std::fmt::Write as _;

/// Where the time of a trial's end comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StateClock {
    /// The machine's `date`, for files whose modification time the reader cannot see. Costs one process per trial.
    #[default]
    Date,
    /// The modification time of the state file, which then says 0. Costs nothing.
    FileTime,
}

/// A trial's launch script, before it is text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchScript {
    /// Absolute directory of the trial, as the script sees it.
    pub trial_dir: String,
    /// Absolute directory that the command runs in.
    pub working_dir: String,
    /// Variables to set, in this order.
    pub env: Vec<(String, String)>,
    /// The user's shell command.
    pub command: String,
    /// Value of `CUDA_VISIBLE_DEVICES`; `None` leaves it alone.
    pub visible_devices: Option<String>,
    /// Where the time of the end comes from.
    pub clock: StateClock,
}

impl LaunchScript {
    /// A script without variables that asks `date` for the time.
    pub fn new(trial_dir: impl Into<String>, working_dir: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            trial_dir: trial_dir.into(),
            working_dir: working_dir.into(),
            env: Vec::new(),
            command: command.into(),
            visible_devices: None,
            clock: StateClock::default(),
        }
    }
    /// Sets variables, after those already there.
    #[must_use]
    pub fn with_env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
    }
    /// Sets `CUDA_VISIBLE_DEVICES`, if there is a value.
    #[must_use]
    pub fn with_visible_devices(mut self, devices: Option<String>) -> Self {
        self.visible_devices = devices;
        self
    }
    /// Chooses where the time of the end comes from.
    #[must_use]
    pub fn with_clock(mut self, clock: StateClock) -> Self {
        self.clock = clock;
        self
    }

    /// The script's text. The same input gives the same bytes.
    ///
    /// # Errors
    /// `Config` for a name that is no variable name, for a relative directory, for an empty command and for a NUL anywhere.
    pub fn render(&self) -> Result<String> {
        self.check()?;
        let mut text = String::from("#!/bin/sh\n");
        // A trap, not an ignored signal: the command starts with default signals, the script outlives it.
        text.push_str("trap : INT TERM HUP\n");
        let devices = self
            .visible_devices
            .iter()
            .map(|v| ("CUDA_VISIBLE_DEVICES", v.as_str()));
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in env.chain(devices) {
            let _ = writeln!(text, "export {name}={}", quote(value));
        }
        let file = |name: &str| quote(&format!("{}/{name}", self.trial_dir));
        let (exchange, state) = (file(".nni"), file(".nni/state"));
        let _ = writeln!(text, "[ -d {exchange} ] || mkdir -p {exchange}");
        let _ = writeln!(text, "printf '%s\\n' \"$$\" >{}", file(".nni/jobpid"));
        let _ = writeln!(text, "true >>{}", file(".nni/metrics"));
        let _ = writeln!(text, "(\ncd -- {} || exit 1", quote(&self.working_dir));
        self.write_command(&mut text);
        let _ = writeln!(text, ") </dev/null >>{} 2>>{}", file("stdout"), file("stderr"));
        text.push_str("nni_code=$?\n");
        match self.clock {
            StateClock::FileTime => text.push_str("nni_ms=0\n"),
            // `%3N` is GNU's; others print it as it stands, or in part.
            StateClock::Date => {
                text.push_str("nni_ms=$(date +%s%3N)\ncase $nni_ms in ''|*[!0-9]*) nni_ms=$(date +%s)000 ;; esac\n");
            }
        }
        // One short write: a reader takes the line only with its newline. A full disk delays the record, never loses it;
        // a directory that was removed ends the wait.
        let _ = writeln!(
            text,
            "until printf '%s %s\\n' \"$nni_code\" \"$nni_ms\" 2>/dev/null >{state}; do\n  \
             [ -d {exchange} ] || exit \"$nni_code\"\n  rm -f {state}\n  sleep 1\ndone 2>/dev/null\nexit \"$nni_code\""
        );
        Ok(text)
    }

    fn write_command(&self, text: &mut String) {
        // With these, a shell that waits for the command's present part lets it end, and then starts no further part.
        const TRAPS: &str = "trap 'exit 143' TERM\ntrap 'exit 130' INT\ntrap 'exit 129' HUP\n";
        let command = &self.command;
        match interpreter(command) {
            Interpreter::Exec => {
                let _ = writeln!(text, "exec {command}");
            }
            Interpreter::Own => {
                let _ = writeln!(text, "{TRAPS}{command}");
            }
            Interpreter::Bash => {
                let script = quote(&format!("{TRAPS}{command}"));
                let _ = writeln!(
                    text,
                    "nni_command={script}\n\
                     if command -v bash >/dev/null 2>&1; then exec bash -c \"$nni_command\"; fi\n\
                     eval \"$nni_command\""
                );
            }
        }
    }

    fn check(&self) -> Result<()> {
        let config = |message: String| Err(Error::new(ErrorKind::Config, message));
        for (name, _) in &self.env {
            let mut bytes = name.bytes();
            let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return config(format!(
                    "`{}` cannot be the name of an environment variable",
                    name.escape_debug()
                ))
                .map_err(|e| e.with_help("use letters, digits and `_`, not starting with a digit"));
            }
        }
        for (what, dir) in [("trial", &self.trial_dir), ("working", &self.working_dir)] {
            if !dir.starts_with('/') {
                return config(format!("the {what} directory `{}` is not absolute", dir.escape_debug()));
            }
        }
        if self.command.trim().is_empty() {
            return config("the trial command is empty".to_owned()).map_err(|e| e.with_key("trialCommand"));
        }
        let values = self.env.iter().map(|(_, value)| value).chain(&self.visible_devices);
        if values
            .chain([&self.trial_dir, &self.working_dir, &self.command])
            .any(|text| text.contains('\0'))
        {
            return config("a NUL cannot be passed to a shell".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
