//! The command line of `nnictl` as NNI spells it.
//!
//! What each of its commands is here is in `meaning`; carrying it out is in `commands::nnictl`. Source: nni v3.0,
//! `nni/tools/nnictl/nnictl.py`; nni v1.9, `tools/nni_cmd/nnictl.py`.

mod meaning;

pub(crate) use meaning::Meaning;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The name of the link that makes `tsctl` understand `nnictl`'s command line.
const LINK: &str = "nnictl";

/// The process's arguments; those of a program named `nnictl` as `tsctl nnictl …`.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| name == LINK) {
        // Ours, which NNI has not: it stands before the command.
        let json = arguments
            .iter()
            .position(|argument| argument == "--json")
            .map(|at| arguments.remove(at));
        arguments.splice(1..1, json.into_iter().chain([LINK.into()]));
    }
    arguments
}

/// NNI's commands, carried out by tsctl.
#[derive(Debug, Parser)]
#[command(name = "nnictl", disable_version_flag = true, max_term_width = 120)]
pub(crate) struct Nnictl {
    /// Print the version
    #[arg(long, short)]
    pub(crate) version: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an experiment: `tsctl run`
    Create {
        #[arg(long, short)]
        config: PathBuf,
        #[command(flatten)]
        start: Start,
    },
    /// Go on with an experiment: `tsctl resume`
    Resume {
        id: String,
        #[command(flatten)]
        start: Start,
        #[arg(long = "experiment_dir", short = 'e', alias = "experiment-dir")]
        experiment_dir: Option<PathBuf>,
    },
    /// Look at an experiment: `tsctl status`
    View {
        id: String,
        #[command(flatten)]
        start: Start,
        #[arg(long = "experiment_dir", short = 'e', alias = "experiment-dir")]
        experiment_dir: Option<PathBuf>,
    },
    /// Stop experiments: `tsctl stop`
    Stop {
        id: Option<String>,
        #[arg(long, short)]
        port: Option<u16>,
        #[arg(long, short)]
        all: bool,
    },
    /// Change an experiment: `tsctl update`
    #[command(subcommand)]
    Update(Update),
    /// Trials: `tsctl trials`, `tsctl cancel`
    #[command(subcommand)]
    Trial(Trial),
    /// Experiments: `tsctl status`, `ls`, `gc`, `export`, `save`, `load`
    #[command(subcommand)]
    Experiment(Experiment),
    /// Logs: `tsctl logs`
    #[command(subcommand)]
    Log(Log),
    /// Address of the web page
    #[command(subcommand)]
    Webui(Webui),
    /// The experiment's configuration
    #[command(subcommand)]
    Config(Config),
    /// Follow an experiment: `tsctl status --follow`
    Top {
        id: Option<String>,
        #[arg(long, short)]
        time: Option<u32>,
    },
    /// Not here: NNI's own `nnictl` registers algorithms
    Algo(Other),
    /// Not here
    #[command(name = "trainingservice")]
    TrainingService(Other),
    /// Not here: `tsctl gc`
    Platform(Other),
    /// Not here
    Package(Other),
    /// Not here
    Tensorboard(Other),
    /// Not here
    #[command(name = "ss_gen")]
    SsGen(Other),
}

/// Options of a start.
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[arg(long, short)]
    pub(crate) port: Option<u16>,
    #[arg(long = "url_prefix", short = 'u', alias = "url-prefix")]
    pub(crate) url_prefix: Option<String>,
    /// Accepted; `debug: true` in the configuration logs more
    #[arg(long, short)]
    pub(crate) debug: bool,
    #[arg(long, short)]
    pub(crate) foreground: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Update {
    #[command(name = "searchspace")]
    SearchSpace {
        id: Option<String>,
        #[arg(long, short)]
        filename: PathBuf,
    },
    Concurrency(NewValue),
    Duration(NewValue),
    Trialnum(NewValue),
}

#[derive(Debug, Args)]
pub(crate) struct NewValue {
    pub(crate) id: Option<String>,
    #[arg(long, short)]
    pub(crate) value: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trial {
    Ls {
        id: Option<String>,
        #[arg(long, conflicts_with = "tail")]
        head: Option<u32>,
        #[arg(long)]
        tail: Option<u32>,
    },
    Kill {
        id: Option<String>,
        #[arg(long = "trial_id", short = 'T', alias = "trial-id")]
        trial_id: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Json,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    Show {
        id: Option<String>,
    },
    Status {
        id: Option<String>,
    },
    List {
        #[arg(long)]
        all: bool,
    },
    Delete {
        id: Option<String>,
        #[arg(long)]
        all: bool,
    },
    Import {
        id: Option<String>,
        #[arg(long, short)]
        filename: PathBuf,
    },
    Export {
        id: Option<String>,
        #[arg(long, short)]
        filename: PathBuf,
        #[arg(long = "type", short = 't', value_enum)]
        form: Form,
        #[arg(long, short)]
        intermediate: bool,
    },
    Save {
        id: Option<String>,
        #[arg(long, short)]
        path: Option<PathBuf>,
        #[arg(long = "saveCodeDir", short = 's')]
        save_code_dir: bool,
    },
    Load {
        #[arg(long, short)]
        path: PathBuf,
        #[arg(long = "codeDir", short = 'c')]
        code_dir: Option<PathBuf>,
        #[arg(long = "logDir", short = 'l')]
        log_dir: Option<PathBuf>,
        #[arg(long = "searchSpacePath", short = 's')]
        search_space_path: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    Stdout(ManagerLog),
    Stderr(ManagerLog),
    Trial {
        id: Option<String>,
        #[arg(long = "trial_id", short = 'T', alias = "trial-id")]
        trial_id: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ManagerLog {
    pub(crate) id: Option<String>,
    #[arg(long, short = 'T')]
    pub(crate) tail: Option<usize>,
    #[arg(long, short = 'H', conflicts_with = "tail")]
    pub(crate) head: Option<usize>,
    #[arg(long, short)]
    pub(crate) path: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Webui {
    Url { id: Option<String> },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    Show { id: Option<String> },
}

/// Whatever follows.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Other {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<OsString>,
}

#[cfg(test)]
mod tests;
