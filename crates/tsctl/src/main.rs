//! `tsctl`: the command line of the training-service layer.
//!
//! Reads arguments, calls a command, turns its end into an exit code. Decisions belong to the libraries.

mod algorithms;
mod cli;
mod cli_nni;
mod cli_web;
mod commands;
mod environment;
mod exit;
mod follow;
mod load;
mod locate;
mod log;
mod nni_archive;
mod nni_home;
mod nni_params;
mod nni_portal;
mod nnictl_line;
mod output;
mod platforms;
mod registry;
mod render;
mod secrets;
mod session;
#[cfg(feature = "otel")]
mod telemetry;
mod undo;
mod web;

use clap::Parser;
use exit::Exit;
use load::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse_from(nnictl_line::arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data and no mistake; a reader that went away is none either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success }.into();
        }
    };
    let environment = environment::Environment::read();
    let output = output::Output::new(&environment, cli.global);
    output.log.collect(cli.global.quiet, cli.global.verbose);
    let exit = match commands::dispatch(cli, &environment, &output) {
        Ok(exit) => exit,
        Err(Failure::Error(error)) => {
            output.error(&error);
            Exit::of(&error)
        }
        Err(Failure::Errors(errors)) => {
            for error in &errors {
                output.error(error);
            }
            errors.first().map_or(Exit::Failure, Exit::of)
        }
        Err(Failure::Configuration(problems)) => {
            output.problems(&problems);
            Exit::Usage
        }
    };
    exit.into()
}
