//! Changing the experiment: clients send the whole profile back, with one key changed.

use super::{Failure, Refused, done, profile};
use crate::{
    control::Request,
    rest::{
        input::{Document, Params},
        state::State,
        v2::{carried_out, change_limits},
    },
    store::StoreReader,
};
use axum::{extract, response::Response};
use serde::Deserialize;
use serde_json::Value;
use ts_core::{Error, ErrorKind, Result};

/// Source: nni v3.0, `ts/nni_manager/common/manager.ts`, `ProfileUpdateType`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum What {
    TrialConcurrency,
    MaxExecDuration,
    SearchSpace,
    MaxTrialNum,
}

#[derive(Debug, Deserialize)]
pub(super) struct Query {
    update_type: What,
}

pub(super) async fn update(
    extract::State(state): extract::State<State>,
    query: Result<Params<Query>, Refused>,
    body: Result<Document<Value>, Refused>,
) -> Result<Response, Failure> {
    let Params(Query { update_type }) = query?;
    let Document(profile) = body?;
    let row = state.readers.read(StoreReader::experiment).await?;
    let is_v1 = profile::is_v1(&row);
    let value = |old: &str, new: &str| {
        let params = &profile["params"];
        // A client of another release adds its own key to the profile; the one that it was given is as old as the profile then.
        let keys = if is_v1 { [new, old] } else { [old, new] };
        let found = keys.iter().find_map(|key| params.get(*key));
        found
            .cloned()
            .ok_or_else(|| bad(format!("the profile has no `params.{}`", keys[1])))
    };
    match update_type {
        What::TrialConcurrency => {
            let n = whole(&value("trialConcurrency", "trialConcurrency")?)?;
            change_limits(&state, |limits| limits.concurrency = n).await?;
        }
        What::MaxTrialNum => {
            let n = whole(&value("maxTrialNum", "maxTrialNumber")?)?;
            change_limits(&state, |limits| limits.max_trials = Some(n)).await?;
        }
        What::MaxExecDuration => {
            let ms = milliseconds(&value("maxExecDuration", "maxExperimentDuration")?)?;
            change_limits(&state, |limits| limits.max_duration_ms = Some(ms)).await?;
        }
        What::SearchSpace => {
            let space = match value("searchSpace", "searchSpace")? {
                Value::String(text) => {
                    serde_json::from_str(&text).map_err(|e| bad(format!("the search space is no JSON: {e}")))?
                }
                space => space,
            };
            carried_out(&state, Request::UpdateSearchSpace { space }).await?;
        }
    }
    Ok(done())
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn whole(value: &Value) -> Result<u32> {
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
    number.ok_or_else(|| bad(format!("`{value}` is no whole number")))
}

/// Seconds, or text such as `1.5h`. Source: nni v3.0, `ts/nni_manager/common/utils.ts`, `toSeconds`.
fn milliseconds(value: &Value) -> Result<u64> {
    let wrong = || {
        bad(format!(
            "`{value}` is no length of time; write seconds, or text such as 90s, 15m, 1h or 2d"
        ))
    };
    if let Some(seconds) = value.as_u64() {
        return seconds.checked_mul(1000).ok_or_else(wrong);
    }
    let text = value.as_str().ok_or_else(wrong)?.trim().to_lowercase();
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text.as_str(), "s"),
    };
    let seconds = match unit {
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => 1.0,
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let span = std::time::Duration::try_from_secs_f64((number * seconds).ceil()).map_err(|_| wrong())?;
    u64::try_from(span.as_millis()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lengths_of_time_as_both_schemas_have_them() {
        for (value, ms) in [
            (json!(90), 90_000),
            (json!("90s"), 90_000),
            (json!("1.5H"), 5_400_000),
            (json!("0.0001s"), 1_000),
            (json!("2d"), 172_800_000),
            (json!("100"), 100_000),
        ] {
            assert_eq!(milliseconds(&value).unwrap(), ms, "{value}");
        }
        for bad in [
            json!("h"),
            json!("-1s"),
            json!("NaNs"),
            json!("1e300d"),
            json!(null),
            json!(-1),
            json!(u64::MAX),
        ] {
            assert!(milliseconds(&bad).is_err(), "{bad}");
        }
    }
}
