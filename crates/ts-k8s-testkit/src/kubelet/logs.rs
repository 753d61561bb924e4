//! Which log a request means, and what it is told where there is none. `log_read` reads it.
//!
//! Sources: kubernetes v1.20, `pkg/registry/core/pod/strategy.go`, `LogLocation`, and `pkg/apis/core/validation/validation.go`,
//! `ValidatePodLogOptions`, for what the API server answers; `pkg/kubelet/kubelet_pods.go`, `validateContainerLogStatus`, for what
//! the kubelet does. The messages were observed on v1.20.2.

use super::{
    clock,
    log_read::{self, Options},
    pod::{Cell, PodRun},
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
    let options = options(pod, query)?;
    if shared.waiting().contains(&pod.uid) {
        // No kubelet could be asked.
        return Ok(stream::empty().boxed());
    }
    let run = shared.pods().get(&pod.uid).cloned();
    let run = run.ok_or_else(|| (404, format!("pod \"{}\" does not exist", pod.name)))?;
    let container = container(&run, query.get("container").map(String::as_str))?;
    if shared.is_lost() {
        return Err(unreachable("containerLogs", pod, &container));
    }
    let state = run.state();
    let cell = state.cells().find(|cell| cell.told.name == container);
    let cell = cell.ok_or_else(|| (400, format!("container {container} is not valid for pod {}", pod.name)))?;
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

/// The container that is asked for, or the only one.
fn container(run: &PodRun, name: Option<&str>) -> Result<String, (u16, String)> {
    let state = run.state();
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_owned()),
        None if state.main.len() == 1 && state.init.is_empty() => Ok(state.main[0].told.name.clone()),
        // Observed: init containers alone do not make a name necessary if there is one other container.
        None => {
            let names: Vec<&str> = state.cells().map(|cell| cell.told.name.as_str()).collect();
            let (pod, names) = (&run.id.name, names.join(" "));
            match state.main.as_slice() {
                [only] => Ok(only.told.name.clone()),
                _ => Err((
                    400,
                    format!("a container name must be specified for pod {pod}, choose one of: [{names}]"),
                )),
            }
        }
    }
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

fn options(pod: &PodRef, query: &HashMap<String, String>) -> Result<Options, (u16, String)> {
    let number = |key: &str, least: i64, rule: &str| match query.get(key) {
        None => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(number) if number >= least => Ok(Some(number.unsigned_abs())),
            Ok(number) => Err((
                422,
                format!(
                    "PodLogOptions \"{}\" is invalid: {key}: Invalid value: {number}: must be {rule}",
                    pod.name
                ),
            )),
            Err(_) => Err((400, format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
        },
    };
    let seconds = number("sinceSeconds", 1, "greater than 0")?;
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
    if seconds.is_some() && time.is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        return Err((
            422,
            format!("PodLogOptions \"{}\" is invalid: <nil>: Forbidden: {why}", pod.name),
        ));
    }
    let since = match (seconds, time) {
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
        tail: number("tailLines", 0, "greater than or equal to 0")?,
        limit: number("limitBytes", 1, "greater than 0")?,
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
    use crate::PodRef;
    use std::collections::HashMap;

    fn asked(query: &[(&str, &str)]) -> Result<super::Options, (u16, String)> {
        let pod = PodRef {
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            uid: "u".to_owned(),
        };
        let query: HashMap<_, _> = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        options(&pod, &query)
    }

    #[test]
    fn what_the_api_server_refuses() {
        for (query, code, message) in [
            (vec![("sinceTime", "x")], 400, "cannot parse \"x\" as \"2006\""),
            (vec![("tailLines", "x")], 400, "invalid syntax"),
            (
                vec![("tailLines", "-1")],
                422,
                "tailLines: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                vec![("sinceSeconds", "0")],
                422,
                "sinceSeconds: Invalid value: 0: must be greater than 0",
            ),
            (
                vec![("limitBytes", "0")],
                422,
                "limitBytes: Invalid value: 0: must be greater than 0",
            ),
            (
                vec![("sinceSeconds", "1"), ("sinceTime", "2026-01-01T00:00:00Z")],
                422,
                "at most one of",
            ),
        ] {
            let (found, text) = asked(&query).expect_err("refused");
            assert_eq!(found, code, "{text}");
            assert!(text.contains(message), "{text}");
        }
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
    }
}
