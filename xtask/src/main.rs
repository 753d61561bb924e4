//! The workspace's own tool: checks, tests, measures and packs. Run it as `cargo xtask`.
//!
//! It stands outside the product: it depends on none of the workspace's crates and drives them the way a user would, by
//! `cargo` and by the built `tsctl`.

#![expect(clippy::disallowed_macros, reason = "a command-line tool talks to whoever runs it")]

mod bench;
mod ci;
mod dist;
mod e2e;
mod licenses;
mod live;
mod report;
mod shell;
mod test;
mod tidy;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Checks, tests, measures and packs this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs all tests that need Rust only: unit, integration, conformance and documentation tests.
    Test,
    /// Runs what a change must pass: format, lints, house rules, docs, licenses, each crate alone, tests.
    Ci {
        /// Leaves the tests out, for a run that follows `cargo xtask test`.
        #[arg(long)]
        no_test: bool,
    },
    /// Checks the house rules that no compiler knows.
    Tidy,
    /// Tests against real components of others, which are installed if they are missing: nni, ssh, k8s, azure, web.
    E2e {
        /// Which components; all of them if none is named.
        #[arg(value_delimiter = ',')]
        components: Vec<String>,
        /// Only the scenarios whose names contain this text.
        #[arg(long, default_value = "", hide_default_value = true)]
        only: String,
    },
    /// Runs a few trials on your own platform, with the credentials of a configuration that works there: pai, dlts, aml, any.
    Live {
        /// The configuration, of either schema.
        file: PathBuf,
    },
    /// Measures a release build; a full run writes docs/benchmarks.md: pool, start, latency, memory, simulated, pack, ssh, k8s.
    Bench {
        /// Which measurements; all of them if none is named.
        #[arg(value_delimiter = ',')]
        measurements: Vec<String>,
        /// Measures a tenth of everything, to see whether it works.
        #[arg(long)]
        quick: bool,
    },
    /// Builds what is handed out into `target/dist/`: `tsctl`, completions, manual page, checksums.
    Dist {
        /// Instead: prints the crates in the order of publication, and packs each.
        #[arg(long)]
        publish_order: bool,
    },
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().command {
        Command::Test => test::run()?,
        Command::Ci { no_test } => ci::run(!no_test)?,
        Command::Tidy => tidy::run()?,
        Command::E2e { components, only } => e2e::run(&components, &only)?,
        Command::Live { file } => live::run(&file)?,
        Command::Bench { measurements, quick } => bench::run(&measurements, quick)?,
        Command::Dist { publish_order: true } => dist::publish_order()?,
        Command::Dist { publish_order: false } => dist::run()?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
