//! What a command of `nnictl` is here: a command line of `tsctl`, something of its own, or advice.

use super::{Command, Config, Experiment, Form, Log, Nnictl, Start, Trial, Update, Webui};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What a command of `nnictl` is here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A command line of `tsctl`, without the program.
    Tsctl(Vec<OsString>),
    /// The same, with the experiment at this place if none was named: NNI takes the one that runs.
    OfDefault(Vec<OsString>, usize),
    /// Stop the experiment that is served at this port.
    StopPort(u16),
    /// Remove all experiments that have ended.
    DeleteAll,
    /// The log of the manager: first lines, last lines, or only where it is.
    ManagerLog {
        id: Option<String>,
        head: Option<usize>,
        tail: Option<usize>,
        path: bool,
    },
    /// Where the web page of an experiment is.
    WebUrl(Option<String>),
    /// The configuration of an experiment.
    ShowConfig(Option<String>),
    Version,
    /// Not here, and what to do instead.
    Instead(&'static str, &'static str),
}

impl Nnictl {
    pub(crate) fn meaning(self) -> Meaning {
        match self.command {
            None if self.version => Meaning::Version,
            None => words(&["nnictl", "help"]).tsctl(),
            Some(command) => command.meaning(),
        }
    }
}

/// A command line that is being put together.
#[derive(Default)]
struct Line(Vec<OsString>);

fn words(fixed: &[&str]) -> Line {
    Line(fixed.iter().map(Into::into).collect())
}

impl Line {
    fn add(mut self, word: Option<impl Into<OsString>>) -> Self {
        self.0.extend(word.map(Into::into));
        self
    }
    fn flag(self, name: &str, is_set: bool) -> Self {
        self.add(is_set.then_some(name))
    }
    fn option(self, name: &str, value: Option<impl Into<OsString>>) -> Self {
        match value {
            Some(value) => self.add(Some(name)).add(Some(value)),
            None => self,
        }
    }
    fn start(self, start: Start) -> Self {
        self.option("--port", start.port.map(|port| port.to_string()))
            .option("--url-prefix", start.url_prefix)
    }
    fn tsctl(self) -> Meaning {
        Meaning::Tsctl(self.0)
    }
    /// `id` comes next; without one it is looked for.
    fn of(self, id: Option<String>) -> (Self, Option<usize>) {
        let at = id.is_none().then_some(self.0.len());
        (self.add(id), at)
    }
}

fn of_default((line, at): (Line, Option<usize>)) -> Meaning {
    match at {
        Some(at) => Meaning::OfDefault(line.0, at),
        None => line.tsctl(),
    }
}

/// An experiment by its directory's parent, or by its id alone.
fn in_directory(id: String, parent: Option<PathBuf>) -> OsString {
    match parent {
        Some(parent) if parent.ends_with(&id) => Path::new(".").join(parent).into(),
        Some(parent) => Path::new(".").join(parent).join(id).into(),
        None => id.into(),
    }
}

impl Command {
    fn meaning(self) -> Meaning {
        match self {
            Self::Create { config, mut start } => {
                let detach = !std::mem::take(&mut start.foreground);
                words(&["run"])
                    .add(Some(config))
                    .flag("--detach", detach)
                    .start(start)
                    .tsctl()
            }
            Self::Resume {
                id,
                mut start,
                experiment_dir,
            } => {
                let detach = !std::mem::take(&mut start.foreground);
                let line = words(&["resume"]).add(Some(in_directory(id, experiment_dir)));
                line.flag("--detach", detach).start(start).tsctl()
            }
            Self::View {
                id,
                start,
                experiment_dir,
            } => words(&["view"])
                .add(Some(in_directory(id, experiment_dir)))
                .start(start)
                .tsctl(),
            Self::Stop { all: true, .. } => words(&["stop", "--all"]).tsctl(),
            Self::Stop { id: Some(id), .. } if id == "all" => words(&["stop", "--all"]).tsctl(),
            Self::Stop {
                id: None,
                port: Some(port),
                ..
            } => Meaning::StopPort(port),
            Self::Stop { id, .. } => words(&["stop"]).add(id).tsctl(),
            Self::Update(update) => update.meaning(),
            Self::Trial(Trial::Ls { id, head, tail }) => words(&["trials"])
                .add(id)
                .option("--head", head.map(|n| n.to_string()))
                .option("--limit", tail.map(|n| n.to_string()))
                .tsctl(),
            Self::Trial(Trial::Kill { id, trial_id }) => words(&["cancel"])
                .add(Some(trial_id))
                .option("--experiment", id)
                .tsctl(),
            Self::Experiment(experiment) => experiment.meaning(),
            Self::Log(Log::Stdout(log) | Log::Stderr(log)) => Meaning::ManagerLog {
                id: log.id,
                head: log.head,
                tail: log.tail,
                path: log.path,
            },
            Self::Log(Log::Trial { id, trial_id: None }) => words(&["trials"]).add(id).tsctl(),
            Self::Log(Log::Trial {
                id,
                trial_id: Some(trial),
            }) => words(&["logs"]).add(Some(trial)).option("--experiment", id).tsctl(),
            Self::Webui(Webui::Url { id }) => Meaning::WebUrl(id),
            Self::Config(Config::Show { id }) => Meaning::ShowConfig(id),
            Self::Top { id, .. } => words(&["status", "--follow"]).add(id).tsctl(),
            Self::Algo(_) => Meaning::Instead(
                "algorithms are registered in NNI's Python package, not here",
                "`python3 -m nni.tools.nnictl.nnictl algo …` does it; tsctl uses what is registered there, and a class of your own \
                 without registering: `tuner: {className: …, codeDirectory: …}`",
            ),
            Self::TrainingService(_) => Meaning::Instead(
                "platforms are built in and cannot be registered",
                "`tsctl doctor` lists them; CONTRIBUTING.md tells how one is added",
            ),
            Self::Platform(_) => Meaning::Instead(
                "what an experiment leaves on its platform is removed with it",
                "`tsctl gc ID` lists that, `tsctl gc ID --yes` removes it",
            ),
            Self::Package(_) => Meaning::Instead(
                "there are no packages to install",
                "`tsctl validate FILE` says what a tuner lacks and how `pip` installs it",
            ),
            Self::Tensorboard(_) => Meaning::Instead(
                "TensorBoard is not started from here",
                "run `tensorboard --logdir DIR` on the directory that `tsctl show TRIAL` names",
            ),
            Self::SsGen(_) => Meaning::Instead(
                "search spaces are not made from annotations, which NNI 3.0 has no more",
                "write the search space to a file, and name it by `searchSpaceFile`",
            ),
        }
    }
}

impl Update {
    fn meaning(self) -> Meaning {
        let (name, id, value) = match self {
            Self::SearchSpace { id, filename } => ("searchspace", id, filename.into_os_string()),
            Self::Concurrency(new) => ("concurrency", new.id, new.value.into()),
            Self::Duration(new) => ("duration", new.id, new.value.into()),
            Self::Trialnum(new) => ("trialnum", new.id, new.value.into()),
        };
        let (line, at) = words(&["update", name]).of(id);
        of_default((line.add(Some(value)), at))
    }
}

impl Experiment {
    fn meaning(self) -> Meaning {
        match self {
            Self::Show { id } | Self::Status { id } => words(&["status"]).add(id).tsctl(),
            Self::List { all } => words(&["ls"]).flag("--running", !all).tsctl(),
            Self::Delete { all: true, .. } => Meaning::DeleteAll,
            Self::Delete { id, .. } => {
                let (line, at) = words(&["gc", "--yes"]).of(id);
                of_default((line, at))
            }
            Self::Import { id, filename } => {
                let (line, at) = words(&["experiment", "import"]).of(id);
                of_default((line.option("--filename", Some(filename)), at))
            }
            Self::Export {
                id,
                filename,
                form,
                intermediate,
            } => {
                let form = if form == Form::Csv { "csv" } else { "json" };
                let line = words(&["export"]).add(id).option("--format", Some(form));
                line.option("--output", Some(filename))
                    .flag("--intermediate", intermediate)
                    .tsctl()
            }
            Self::Save {
                id,
                path,
                save_code_dir,
            } => words(&["save"])
                .add(id)
                .option("--output", path)
                .flag("--code", save_code_dir)
                .tsctl(),
            Self::Load {
                path,
                code_dir,
                log_dir,
                search_space_path,
            } => words(&["load"])
                .add(Some(path))
                .option("--code", code_dir)
                .option("--to", log_dir)
                .option("--search-space", search_space_path)
                .tsctl(),
        }
    }
}
