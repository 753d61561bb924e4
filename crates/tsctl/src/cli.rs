//! The command line as types: commands, options and their help.
//!
//! What commands do is in `commands`. The nouns and verbs of `nnictl` are in `cli_nni`.

use crate::{
    cli_nni,
    cli_web::{self, Listen},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};
use ts_manager::store::Limits;

/// Runs hyper-parameter experiments on local machines and clusters, with the configuration files of NNI.
#[derive(Debug, Parser)]
#[command(name = "tsctl", version, about, max_term_width = 120, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "Commands of nnictl work too: create, view, trial ls|kill, experiment list|show|delete|export, \
update, log, top.\nExit codes are listed in `tsctl man` and docs/exit-codes.md.";

/// Options of every command.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print data as JSON, with names that stay
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say only what went wrong
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more: once for details, twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an experiment
    Run(Run),
    /// Report everything that is wrong with a configuration
    Validate(File),
    /// Show what would be sent and submitted, and leave nothing behind
    Plan(File),
    /// See which files of a code directory would travel
    #[command(subcommand)]
    Code(Code),
    /// List experiments
    Ls(Ls),
    /// Show an experiment
    Status(Status),
    /// List the trials of an experiment
    Trials(Trials),
    /// Show a trial
    Show(Trial),
    /// Print what a trial wrote
    Logs(Logs),
    /// Print the metrics of a trial
    Metrics(Trial),
    /// Say why a trial waits, or how it ended
    Explain(Trial),
    /// Cancel trials
    Cancel(SomeTrials),
    /// Stop an experiment and wait for the end of its trials
    Stop(Stop),
    /// Go on with an experiment that was stopped, interrupted or extended
    Resume(Resume),
    /// Run ended trials again with their parameters
    Retry(Retry),
    /// Change limits of an experiment
    #[command(subcommand)]
    Update(Update),
    /// Serve the HTTP API of an experiment, whether it runs or not
    Web(cli_web::Web),
    /// Tell the tuner of an experiment of results from elsewhere
    Learn(Learn),
    /// Write parameters and results of all trials
    Export(Export),
    /// Remove what experiments have left behind
    Gc(Gc),
    /// Check this machine and the platforms, and say what to mend
    Doctor(Doctor),
    /// Show a configuration as it is understood, or the schema for editors
    Config(Config),
    /// Write a configuration in schema 2, the one of NNI 2 and 3
    Migrate(Migrate),
    /// Write an experiment into one file
    Save(Save),
    /// Bring back an experiment from the file of `save`, or from an archive of NNI's `nnictl experiment save`
    Load(Load),
    /// Take over an experiment of NNI from its folder, to look at it or to go on with it
    Import(Import),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Run an experiment that is created already; started by `--detach`
    #[command(name = "__manage", hide = true)]
    Manage {
        /// Directory of the experiment
        directory: PathBuf,
        #[command(flatten)]
        web: Listen,
    },
    /// Do what a command line of nnictl asks for; a link to tsctl named `nnictl` does it too
    #[command(disable_help_flag = true)]
    Nnictl {
        /// The command line of nnictl; `tsctl nnictl help` explains it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    #[command(flatten)]
    Nni(cli_nni::Command),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct File {
    /// Configuration of the experiment, schema 1 or 2
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// Configuration of the experiment, schema 1 or 2
    pub(crate) file: PathBuf,
    /// Return as soon as it runs, and print its id
    #[arg(long, short)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) limits: NewLimits,
    #[command(flatten)]
    pub(crate) web: Listen,
}

/// Limits that replace those of the configuration or of the store.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct NewLimits {
    /// Most trials in total
    #[arg(long, value_name = "N")]
    pub(crate) max_trials: Option<u32>,
    /// Most trials at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(Limits::MOST_AT_A_TIME)))]
    pub(crate) concurrency: Option<u32>,
    /// Most time that the experiment runs, such as 90m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_duration: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Code {
    /// List the files that would travel, with their total
    Ls {
        /// Code directory
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    /// Name the line of `.nniignore` that decides a path
    Why {
        /// Code directory
        directory: PathBuf,
        /// Path in it
        path: PathBuf,
    },
    /// Write the archive that would travel
    Pack {
        /// Code directory
        directory: PathBuf,
        /// Where to write it; `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// How to compress it
        #[arg(long, value_enum, default_value = "gzip")]
        compression: Compression,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Ls {
    /// Only those that a manager runs now
    #[arg(long)]
    pub(crate) running: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Experiment {
    /// Experiment: id, start of an id, or directory. Default: the one that runs, else the newest
    #[arg(value_name = "EXPERIMENT")]
    pub(crate) experiment: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) of: Experiment,
    /// Stay with it until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Trials {
    #[command(flatten)]
    pub(crate) of: Experiment,
    /// Only trials in this status; may be repeated
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Vec<String>,
    /// At most so many, the newest
    #[arg(long, short = 'n', visible_alias = "tail", value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// At most so many, the oldest
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    pub(crate) head: Option<u32>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Trial {
    /// Trial: id, start of an id, or `#` and its number
    pub(crate) trial: String,
    /// Experiment that it belongs to, where the trial alone does not say it
    #[arg(long, short)]
    pub(crate) experiment: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SomeTrials {
    /// Trials: ids, starts of ids, or `#` and numbers
    #[arg(required = true)]
    pub(crate) trials: Vec<String>,
    /// Experiment that they belong to, where the trials alone do not say it
    #[arg(long, short)]
    pub(crate) experiment: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are bools")]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) of: Trial,
    /// Go on until the trial ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// What it wrote to standard error
    #[arg(long, group = "which")]
    pub(crate) stderr: bool,
    /// What it wrote to standard output; the default
    #[arg(long, group = "which")]
    pub(crate) stdout: bool,
    /// The log of NNI's trial SDK
    #[arg(long = "trial", group = "which")]
    pub(crate) trial_log: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) of: Experiment,
    /// Every experiment that runs
    #[arg(long, conflicts_with = "experiment")]
    pub(crate) all: bool,
    /// Ask only; do not wait for the end
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) of: Experiment,
    /// Return as soon as it runs, and print its id
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Stay until it ends; the default
    #[arg(long, conflicts_with = "detach")]
    pub(crate) foreground: bool,
    #[command(flatten)]
    pub(crate) limits: NewLimits,
    #[command(flatten)]
    pub(crate) web: Listen,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Retry {
    /// Trials: ids, starts of ids, or `#` and numbers
    #[arg(required_unless_present = "failed", conflicts_with = "failed")]
    pub(crate) trials: Vec<String>,
    /// Every trial that failed
    #[arg(long)]
    pub(crate) failed: bool,
    /// Experiment that they belong to
    #[arg(long, short)]
    pub(crate) experiment: Option<String>,
}

/// As `nnictl update`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Update {
    /// Most trials at a time
    Concurrency {
        /// Experiment
        experiment: String,
        /// The new limit
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(Limits::MOST_AT_A_TIME)))]
        value: u32,
    },
    /// Most trials in total
    #[command(visible_alias = "max-trials")]
    Trialnum {
        /// Experiment
        experiment: String,
        /// The new limit
        value: u32,
    },
    /// Most time that the experiment runs
    Duration {
        /// Experiment
        experiment: String,
        /// The new limit, such as 90m or 1h30m
        #[arg(value_parser = duration)]
        value: Duration,
    },
    /// Where parameters come from, from now on
    Searchspace {
        /// Experiment
        experiment: String,
        /// The new search space, a JSON file
        #[arg(long, short, value_name = "FILE")]
        filename: PathBuf,
    },
}

/// As `nnictl experiment import`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Learn {
    /// Experiment
    pub(crate) experiment: String,
    /// Results from elsewhere: a JSON list of `{"parameter": {…}, "value": …}`, as `experiment export` writes
    #[arg(long, short, value_name = "FILE")]
    pub(crate) filename: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) of: Experiment,
    /// In which form
    #[arg(long, short, value_enum, default_value = "json")]
    pub(crate) format: Format,
    /// Where to write it; standard output by default
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// With the intermediate results
    #[arg(long)]
    pub(crate) intermediate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As `nnictl experiment export`
    Json,
    /// RFC 4180, one line per trial
    Csv,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Gc {
    /// Experiments that have ended and are to be removed with all that they left
    pub(crate) experiments: Vec<String>,
    /// Remove; without it, only list what would be removed
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// List only, whatever else is said
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Doctor {
    /// Configuration to check for; without it, the platforms of this build
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) what: Option<ConfigWhat>,
    /// Configuration of the experiment, schema 1 or 2
    #[arg(required = true)]
    pub(crate) file: Option<PathBuf>,
    /// With every default and where each value comes from; the default
    #[arg(long)]
    pub(crate) resolved: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigWhat {
    /// Print the JSON Schema of configurations, for editors
    Schema,
    /// Print every key with its type, default and meaning
    Reference,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Migrate {
    /// Configuration of the experiment, schema 1 or 2
    pub(crate) file: PathBuf,
    /// Show what would change, secrets masked
    #[arg(long)]
    pub(crate) diff: bool,
    /// Where to write it; must not exist. Default: standard output
    #[arg(long, short, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file
    #[arg(long, conflicts_with = "output")]
    pub(crate) in_place: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Save {
    #[command(flatten)]
    pub(crate) of: Experiment,
    /// Where to write it; must not exist. Default: the experiment's id and `.tar.gz`, here
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// With the code directory, as it is now
    #[arg(long)]
    pub(crate) code: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// A file of `save`, or an archive of `nnictl experiment save`
    pub(crate) file: PathBuf,
    /// Directory that gets a directory for it. Default: `~/nni-experiments`
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Where the code goes, if the file has it; no other file is overwritten. Default: the experiment's directory, unless there
    /// is something where it was. Of an archive of NNI: where the experiment looks for its code from now on
    #[arg(long, value_name = "DIR")]
    pub(crate) code: Option<PathBuf>,
    /// Of an archive of NNI: the file that gets the search space. Default: one beside the experiment's store
    #[arg(long, value_name = "FILE")]
    pub(crate) search_space: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Import {
    /// NNI's experiment: its folder, or its id
    #[arg(value_name = "DIR|ID")]
    pub(crate) from: PathBuf,
    /// Directory that gets a directory for it. Default: `~/nni-experiments/imported`
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

/// A length of time: `90`, `90s`, `15m`, `1h30m`, `2d`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no length of time; write it as 90s, 15m, 1h30m or 2d");
    let mut total = 0u64;
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return Err(bad()),
        };
        let n: u64 = digits.parse().map_err(|_| bad())?;
        digits.clear();
        total = n.checked_mul(unit).and_then(|s| s.checked_add(total)).ok_or_else(bad)?;
    }
    match (digits.is_empty(), text) {
        (_, "") => Err(bad()),
        (true, _) => Ok(Duration::from_secs(total)),
        (false, _) if total == 0 => digits.parse().map(Duration::from_secs).map_err(|_| bad()),
        (false, _) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_agree_with_themselves() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lengths_of_time() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "h", "1x", "1h30", "-1s", "1.5h", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
