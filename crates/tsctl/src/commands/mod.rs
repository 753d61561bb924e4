//! What the commands do, a file per group. Each takes what it needs and gives an exit code or a failure.

mod archive;
mod code;
mod config;
mod control;
mod doctor;
mod explain;
mod export;
mod gc;
mod import;
mod learn;
mod list;
mod load_nni;
mod logs;
mod manage;
mod migrate;
mod nnictl;
mod plan;
mod resume;
mod run;
mod shell;
mod show;
mod status;
mod web;

use crate::{
    cli::{Cli, Command},
    cli_nni::Meaning,
    environment::Environment,
    exit::Exit,
    load::Failure,
    output::Output,
};
use ts_core::{Clock, SystemClock, Timestamp};

/// Carries out the command line.
pub(crate) fn dispatch(cli: Cli, environment: &Environment, output: &Output) -> Result<Exit, Failure> {
    command(cli.command, environment, output)
}

fn command(command: Command, environment: &Environment, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(environment, output, &args),
        Command::Validate(args) => plan::validate(environment, output, &args),
        Command::Plan(args) => plan::plan(environment, output, &args),
        Command::Code(args) => code::code(environment, output, &args),
        Command::Ls(args) => list::experiments(environment, output, args),
        Command::Status(args) => status::status(environment, output, &args),
        Command::Trials(args) => list::trials(environment, output, &args),
        Command::Show(args) => show::show(environment, output, &args),
        Command::Logs(args) => logs::logs(environment, output, &args),
        Command::Metrics(args) => show::metrics(environment, output, &args),
        Command::Explain(args) => explain::explain(environment, output, &args),
        Command::Cancel(args) => control::cancel(environment, output, &args),
        Command::Stop(args) => control::stop(environment, output, &args),
        Command::Resume(args) => resume::resume(environment, output, &args),
        Command::Retry(args) => control::retry(environment, output, &args),
        Command::Update(args) => control::update(environment, output, &args),
        Command::Web(args) => web::web(environment, output, &args),
        Command::Learn(args) => learn::import(environment, output, &args),
        Command::Export(args) => export::export(environment, output, &args),
        Command::Gc(args) => gc::gc(environment, output, &args),
        Command::Doctor(args) => doctor::doctor(environment, output, &args),
        Command::Config(args) => config::config(environment, output, &args),
        Command::Save(args) => archive::save(environment, output, &args),
        Command::Load(args) => archive::load(environment, output, &args),
        Command::Nnictl { arguments } => nnictl::nnictl(environment, output, arguments),
        Command::Import(args) => import::import(environment, output, &args),
        Command::Migrate(args) => migrate::migrate(environment, output, &args),
        Command::Completions { shell } => shell::completions(output, shell),
        Command::Man => shell::man(output),
        Command::Manage { directory, web } => manage::manage(output, &directory, &web),
        Command::Nni(nni) => match nni.meaning() {
            Meaning::Command(same) => self::command(same, environment, output),
            Meaning::ManagerLog(of) => logs::manager_log(environment, output, &of),
        },
    }
}

/// The time, for what is shown to people.
fn now() -> Timestamp {
    SystemClock::new().now()
}
