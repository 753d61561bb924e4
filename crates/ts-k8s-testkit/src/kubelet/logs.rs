//! Which log a request means, and what it is told where there is none. `log_read` reads it.
//!
//! What the API server checks before it asks a node, such as the names of containers, is not checked again. Sources: kubernetes
//! v1.20, `pkg/kubelet/server/server.go`, `getContainerLogs`; `pkg/kubelet/kubelet_pods.go`, `validateContainerLogStatus`. The
//! messages were observed on v1.20.2.

use super::{
    clock,
    log_read::{self, Options},
    pod::Cell,
    shared::{NODE, Shared},
    status::State,
};
use crate::PodRef;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// The log of a container.
pub(super) fn log(
    shared: &Shared,
    pod: &PodRef,
    query: &HashMap<String, String>,
) -> Result<BoxStream<'static, Bytes>, (u16, String)> {
    let container = query.get("container").map_or("", String::as_str);
    if shared.is_lost() {
        return Err(unreachable("containerLogs", pod, container));
    }
    let options = options(query)?;
    let run = shared.pods().get(&pod.uid).cloned();
    let run = run.ok_or_else(|| (404, format!("pod \"{}\" does not exist", pod.name)))?;
    let state = run.state();
    let cell = state.cells().find(|cell| cell.told.name == container);
    let cell = cell.ok_or_else(|| {
        (
            404,
            format!("container \"{container}\" not found in pod \"{}\"", pod.name),
        )
    })?;
    let id = run_id(cell, &pod.name, flag(query, "previous")).map_err(|message| (400, message))?;
    let Some(log) = cell.log(&id) else {
        return Ok(stream::empty().boxed());
    };
    let text = log_read::read(log, options).map_err(|error| (500, error.to_string()))?;
    let mut lost = shared.lost.subscribe();
    Ok(text
        .take_until(Box::pin(async move { lost.wait_for(|lost| *lost).await.is_ok() }))
        .boxed())
}

/// What the API server says when the node does not answer.
pub(super) fn unreachable(what: &str, pod: &PodRef, container: &str) -> (u16, String) {
    let address = "127.0.0.1:10250";
    let url = format!("https://{address}/{what}/{}/{}/{container}", pod.namespace, pod.name);
    (
        500,
        format!("Get \"{url}\": dial tcp {address}: connect: no route to host (node {NODE})"),
    )
}

/// The id of the run whose log is meant.
fn run_id(cell: &Cell, pod: &str, previous: bool) -> Result<String, String> {
    let told = &cell.told;
    let name = &told.name;
    if previous {
        let last = told.last.as_ref().map(|ended| ended.id.clone());
        return last.ok_or_else(|| format!("previous terminated container \"{name}\" in pod \"{pod}\" not found"));
    }
    match (&told.state, &told.last) {
        (State::Running { .. }, _) => Ok(told.id.clone().unwrap_or_default()),
        (State::Ended(ended), _) | (State::Waiting { .. }, Some(ended)) => Ok(ended.id.clone()),
        (State::Waiting { reason, .. }, None) => {
            let why = match reason.as_str() {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                other => other,
            };
            Err(format!(
                "container \"{name}\" in pod \"{pod}\" is waiting to start: {why}"
            ))
        }
    }
}

fn options(query: &HashMap<String, String>) -> Result<Options, (u16, String)> {
    let number = |key: &str| match query.get(key) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| (400, "Unable to decode query.".to_owned())),
    };
    let time = match query.get("sinceTime") {
        None => None,
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| {
            (
                400,
                format!(
                    "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\""
                ),
            )
        })?),
    };
    let since = match (number("sinceSeconds")?, time) {
        (Some(seconds), _) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Some(
                clock::now()
                    .checked_sub(SignedDuration::from_secs(seconds))
                    .unwrap_or(Timestamp::MIN),
            )
        }
        // The API server asks the kubelet with whole seconds.
        (None, time) => time.map(|time| Timestamp::from_second(time.as_second()).unwrap_or(time)),
    };
    Ok(Options {
        follow: flag(query, "follow"),
        timestamps: flag(query, "timestamps"),
        since,
        tail: number("tailLines")?,
        limit: number("limitBytes")?,
    })
}

/// Source: apimachinery v0.20, `pkg/runtime/converter.go`, `Convert_Slice_string_To_bool`: whatever is not `false` or `0` is true.
fn flag(query: &HashMap<String, String>, key: &str) -> bool {
    query
        .get(key)
        .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
}

#[cfg(test)]
mod tests {
    use super::options;
    use std::collections::HashMap;

    fn asked(query: &[(&str, &str)]) -> Result<super::Options, (u16, String)> {
        options(
            &query
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<HashMap<_, _>>(),
        )
    }

    #[test]
    fn times_have_whole_seconds() {
        let options = asked(&[
            ("sinceTime", "2026-01-01T00:00:01.9Z"),
            ("follow", "1"),
            ("timestamps", "false"),
        ]);
        let options = options.expect("accepted");
        assert_eq!(
            options.since.map(|time| time.to_string()).as_deref(),
            Some("2026-01-01T00:00:01Z")
        );
        assert!(options.follow && !options.timestamps);
        assert_eq!(asked(&[("sinceTime", "x")]).expect_err("refused").0, 400);
        assert_eq!(asked(&[("tailLines", "-1")]).expect_err("refused").0, 400);
    }
}
