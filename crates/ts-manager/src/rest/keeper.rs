//! What NNI's `trial_keeper` says of the trial that it runs: its version, lines of output, metrics.
//!
//! Source: nni v1.9 and v2.10, `ts/nni_manager/training_service/common/clusterJobRestServer.ts`; the keeper in
//! `nni/tools/trial_tool/`. NNI listens for it on a port of its own; here it is the port of the API.

use super::{
    answer::{self, JSON},
    error::no_trial,
    input::{Document, Named},
    state::State,
    v1::{Failure, Refused},
};
use crate::{control::Request, store::TrialRow};
use axum::{
    Router, extract,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
};
use ts_core::{
    Error, ErrorKind, ExperimentId, Result, TrialId,
    journal::{FrameParser, Piece},
};

/// Where all of it is.
const ROOT: &str = "/api/v1/nni-pai";
/// Name of the file for lines that are no metrics, in the trial's directory.
const LINES: &str = "stdout_log_collection.log";
/// What a line with a metric holds. Source: nni v2.10, `nni/runtime/platform/local.py`, `send_metric`.
const MARKER: &str = "NNISDK_MEb'";
/// Most bytes of told parameter files, and most of the lines of a trial.
const MOST_FILES: u64 = 1 << 20;
const MOST_LINES: u64 = 1 << 30;

pub(super) fn routes() -> Router<State> {
    let routes = Router::new()
        .route("/version/{experiment}/{trial}", post(version))
        .route("/stdout/{experiment}/{trial}", post(line))
        .route("/update-metrics/{experiment}/{trial}", post(metrics))
        .route("/parameter-file-meta", get(files).post(file));
    Router::new().nest(ROOT, routes)
}

type Body<T> = Result<Document<T>, Refused>;

#[derive(Debug, Deserialize)]
struct Version {
    tag: String,
    msg: Option<String>,
}

/// Another version than ours is worth a word, and no reason to end the trial.
async fn version(
    extract::State(state): extract::State<State>,
    Named(of): Named<(String, String)>,
    body: Body<Version>,
) -> Result<Response, Failure> {
    let Document(Version { tag, msg }) = body?;
    let row = trial(&state, &of).await?;
    match tag.as_str() {
        "VCSuccess" => Ok(done()),
        "VCFail" => {
            let msg = msg.unwrap_or_else(|| "it does not say which".to_owned());
            tracing::warn!(trial = %row.spec.id, "the trial's keeper is of another version: {msg}");
            Ok(done())
        }
        other => {
            let message = format!("`tag` is `{}`, not `VCSuccess` or `VCFail`", other.escape_debug());
            Err(Error::new(ErrorKind::Config, message).into())
        }
    }
}

#[derive(Debug, Deserialize)]
struct Line {
    tag: String,
    #[serde(default)]
    msg: String,
}

/// A line of the trial or of its keeper: a metric if the trial says one, else kept in a file.
async fn line(
    extract::State(state): extract::State<State>,
    Named(of): Named<(String, String)>,
    body: Body<Line>,
) -> Result<Response, Failure> {
    let Document(Line { tag, msg }) = body?;
    let row = trial(&state, &of).await?;
    if tag == "trial"
        && let Some(bodies) = bodies(&msg)
    {
        return report(&state, row.spec.id, bodies).await;
    }
    let directory = state.directory.path().join("trials").join(row.spec.id.as_str());
    let file = directory.join(LINES);
    state
        .ctx
        .tasks
        .blocking(move || append(&file, &format!("{msg}\n"), MOST_LINES))
        .await?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    job_id: String,
    metrics: Vec<String>,
}

async fn metrics(
    extract::State(state): extract::State<State>,
    Named(of): Named<(String, String)>,
    body: Body<Metrics>,
) -> Result<Response, Failure> {
    let Document(Metrics { job_id, metrics }) = body?;
    let row = trial(&state, &of).await?;
    if job_id != row.spec.id.as_str() {
        return Err(Error::new(ErrorKind::Config, "`jobId` is not the trial that the address names").into());
    }
    report(&state, row.spec.id, metrics).await
}

/// A file with further parameters, which keepers without a storage of their own look for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParameterFile {
    experiment_id: String,
    trial_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path: Option<String>,
}

async fn file(extract::State(state): extract::State<State>, body: Body<ParameterFile>) -> Result<Response, Failure> {
    let Document(told) = body?;
    trial(&state, &(told.experiment_id.clone(), told.trial_id.clone())).await?;
    let text = serde_json::to_string(&told)
        .map_err(|e| Error::new(ErrorKind::Internal, "a name cannot be written as JSON").with_source(e))?;
    let list = told_files(&state);
    state
        .ctx
        .tasks
        .blocking(move || append(&list, &format!("{text}\n"), MOST_FILES))
        .await?;
    Ok(done())
}

async fn files(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let list = told_files(&state);
    let text = state
        .ctx
        .tasks
        .blocking(move || match fs::read_to_string(&list) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("read", &list, e)),
            text => Ok(text.unwrap_or_default()),
        })
        .await?;
    // A line that was cut by a crash was never acknowledged.
    let told: Vec<ParameterFile> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    Ok(answer::json(StatusCode::OK, &told))
}

fn told_files(state: &State) -> PathBuf {
    state.directory.path().join("parameter-files.jsonl")
}

/// The trial that an address names.
async fn trial(state: &State, (experiment, id): &(String, String)) -> Result<TrialRow> {
    let row = state.trial(id).await?;
    match ExperimentId::new(experiment) {
        Ok(named) if named == row.spec.experiment => Ok(row),
        _ => Err(no_trial(id)),
    }
}

/// Answered once all of them are stored.
async fn report(state: &State, trial: TrialId, bodies: Vec<String>) -> Result<Response, Failure> {
    let response = state.commands.ask(Request::Report { trial, bodies }).await?;
    match response.problems.into_iter().next() {
        None => Ok(done()),
        Some(problem) => Err(Error::new(ErrorKind::Rejected, problem).into()),
    }
}

/// The metrics in what a trial has written; `None` if there is none.
fn bodies(text: &str) -> Option<Vec<String>> {
    let bodies: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let mut parser = FrameParser::new(&[]);
            parser.push(line.get(line.find(MARKER)?..)?.as_bytes());
            parser.push(b"\n");
            match parser.next(true)? {
                Piece::Record { payload, .. } => String::from_utf8(payload).ok(),
                Piece::Skipped { .. } => None,
            }
        })
        .collect();
    (!bodies.is_empty()).then_some(bodies)
}

/// Adds text to a file that grows to `most` bytes.
fn append(file: &PathBuf, text: &str, most: u64) -> Result<()> {
    let append = || -> io::Result<bool> {
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut out = OpenOptions::new().create(true).append(true).open(file)?;
        if out.metadata()?.len() + text.len() as u64 > most {
            return Ok(false);
        }
        out.write_all(text.as_bytes())?;
        Ok(true)
    };
    match append() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(
            ErrorKind::NoCapacity,
            format!("`{}` has grown to its limit of {most} bytes", file.display()),
        )),
        Err(e) => Err(Error::io("write to", file, e)),
    }
}

/// An answer without content.
fn done() -> Response {
    answer::bytes(JSON, Bytes::new()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_in_what_a_trial_has_written() {
        let body = r#"{"type": "FINAL", "value": "it's"}"#;
        let line = format!("NNISDK_MEb'{body}'");
        assert_eq!(bodies(&line), Some(vec![body.to_owned()]), "an apostrophe ends nothing");
        assert_eq!(
            bodies(&format!("epoch 1 {line}\r\n{line}")).map(|all| all.len()),
            Some(2)
        );
        for other in ["", "epoch 1", "NNISDK_MEb'{", "ME000003{}\n", "NNISDK_MEb'{}' and more"] {
            assert_eq!(bodies(other), None, "{other}");
        }
    }
}
