//! The nouns and verbs of `nnictl`, hidden, turned into the commands that do the same.
//!
//! Source: nni v3.0, `nni/tools/nnictl/nnictl.py`.

use crate::{
    cli,
    cli_web::{Listen, Web},
};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// As `run --detach`
    #[command(hide = true)]
    Create {
        /// Configuration of the experiment
        #[arg(long, short)]
        config: PathBuf,
        /// Stay until it ends
        #[arg(long, short)]
        foreground: bool,
        #[command(flatten)]
        web: Listen,
    },
    /// As `status`, with a port as `web`
    #[command(hide = true)]
    View {
        /// Experiment
        experiment: Option<String>,
        #[command(flatten)]
        web: Listen,
    },
    /// As `trials` and `cancel`
    #[command(hide = true, subcommand)]
    Trial(Trial),
    /// As `ls`, `status`, `export` and `gc`
    #[command(hide = true, subcommand)]
    Experiment(Experiment),
    /// As `logs`
    #[command(hide = true, subcommand)]
    Log(Log),
    /// As `status --follow`
    #[command(hide = true)]
    Top {
        /// Experiment
        experiment: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trial {
    /// As `trials`
    Ls {
        /// Experiment
        experiment: Option<String>,
    },
    /// As `cancel`
    Kill {
        /// Experiment
        experiment: Option<String>,
        /// Trial
        #[arg(long = "trial_id", short = 'T', alias = "trial-id")]
        trial: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    /// As `ls`
    List {
        /// Also those that have ended
        #[arg(long)]
        all: bool,
    },
    /// As `status`
    Show {
        /// Experiment
        experiment: Option<String>,
    },
    /// As `status`
    Status {
        /// Experiment
        experiment: Option<String>,
    },
    /// As `import`
    Import(cli::Learn),
    /// As `gc EXPERIMENT --yes`
    Delete {
        /// Experiment
        experiment: String,
    },
    /// As `export`
    Export {
        /// Experiment
        experiment: Option<String>,
        /// Where to write it
        #[arg(long, short)]
        filename: Option<PathBuf>,
        /// In which form
        #[arg(long = "type", short = 't', value_enum, default_value = "json")]
        format: cli::Format,
        /// With the intermediate results
        #[arg(long, short)]
        intermediate: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Output of the manager
    Stdout {
        /// Experiment
        experiment: Option<String>,
    },
    /// Errors of the manager
    Stderr {
        /// Experiment
        experiment: Option<String>,
    },
    /// As `logs`
    Trial {
        /// Experiment
        experiment: Option<String>,
        /// Trial
        #[arg(long = "trial_id", short = 'T', alias = "trial-id")]
        trial: String,
    },
}

/// What a command of `nnictl` means here.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// One of our commands.
    Command(cli::Command),
    /// Print the log of the experiment's manager.
    ManagerLog(cli::Experiment),
}

impl Command {
    /// The command that does the same.
    pub(crate) fn meaning(self) -> Meaning {
        use cli::Command as To;
        let status = |experiment, follow| {
            To::Status(cli::Status {
                of: cli::Experiment { experiment },
                follow,
            })
        };
        Meaning::Command(match self {
            Self::Create {
                config,
                foreground,
                web,
            } => To::Run(cli::Run {
                file: config,
                detach: !foreground,
                limits: cli::NewLimits::default(),
                web,
            }),
            Self::View { experiment, web } => match web.wanted() {
                Some(listen) => To::Web(Web {
                    of: cli::Experiment { experiment },
                    port: listen.port,
                    address: web.address,
                    url_prefix: web.url_prefix,
                    token_file: web.token_file,
                    page: web.page,
                }),
                None => status(experiment, false),
            },
            Self::Top { experiment } => status(experiment, true),
            Self::Trial(Trial::Ls { experiment }) => To::Trials(cli::Trials {
                of: cli::Experiment { experiment },
                ..cli::Trials::default()
            }),
            Self::Trial(Trial::Kill { experiment, trial }) => To::Cancel(cli::SomeTrials {
                trials: vec![trial],
                experiment,
            }),
            Self::Experiment(Experiment::List { all }) => To::Ls(cli::Ls { running: !all }),
            Self::Experiment(Experiment::Show { experiment } | Experiment::Status { experiment }) => {
                status(experiment, false)
            }
            Self::Experiment(Experiment::Import(args)) => To::Learn(args),
            Self::Experiment(Experiment::Delete { experiment }) => To::Gc(cli::Gc {
                experiments: vec![experiment],
                yes: true,
                dry_run: false,
            }),
            Self::Experiment(Experiment::Export {
                experiment,
                filename,
                format,
                intermediate,
            }) => To::Export(cli::Export {
                of: cli::Experiment { experiment },
                format,
                output: filename,
                intermediate,
            }),
            Self::Log(Log::Trial { experiment, trial }) => To::Logs(cli::Logs {
                of: cli::Trial { trial, experiment },
                follow: false,
                stderr: false,
                stdout: false,
                trial_log: false,
            }),
            Self::Log(Log::Stdout { experiment } | Log::Stderr { experiment }) => {
                return Meaning::ManagerLog(cli::Experiment { experiment });
            }
        })
    }
}
