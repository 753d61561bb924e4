//! One experiment that is run by the built `tsctl`, with a home of its own, and what the command line says about it.

use super::Place;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Longest time that an experiment of these tests may take.
const DEADLINE: Duration = Duration::from_mins(3);

/// How programs are started elsewhere than here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launcher {
    /// A command that takes the program's as its last arguments, and becomes it.
    pub(crate) words: Vec<OsString>,
    /// Variables of the program's environment.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Launcher {
    /// A program to be started there.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut words = self.words.iter().map(OsString::as_os_str).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// An experiment of its own home, so that it is the only one there.
#[derive(Debug)]
pub(super) struct Experiment {
    tsctl: PathBuf,
    home: PathBuf,
    path: OsString,
    /// Where an agent with keys listens; none by default, whatever this user has.
    agent: Option<PathBuf>,
    launcher: Launcher,
}

impl Experiment {
    /// A fresh home. Programs of `bin` come before those of the machine.
    pub(super) fn new(place: &Place, name: &str, bin: Option<&Path>) -> Result<Self> {
        let home = place.work.join("home").join(name);
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("cannot remove `{}`", home.display()))?;
        }
        fs::create_dir_all(&home)?;
        let inherited = env::var_os("PATH").unwrap_or_default();
        let folders = bin
            .map(Path::to_path_buf)
            .into_iter()
            .chain(env::split_paths(&inherited));
        Ok(Self {
            tsctl: place.tsctl.clone(),
            path: env::join_paths(folders)?,
            home,
            agent: None,
            launcher: Launcher::default(),
        })
    }

    /// The same with an agent that holds SSH keys.
    pub(super) fn with_agent(mut self, socket: PathBuf) -> Self {
        self.agent = Some(socket);
        self
    }

    /// The same whose commands are started elsewhere.
    pub(super) fn started_by(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    /// The home directory of whoever runs it.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Runs a configuration, or goes on with the experiment, to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut running = self.start(arguments)?;
        self.finish(&mut running)
    }

    /// Waits for the good end of a command that was started.
    pub(super) fn finish(&self, running: &mut Running) -> Result<()> {
        let status = self.end_of(running)?;
        if !status.success() {
            bail!("`tsctl` ended with {status}:\n{}", self.said()?);
        }
        Ok(())
    }

    /// Runs a command that must fail; what it said.
    pub(super) fn refused(&self, arguments: &[&str]) -> Result<String> {
        let mut running = self.start(arguments)?;
        let status = self.end_of(&mut running)?;
        if status.success() {
            bail!("`tsctl {}` should have failed:\n{}", arguments.join(" "), self.said()?);
        }
        self.said()
    }

    /// Waits for any end of a command that was started.
    pub(super) fn end_of(&self, running: &mut Running) -> Result<ExitStatus> {
        wait_until("the command ends", || Ok(running.0.try_wait()?)).with_context(|| self.said().unwrap_or_default())
    }

    /// Starts a command and leaves it running.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Running> {
        println!("  $ tsctl {}", arguments.join(" "));
        let said = fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("tsctl.txt"))?;
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        Ok(Running(command.spawn().context("cannot start `tsctl`")?))
    }

    /// What a command that reads says, as JSON.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = crate::shell::output(self.command(arguments).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("`tsctl {} --json` wrote no JSON", arguments.join(" ")))
    }

    /// The same of a command that may find something bad.
    pub(super) fn json_of_any(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.command(arguments).arg("--json").output()?.stdout;
        serde_json::from_slice(&text).with_context(|| format!("`tsctl {} --json` wrote no JSON", arguments.join(" ")))
    }

    /// What a command that reads says.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        println!("  $ tsctl {}", arguments.join(" "));
        crate::shell::output(&mut self.command(arguments))
    }

    /// All trials, by sequence id.
    pub(super) fn trials(&self) -> Result<Vec<Value>> {
        let mut trials = self.list(&["trials"], "trials")?;
        trials.sort_by_key(|trial| trial["sequenceId"].as_u64());
        Ok(trials)
    }

    /// All metrics of a trial, in the order in which they were taken in.
    pub(super) fn metrics(&self, trial: &str) -> Result<Vec<Value>> {
        self.list(&["metrics", trial], "metrics")
    }

    /// Waits until a trial has reported at least once; its id.
    pub(super) fn reported_once(&self) -> Result<String> {
        wait_until("a trial has reported", || {
            // There is no experiment to read in the first moment.
            let trials = self.trials().unwrap_or_default();
            let reported = trials.iter().find(|trial| trial["nMetrics"].as_u64() >= Some(1));
            Ok(reported.and_then(|trial| Some(trial["id"].as_str()?.to_owned())))
        })
    }

    /// Waits until some trials have ended well and some run.
    pub(super) fn in_the_middle(&self) -> Result<()> {
        wait_until("some trials have ended and some run", || {
            // There is no experiment to read in the first moment.
            let Ok(trials) = self.trials() else {
                return Ok(None);
            };
            let count = |status: &str| trials.iter().filter(|t| t["status"] == status).count();
            Ok((count("SUCCEEDED") >= 2 && count("RUNNING") >= 2).then_some(()))
        })
    }

    fn list(&self, arguments: &[&str], key: &str) -> Result<Vec<Value>> {
        match self.json(arguments)?[key].take() {
            Value::Array(list) => Ok(list),
            _ => bail!("`tsctl {} --json` has no list `{key}`", arguments.join(" ")),
        }
    }

    /// The experiment's id.
    pub(super) fn id(&self) -> Result<String> {
        let status = self.json(&["status"])?;
        let id = status["experiment"]["id"].as_str();
        id.map(str::to_owned)
            .context("`tsctl status --json` names no experiment")
    }

    /// Where the experiment's files are.
    pub(super) fn directory(&self) -> Result<PathBuf> {
        let status = self.json(&["status"])?["experiment"].take();
        Ok(PathBuf::from(
            status["directory"]
                .as_str()
                .context("`tsctl status --json` names no directory")?,
        ))
    }

    /// What the command line and the manager wrote, for failures.
    pub(super) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(self.home.join("tsctl.txt"))?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.launcher.command(&self.tsctl);
        command
            .args(arguments)
            .env("HOME", &self.home)
            .env("PATH", &self.path)
            .env_remove("XDG_STATE_HOME")
            .env_remove("SSH_AUTH_SOCK");
        command.envs(self.agent.iter().map(|socket| ("SSH_AUTH_SOCK", socket)));
        command
    }
}

/// A command that runs; it is killed when it is dropped, as `kill -9` would.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Sends it a signal, such as `INT`.
    pub(super) fn signal(&self, name: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.0.id().to_string()]);
        crate::shell::output(&mut kill).map(drop)
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.0.kill().context("cannot kill the manager")?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Looks again and again until there is an answer.
#[expect(
    clippy::disallowed_methods,
    reason = "the other process has no other clock than the machine's"
)]
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        if began.elapsed() > DEADLINE {
            bail!("{} s were not enough until {what}", DEADLINE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lets a fault last.
#[expect(
    clippy::disallowed_methods,
    reason = "the other process has no other clock than the machine's"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
