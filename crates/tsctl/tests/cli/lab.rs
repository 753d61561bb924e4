//! A home of its own for one test, with ways to run `tsctl` there and to wait for what it stores.
//!
//! Nothing waits for a time: every wait is for a condition and has a deadline. Trials that wait do so for a file of the lab,
//! and end by themselves once the lab is gone.

use serde_json::Value;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// No wait of a test is longer.
const DEADLINE: Duration = Duration::from_mins(2);
/// Between two looks at a condition.
const PACE: Duration = Duration::from_millis(10);

/// A shell function that appends a metric as NNI's SDK does: kind, sequence, value.
const REPORT: &str = r#"report() {
    json="{\"parameter_id\": $NNI_TRIAL_SEQ_ID, \"trial_job_id\": \"$NNI_TRIAL_JOB_ID\", \"type\": \"$1\", \"sequence\": $2, \"value\": \"$3\"}"
    printf 'ME%06d%s\n' $((${#json} + 1)) "$json" >>"$NNI_SYS_DIR/.nni/metrics"
}
wait_for() {
    while [ -d "$LAB" ] && [ ! -e "$LAB/$1" ]; do sleep 0.02; done
}
"#;

/// How a command ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Asserts the exit code; a failure shows everything.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// A `tsctl` that runs in the background.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Sends a signal to the process alone.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), signal).expect("the process is there");
    }

    /// Stops reading its standard output, as `| true` does.
    pub(crate) fn close_stdout(&mut self) {
        self.child.stdout = None;
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        let status = wait("the end of tsctl", || self.child.try_wait().expect("a child"));
        let mut text = [String::new(), String::new()];
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut text[0]).expect("UTF-8");
        }
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut text[1]).expect("UTF-8");
        }
        let [stdout, stderr] = text;
        Ran {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing running; after `end` the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `look` finds something.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "a real process is waited for, and its clock is the machine's"
)]
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{what} did not come in {DEADLINE:?}");
        std::thread::park_timeout(PACE);
    }
}

/// The home.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self {
            dir: tempfile::tempdir().expect("room for files"),
        };
        lab.write("code/lab.sh", REPORT);
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the lab")).expect("room for files");
        std::fs::write(&path, text).expect("room for files");
        path
    }

    /// Lets trials go on that wait for this file.
    pub(crate) fn open(&self, gate: &str) {
        self.write(gate, "");
    }

    /// A configuration in schema 2 of shell trials, two at a time, with further lines.
    pub(crate) fn config(&self, trials: u32, script: &str, more: &str) {
        self.write("code/trial.sh", &format!(". ./lab.sh\n{script}\n"));
        self.write(
            "config.yml",
            &format!(
                "trialCommand: LAB={} sh trial.sh\ntrialCodeDirectory: code\ntrialConcurrency: 2\n\
                 maxTrialNumber: {trials}\nsearchSpace:\n  x: {{_type: choice, _value: [1, 2, 3]}}\n\
                 tuner: {{name: Random}}\ntrainingService: {{platform: local}}\n{more}",
                self.dir.path().display()
            ),
        );
    }

    /// `tsctl` in this home, which sees nothing of the machine's own environment but `PATH`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_tsctl")), arguments)
    }

    /// The same through a link to it.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `tsctl` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).end_reading()
    }

    /// Runs `tsctl`, which is to succeed, and gives the JSON document that it prints.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        self.run(&arguments).exits(0).json()
    }

    /// Starts `tsctl` in the background.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn start_with(&self, arguments: &[&str], variables: &[(&str, String)]) -> Running {
        let mut command = self.command(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running {
            child: command.spawn().expect("tsctl starts"),
        }
    }

    /// The experiment as `status` shows it; `None` while there is none.
    pub(crate) fn experiment(&self) -> Option<Value> {
        let ran = self.run(&["status", "--json"]);
        (ran.code == Some(0)).then(|| ran.json()["experiment"].clone())
    }

    /// All trials of the experiment; none while there is no experiment.
    pub(crate) fn trials(&self) -> Vec<Value> {
        let ran = self.run(&["trials", "--json"]);
        match ran.code {
            Some(0) => ran.json()["trials"].as_array().expect("a list").clone(),
            _ => Vec::new(),
        }
    }

    /// Waits until the trials are as `done` wants them.
    #[track_caller]
    pub(crate) fn wait_for_trials(&self, what: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        wait(what, || Some(self.trials()).filter(|trials| done(trials)))
    }

    /// The lines of a file that trials append to.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Running {
    /// As `end`, for commands that may write more than a pipe holds.
    fn end_reading(mut self) -> Ran {
        let mut stderr = self.child.stderr.take().expect("piped");
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).map(|_| text)
        });
        let mut text = Vec::new();
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_end(&mut text).expect("a pipe");
        Ran::new(Output {
            status: wait("the end of tsctl", || self.child.try_wait().expect("a child")),
            stdout: text,
            stderr: errors.join().expect("no panic").expect("a pipe"),
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that failed may leave a manager of its own process behind, which is told to end.
        if std::thread::panicking() {
            let _ = self.command(&["stop", "--all", "--no-wait", "--quiet"]).status();
        }
    }
}

/// How many trials have this status.
pub(crate) fn in_status(trials: &[Value], status: &str) -> usize {
    trials.iter().filter(|trial| trial["status"] == status).count()
}

/// Processes that carry the mark of an experiment.
pub(crate) fn processes_of(experiment: &str) -> Vec<PathBuf> {
    let mark = format!("NNI_EXP_ID={experiment}");
    let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let carries = |path: &Path| {
        std::fs::read(path.join("environ"))
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
    };
    entries.map(|entry| entry.path()).filter(|path| carries(path)).collect()
}
