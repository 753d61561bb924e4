//! Files of trials: the names that NNI serves, and no other.

use super::{Failure, no_trial};
use crate::{
    rest::{state::State, stream, v2::open},
    view,
};
use axum::{
    extract::{self, Path},
    response::Response,
};
use std::{io, path::PathBuf};
use ts_core::{Error, ErrorKind, Result};

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// A file that may be asked for, with its type.
///
/// Source: nni v2.10, `ts/nni_manager/rest_server/restHandler.ts`, `getTrialFile`; v3.0 takes any name, which reaches any file.
fn known(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "trial.log" => Some(("trial.log", TEXT)),
        "stdout" => Some(("stdout", TEXT)),
        "stderr" => Some(("stderr", TEXT)),
        "model.onnx" => Some(("model.onnx", BYTES)),
        _ => None,
    }
}

pub(super) async fn file(
    extract::State(state): extract::State<State>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (name, content_type) = known(&name).ok_or_else(|| {
        let message = format!("a trial has no file `{}` here", name.escape_debug());
        Error::new(ErrorKind::NotFound, message).with_help("files are trial.log, stdout, stderr and model.onnx")
    })?;
    send(&state, &id, name, content_type, &format!("{name} is empty.")).await
}

pub(super) async fn log(
    extract::State(state): extract::State<State>,
    Path((id, kind)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let name = match kind.as_str() {
        "TRIAL_LOG" => "trial.log",
        "TRIAL_ERROR" => "stderr",
        "TRIAL_STDOUT" => "stdout",
        _ => {
            let message = format!("a trial has no log `{}`", kind.escape_debug());
            return Err(Error::new(ErrorKind::NotFound, message).into());
        }
    };
    send(&state, &id, name, TEXT, "No logs available.").await
}

/// A log of the experiment's own, by NNI's names.
pub(super) async fn experiment_log(
    extract::State(state): extract::State<State>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let own = match name.as_str() {
        "nnimanager.log" => "manager.log",
        "dispatcher.log" => "dispatcher.log",
        _ => {
            let message = format!("the experiment has no log `{}` here", name.escape_debug());
            return Err(Error::new(ErrorKind::NotFound, message)
                .with_help("logs are nnimanager.log and dispatcher.log")
                .into());
        }
    };
    let path = state.directory.log().join(own);
    Ok(
        stream::reply(&state, TEXT, move |_, out| match copy(Some(&path), out)? {
            0 => out.text(&format!("{name} is empty.")),
            _ => Ok(()),
        })
        .await?,
    )
}

/// Sends a file of a trial, or words that say that it is empty.
async fn send(
    state: &State,
    id: &str,
    name: &'static str,
    content_type: &'static str,
    empty: &str,
) -> Result<Response, Failure> {
    let row = state.trial(id).await.map_err(|_| no_trial(id))?;
    let directory = match view::directory(row.url.as_deref()) {
        Some(directory) => Some(directory),
        None if row.submitted => {
            let message = "the files of this trial are not on this machine";
            let help = format!("`tsctl logs {id}` reads them through the platform");
            return Err(Error::new(ErrorKind::Unsupported, message).with_help(help).into());
        }
        None => None,
    };
    let (path, empty) = (directory.map(|dir| dir.join(name)), empty.to_owned());
    Ok(
        stream::reply(state, content_type, move |_, out| match copy(path.as_ref(), out)? {
            0 if content_type == BYTES => Err(Error::new(ErrorKind::NotFound, format!("the trial has no `{name}`"))),
            0 => out.text(&empty),
            _ => Ok(()),
        })
        .await?,
    )
}

/// How many bytes there were; none of a file that is not there.
fn copy(path: Option<&PathBuf>, out: &mut impl io::Write) -> Result<u64> {
    let Some(path) = path else { return Ok(0) };
    let mut file = match open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    io::copy(&mut file, out).map_err(|e| Error::io("read", path, e))
}
