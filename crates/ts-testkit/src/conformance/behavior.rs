//! What the suite's trials do, and how that reads as a POSIX shell command or as a script of the reference platform.

use std::path::Path;

/// What a trial does. Metrics are payloads of journal frames, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behavior {
    /// Reports metrics and ends with an exit code.
    Exit {
        /// Reported in this order.
        metrics: Vec<String>,
        /// Exit code.
        code: u8,
    },
    /// Reports metrics, waits until [`open_gate`](super::Fixture::open_gate), reports more, and ends with an exit code.
    Gated {
        /// Name of the gate: letters and digits.
        gate: String,
        /// Reported before the gate.
        before: Vec<String>,
        /// Reported behind the gate.
        after: Vec<String>,
        /// Exit code.
        code: u8,
    },
    /// Reports metrics and runs until it is ended.
    RunUntilCanceled {
        /// Reported in this order.
        metrics: Vec<String>,
    },
    /// Ignores the request to end, then does the same; only the forced end stops it.
    IgnoreTerm {
        /// Reported once it ignores the request.
        metrics: Vec<String>,
    },
    /// Starts a process that leaves session and process group, then does the same.
    Detach {
        /// Reported once that process runs.
        metrics: Vec<String>,
    },
    /// Writes a line to standard output and one to standard error, and succeeds.
    Log {
        /// For standard output, without newline.
        stdout: String,
        /// For standard error, without newline.
        stderr: String,
    },
    /// Reports the text of so many phases' parameters as metrics, waiting for each, and succeeds.
    Phases {
        /// How many, the first included.
        n: u32,
    },
}

impl Behavior {
    /// Metrics as NNI's SDK writes them: so many, with growing values from `from` on.
    pub fn values(from: usize, n: usize) -> Vec<String> {
        (from..from + n).map(|at| format!("{{\"value\": {at}}}")).collect()
    }

    /// Reports the value 0, waits for `gate`, reports the value 1, and succeeds.
    pub fn gated(gate: &str) -> Self {
        Self::Gated {
            gate: gate.to_owned(),
            before: Self::values(0, 1),
            after: Self::values(1, 1),
            code: 0,
        }
    }

    /// Reports the value 0 and succeeds.
    pub fn quick() -> Self {
        Self::Exit {
            metrics: Self::values(0, 1),
            code: 0,
        }
    }

    /// As a command for POSIX `sh`, which finds the journal below `$NNI_SYS_DIR` and gates as files in `gates`.
    pub fn to_shell(&self, gates: &Path) -> String {
        let body = match self {
            Self::Exit { metrics, code } => format!("{}exit {code}", frames(metrics)),
            Self::Gated {
                gate,
                before,
                after,
                code,
            } => {
                let file = quoted(&gates.join(gate).to_string_lossy());
                let wait = until(&format!("[ -e {file} ]"));
                format!("{}{wait}{}exit {code}", frames(before), frames(after))
            }
            Self::RunUntilCanceled { metrics } => format!("{}{FOR_EVER}", frames(metrics)),
            Self::IgnoreTerm { metrics } => format!("trap '' TERM INT HUP\n{}{FOR_EVER}", frames(metrics)),
            Self::Detach { metrics } => {
                let child = quoted(&format!(": > \"$NNI_SYS_DIR/.nni/detached\"\n{FOR_EVER}"));
                let wait = until("[ -e \"$NNI_SYS_DIR/.nni/detached\" ]");
                format!("setsid sh -c {child} &\n{wait}{}{FOR_EVER}", frames(metrics))
            }
            Self::Log { stdout, stderr } => format!(
                "printf '%s\\n' {}\nprintf '%s\\n' {} >&2",
                quoted(stdout),
                quoted(stderr)
            ),
            Self::Phases { n } => (0..*n).map(phase).collect(),
        };
        format!("mkdir -p \"$NNI_SYS_DIR/.nni\"\n{body}")
    }

    /// As a script of the reference platform.
    pub fn to_script(&self) -> String {
        let metrics = |bodies: &[String]| lines(bodies, |body| format!("metric {body}\n"));
        match self {
            Self::Exit { metrics: bodies, code } => format!("{}exit {code}", metrics(bodies)),
            Self::Gated {
                gate,
                before,
                after,
                code,
            } => format!("{}gate {gate}\n{}exit {code}", metrics(before), metrics(after)),
            Self::RunUntilCanceled { metrics: bodies } => format!("{}wait", metrics(bodies)),
            Self::IgnoreTerm { metrics: bodies } => format!("ignore-term\n{}wait", metrics(bodies)),
            Self::Detach { metrics: bodies } => format!("detach\n{}wait", metrics(bodies)),
            Self::Log { stdout, stderr } => format!("stdout {stdout}\nstderr {stderr}"),
            Self::Phases { n } => "parameters\n".repeat(*n as usize),
        }
    }
}

const FOR_EVER: &str = "while :; do sleep 1; done";

fn until(condition: &str) -> String {
    format!("until {condition}; do sleep 0.02 2>/dev/null || sleep 1; done\n")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Appends frames as NNI's SDK writes them: `ME`, six digits, payload with its newline, which the digits count.
fn frames(bodies: &[String]) -> String {
    lines(bodies, |body| {
        let frame = quoted(&format!("ME{:06}{body}", body.len() + 1));
        format!("printf '%s\\n' {frame} >> \"$NNI_SYS_DIR/.nni/metrics\"\n")
    })
}

fn lines(bodies: &[String], line: impl Fn(&String) -> String) -> String {
    bodies.iter().map(line).collect()
}

/// Waits for a phase's parameter file and reports its text.
fn phase(index: u32) -> String {
    let name = match index {
        0 => "parameter.cfg".to_owned(),
        n => format!("parameter_{n}.cfg"),
    };
    let wait = until(&format!("[ -s \"$NNI_SYS_DIR/{name}\" ]"));
    format!(
        "{wait}text=$(cat \"$NNI_SYS_DIR/{name}\")\nsize=$(printf '%s\\n' \"$text\" | wc -c)\n\
         printf 'ME%06d%s\\n' \"$size\" \"$text\" >> \"$NNI_SYS_DIR/.nni/metrics\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    /// Runs a command as a platform does and gives its exit code and journal.
    fn run(behavior: &Behavior) -> (Option<i32>, String) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("parameter.cfg"), r#"{"s": "it's é"}"#).expect("parameters");
        fs::write(directory.path().join("go"), "").expect("an open gate");
        let status = Command::new("sh")
            .args(["-c", &behavior.to_shell(directory.path())])
            .env("NNI_SYS_DIR", directory.path())
            .status();
        let journal = fs::read_to_string(directory.path().join(".nni/metrics")).expect("a journal");
        (status.expect("a shell").code(), journal)
    }

    #[test]
    fn shell_commands_write_frames_whose_length_counts_bytes_and_newline() {
        let behavior = Behavior::Gated {
            gate: "go".into(),
            before: vec!["{\"value\": \"it's $HOME `é` %s\"}".into()],
            after: vec!["1".into()],
            code: 3,
        };
        let (code, journal) = run(&behavior);
        assert_eq!(code, Some(3));
        assert_eq!(journal, "ME000032{\"value\": \"it's $HOME `é` %s\"}\nME0000021\n");
    }

    #[test]
    fn shell_commands_report_parameters_byte_for_byte() {
        let (code, journal) = run(&Behavior::Phases { n: 1 });
        assert_eq!((code, journal.as_str()), (Some(0), "ME000017{\"s\": \"it's é\"}\n"));
    }

    #[test]
    fn every_behavior_reads_as_shell() {
        let metrics = vec!["it's".to_owned()];
        for behavior in [
            Behavior::Exit {
                metrics: metrics.clone(),
                code: 1,
            },
            Behavior::RunUntilCanceled {
                metrics: metrics.clone(),
            },
            Behavior::IgnoreTerm {
                metrics: metrics.clone(),
            },
            Behavior::Detach { metrics },
            Behavior::Log {
                stdout: "it's".into(),
                stderr: "%s".into(),
            },
            Behavior::Phases { n: 3 },
        ] {
            let command = behavior.to_shell(Path::new("/it's a gate"));
            let status = Command::new("sh").args(["-n", "-c", &command]).status();
            assert!(status.expect("a shell").success(), "{command}");
        }
    }
}
