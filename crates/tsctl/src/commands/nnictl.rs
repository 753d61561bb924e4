//! `nnictl …`: NNI's command lines, carried out by the commands that do the same.

use crate::{
    cli::Cli,
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate::{self, Place},
    nnictl_line::{Meaning, Nnictl},
    output::Output,
};
use clap::{CommandFactory as _, Parser as _, error::ErrorKind as Mistake};
use std::ffi::OsString;
use ts_core::{Error, ErrorKind, Result};

/// Carries out a command line of `nnictl`.
pub(crate) fn nnictl(environment: &Environment, output: &Output, arguments: Vec<OsString>) -> Result<Exit, Failure> {
    let given = std::iter::once(OsString::from("nnictl")).chain(arguments);
    let parsed = match Nnictl::try_parse_from(given) {
        Ok(parsed) => parsed,
        Err(mistake) => return Ok(explain(&mistake)),
    };
    match parsed.meaning() {
        Meaning::Tsctl(line) => tsctl(environment, output, line),
        Meaning::OfDefault(mut line, at) => {
            let place = locate::experiment(environment, output, None)?;
            line.insert(at, place.id.as_str().into());
            tsctl(environment, output, line)
        }
        Meaning::StopPort(port) => stop_port(environment, output, port),
        Meaning::DeleteAll => delete_all(environment, output),
        Meaning::ManagerLog { id, head, tail, path } => {
            manager_log(environment, output, id.as_deref(), head, tail, path)
        }
        Meaning::WebUrl(id) => web_url(environment, output, id.as_deref()),
        Meaning::ShowConfig(id) => show_config(environment, output, id.as_deref()),
        Meaning::Version => {
            let version = Cli::command().render_version();
            output.line(version.trim())?;
            Ok(Exit::Success)
        }
        Meaning::Instead(what, instead) => Err(Error::unsupported(what).with_help(instead).into()),
    }
}

/// Help is data and no mistake.
fn explain(mistake: &clap::Error) -> Exit {
    // Nobody can be told that nobody reads.
    let _ = mistake.print();
    if mistake.use_stderr() {
        Exit::Usage
    } else {
        Exit::Success
    }
}

/// Carries out a command line of ours; the global options are those that hold already.
fn tsctl(environment: &Environment, output: &Output, line: Vec<OsString>) -> Result<Exit, Failure> {
    let given = std::iter::once(OsString::from("tsctl")).chain(line);
    let cli = match Cli::try_parse_from(given) {
        Ok(cli) => cli,
        Err(mistake) => {
            let is_unknown = matches!(mistake.kind(), Mistake::UnknownArgument | Mistake::InvalidSubcommand);
            if is_unknown {
                let error = Error::unsupported("this build of tsctl cannot do that");
                return Err(error.with_help("`tsctl --help` lists what it can").into());
            }
            return Ok(explain(&mistake));
        }
    };
    super::dispatch(cli, environment, output)
}

fn delete_all(environment: &Environment, output: &Output) -> Result<Exit, Failure> {
    let ended = locate::all(environment)?
        .into_iter()
        .filter(|place| place.directory.manager().is_none());
    let ids: Vec<OsString> = ended.map(|place| place.id.as_str().into()).collect();
    if ids.is_empty() {
        output.say("there is no experiment that has ended");
        return Ok(Exit::Success);
    }
    let line = ["gc", "--yes"].map(OsString::from).into_iter().chain(ids);
    tsctl(environment, output, line.collect())
}

fn manager_log(
    environment: &Environment,
    output: &Output,
    id: Option<&str>,
    head: Option<usize>,
    tail: Option<usize>,
    path: bool,
) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, id)?;
    let file = place.directory.log().join("manager.log");
    if path {
        output.line(file.display())?;
        return Ok(Exit::Success);
    }
    if head.is_none() && tail.is_none() {
        let of = crate::cli::Experiment {
            experiment: Some(place.id.to_string()),
        };
        return super::logs::manager_log(environment, output, &of);
    }
    let text = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = tail.map_or(0, |n| lines.len().saturating_sub(n));
    for line in lines.iter().skip(from).take(head.unwrap_or(usize::MAX)) {
        output.line(line)?;
    }
    Ok(Exit::Success)
}

/// The address that a running manager has written down.
fn web_url(environment: &Environment, output: &Output, id: Option<&str>) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, id)?;
    let url = served(&place);
    let Some(url) = url else {
        let message = format!("experiment {} serves no web page", place.id);
        let help = "`--port` of `create` and `resume` has it served while the experiment runs";
        return Err(Error::new(ErrorKind::NotFound, message).with_help(help).into());
    };
    output.line(&url)?;
    Ok(Exit::Success)
}

/// Where an experiment is served by its manager, which runs.
fn served(place: &Place) -> Option<String> {
    let address = ts_manager::rest::address(&place.directory)?;
    place.directory.manager().map(|_| address.url)
}

fn stop_port(environment: &Environment, output: &Output, port: u16) -> Result<Exit, Failure> {
    let all = locate::all(environment)?;
    let is_there = |place: &&Place| {
        let url = served(place).unwrap_or_default();
        let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
        host.is_some_and(|host| host.ends_with(&format!(":{port}")))
    };
    let Some(place) = all.iter().find(is_there) else {
        let error = Error::new(ErrorKind::NotFound, format!("no experiment is served at port {port}"));
        return Err(error.with_help("`tsctl ls --running` lists those that run").into());
    };
    tsctl(environment, output, vec!["stop".into(), place.id.as_str().into()])
}

/// The configuration as it was understood; it holds no secret.
fn show_config(environment: &Environment, output: &Output, id: Option<&str>) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, id)?;
    let row = place.reader()?.experiment()?;
    let resolved = &row.config["resolved"];
    output.data(resolved, || format!("{resolved:#}\n"))?;
    Ok(Exit::Success)
}
