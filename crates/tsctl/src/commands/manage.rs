//! Managers in a process of their own: starting one, and being one.
//!
//! The new process is a session of its own, so a closed terminal does not concern it. It reports over its standard output
//! that it runs, or why not, in one line; everything else it says goes to `log/manager.log`.

use super::{resume, run};
use crate::{
    cli::Resume,
    cli_web::Listen,
    exit::Exit,
    load::Failure,
    output::Output,
    render::failure,
    session::{self, Ready},
    web::{self, Front},
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};
use ts_core::{Error, ErrorKind, Result};
use ts_manager::{ExperimentDirectory, store::StoreReader};

/// Starts a manager of an experiment that exists, waits until it runs, and gives its process id.
pub(super) fn spawn(directory: &ExperimentDirectory, web: &Listen) -> Result<u32> {
    let log_path = directory.log().join("manager.log");
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|e| Error::io("open", &log_path, e))?;
    let program = std::env::current_exe().map_err(|e| Error::new(ErrorKind::Io, "cannot find tsctl").with_source(e))?;
    let mut child = Command::new(&program)
        .arg("__manage")
        .arg(directory.path())
        .args(web.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|e| Error::io("start", &program, e))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        // A child that dies closes the pipe: the line stays empty.
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    let answer: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
    if answer["ready"] == true {
        return Ok(child.id());
    }
    let text = |name: &str| answer["error"][name].as_str();
    let message = text("message").unwrap_or("the manager ended before it ran");
    let kind = match answer["error"]["exitCode"].as_u64() {
        Some(2) => ErrorKind::Config,
        Some(3) => ErrorKind::CodeDir,
        Some(5) => ErrorKind::Conflict,
        _ => ErrorKind::Io,
    };
    let error = Error::new(kind, message);
    let error = match text("key") {
        Some(key) => error.with_key(key),
        None => error,
    };
    Err(error.with_help(text("help").map_or_else(|| format!("its log is `{}`", log_path.display()), str::to_owned)))
}

/// Runs an experiment as the process that [`spawn`] started.
pub(super) fn manage(output: &Output, path: &Path, listen: &Listen) -> Result<Exit, Failure> {
    // Fails where the process leads a group already, which a shell's job does; then it is apart from the others anyway.
    let _ = rustix::process::setsid();
    let directory = ExperimentDirectory::at(path);
    let python = || Ok(web::python(&StoreReader::open(&directory.store())?.experiment()?));
    let front = Front::wanted(listen, python);
    let opened = front.map_err(Failure::from).and_then(|front| {
        let mut session = resume::open(output, &directory, crate::cli::NewLimits::default())?;
        session.front = front;
        Ok(session)
    });
    let session = match opened {
        Ok(session) => session,
        Err(failure) => {
            let object = match &failure {
                Failure::Error(error) => failure::object(error, &failure::causes(error)),
                Failure::Errors(errors) => errors
                    .first()
                    .map_or(Value::Null, |error| failure::object(error, &failure::causes(error))),
                Failure::Configuration(problems) => json!({
                    "exitCode": Exit::Usage.code(),
                    "message": problems.first().map(ToString::to_string),
                    "help": problems.first().and_then(|problem| problem.help.clone()),
                }),
            };
            output.line(json!({ "error": object }))?;
            return Err(failure);
        }
    };
    let optimize = session.optimize;
    match session.run(output, &mut Tell(output))? {
        session::End::Outcome(outcome) => {
            output.say(format_args!("ended: {}", outcome.status));
            let reader = StoreReader::open(&directory.store())?;
            Ok(session::meaning(&crate::render::experiment::State::read(
                &reader, optimize,
            )?))
        }
        session::End::Left => Ok(Exit::Interrupted),
    }
}

struct Tell<'a>(&'a Output);

impl Ready for Tell<'_> {
    fn ready(&mut self) -> Result<()> {
        self.0.line(json!({ "ready": true }))
    }
}

/// Whether the experiment is to be run here or apart, in one place for `run`-like commands.
pub(super) fn here_or_apart(
    output: &Output,
    args: &Resume,
    id: &ts_core::ExperimentId,
    session: session::Session,
) -> Result<Exit, Failure> {
    if !args.detach {
        return run::foreground(output, id, session);
    }
    let directory = session.directory.clone();
    drop(session);
    run::detached(output, id, &directory, &args.web)
}
