//! What the dashboard's answers hold, as far as we look at it. Every field may be missing or of another type: jobs of all versions of
//! the cluster lie in one table.
//!
//! Source: microsoft/DLWorkspace, `src/utils/JobRestAPIUtils.py`, `GetJobDetailV2`; `src/ClusterManager/job_manager.py`.

use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};
use ts_core::Timestamp;

/// States of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum JobState {
    Unapproved,
    Queued,
    Scheduling,
    Running,
    Pausing,
    Paused,
    Killing,
    Killed,
    Finished,
    Failed,
    Error,
    /// None that we know.
    #[default]
    Unknown,
}

impl JobState {
    fn parse(text: &str) -> Self {
        match text {
            "unapproved" => Self::Unapproved,
            "queued" => Self::Queued,
            "scheduling" => Self::Scheduling,
            "running" => Self::Running,
            "pausing" => Self::Pausing,
            "paused" => Self::Paused,
            "killing" => Self::Killing,
            "killed" => Self::Killed,
            "finished" => Self::Finished,
            "failed" => Self::Failed,
            "error" => Self::Error,
            _ => Self::Unknown,
        }
    }

    /// Whether it is over.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Killed | Self::Finished | Self::Failed | Self::Error)
    }
}

/// A job of a list, or its details.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Json")]
pub(crate) struct JobView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: JobState,
    /// The state in the cluster's own word.
    pub(crate) word: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    /// What the cluster says about it, most often about its failure.
    pub(crate) said: Option<String>,
}

impl From<Json> for JobView {
    fn from(job: Json) -> Self {
        let text = |value: &Json| {
            let text = match value {
                Json::String(text) => text.trim().to_owned(),
                Json::Null => return None,
                other => other.to_string(),
            };
            Some(text).filter(|text| !text.is_empty())
        };
        let detail = &job["jobStatusDetail"][0];
        let word = text(&job["jobStatus"]).unwrap_or_default();
        Self {
            id: text(&job["jobId"]).unwrap_or_default(),
            name: text(&job["jobName"]).unwrap_or_default(),
            state: JobState::parse(&word),
            word,
            started: moment(&detail["startedAt"]),
            finished: moment(&detail["finishedAt"]),
            said: text(&job["errorMsg"]).or_else(|| text(&detail["message"])),
        }
    }
}

/// A moment of RFC 3339; `None` for anything else.
fn moment(value: &Json) -> Option<Timestamp> {
    let moment: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(Timestamp(moment.as_millisecond()))
}

/// What became of a job that was sent: either is in a successful answer.
#[derive(Debug, Deserialize)]
pub(super) struct Posted {
    #[serde(rename = "jobId")]
    pub(super) job_id: Option<String>,
    pub(super) error: Option<Json>,
}

/// What the cluster says to a change of a job's state.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changed {
    pub(super) result: String,
}

/// Jobs that will be killed.
///
/// The dashboard puts the cluster's words, which are JSON, as text into JSON: `{"killing": "{\"result\": {\"ID\": \"successfully …\"}}"}`.
/// Sources: `src/dashboard/server/api/controllers/cluster/jobs/status.post.js`; `JobRestAPIUtils.py`, `op_jobs`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Json")]
pub(super) struct Killed {
    pub(super) ids: HashSet<String>,
}

impl From<Json> for Killed {
    fn from(answer: Json) -> Self {
        let words = answer["killing"].as_str().unwrap_or_default();
        let words: Json = serde_json::from_str(words).unwrap_or_default();
        let results = words["result"].as_object().into_iter().flatten();
        let killed = results.filter(|(_, said)| said.as_str().is_some_and(|said| said.starts_with("success")));
        Self {
            ids: killed.map(|(id, _)| id.clone()).collect(),
        }
    }
}

/// GPUs that a team may use in a cluster, by model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Json")]
pub(crate) struct Team {
    pub(crate) gpus: BTreeMap<String, f64>,
}

impl From<Json> for Team {
    /// From `quota`, which is JSON within a text, or from `gpu_capacity`. `metadata`, which NNI reads, holds other things too.
    fn from(team: Json) -> Self {
        let amounts = |value: &Json| {
            let inner = match value {
                Json::String(text) => serde_json::from_str(text).unwrap_or(Json::Null),
                other => other.clone(),
            };
            let own = inner.as_object().into_iter().flatten();
            own.filter_map(|(model, n)| Some((model.clone(), n.as_f64()?)))
                .collect::<BTreeMap<_, _>>()
        };
        let quota = amounts(&team["quota"]);
        Self {
            gpus: if quota.is_empty() {
                amounts(&team["gpu_capacity"])
            } else {
                quota
            },
        }
    }
}

/// A piece of a job's log.
///
/// What its pods printed is told by pod; a cluster that keeps no logs apart gives one text, or a note that there are none. Dashboards
/// before 2020 answer with the log itself, without a cursor. Sources: `JobRestAPIUtils.py`, `GetJobLog`;
/// `src/dashboard/server/api/controllers/cluster/job/log.js`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Json")]
pub(super) struct Piece {
    pub(super) text: String,
    /// Where the next piece begins, if there is one.
    pub(super) cursor: Option<String>,
}

impl From<Json> for Piece {
    fn from(answer: Json) -> Self {
        let log = answer.get("log").unwrap_or(&answer);
        let text = match log {
            Json::String(text) => text.clone(),
            Json::Object(pods) => pods.values().filter_map(Json::as_str).collect(),
            _ => String::new(),
        };
        let cursor = match answer.get("cursor") {
            Some(Json::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Json::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Self { text, cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_read_whatever_is_missing() {
        let job: JobView = serde_json::from_str("{}").unwrap();
        assert_eq!(job, JobView::default());
        let odd = json!({"jobId": "a", "jobStatus": null, "jobStatusDetail": "x", "errorMsg": {"a": 1}});
        let job = JobView::from(odd);
        assert_eq!((job.state, job.said.as_deref()), (JobState::Unknown, Some("{\"a\":1}")));
        let job = JobView::from(
            json!({"jobStatus": "running", "jobStatusDetail": [{"startedAt": "2020-06-01T00:00:01+00:00"}]}),
        );
        assert_eq!(
            (job.state, job.started),
            (JobState::Running, Some(Timestamp(1_590_969_601_000)))
        );
    }

    #[test]
    fn a_log_is_read_in_every_form() {
        let piece = |text: &str, cursor: Option<&str>| Piece {
            text: text.to_owned(),
            cursor: cursor.map(str::to_owned),
        };
        for (answer, expected) in [
            (
                json!({"log": {"a-0": "1\n", "a-1": "2\n"}, "cursor": "7.1"}),
                piece("1\n2\n", Some("7.1")),
            ),
            (
                json!({"log": {"a-0": "1", "a-1": null}, "cursor": 7}),
                piece("1", Some("7")),
            ),
            (json!({"log": "all of it", "cursor": null}), piece("all of it", None)),
            (json!({"a-0": "1"}), piece("1", None)),
            (json!("all of it"), piece("all of it", None)),
            (json!({"log": {}, "cursor": ""}), piece("", None)),
            (json!({}), piece("", None)),
            (json!(null), piece("", None)),
        ] {
            assert_eq!(Piece::from(answer.clone()), expected, "{answer}");
        }
    }

    #[test]
    fn who_will_be_killed_is_told_in_a_text_within_the_answer() {
        let words = json!({"result": {"a": "successfully killed", "b": "cannot kill a(n) \"finished\" job", "c": "failed to kill"}});
        let killed = Killed::from(json!({"killing": words.to_string()}));
        assert_eq!(killed.ids, HashSet::from(["a".to_owned()]));
        for odd in [
            json!(null),
            json!({}),
            json!({"killing": "no JSON"}),
            json!({"killing": {}}),
        ] {
            assert!(Killed::from(odd).ids.is_empty());
        }
    }

    #[test]
    fn models_come_from_the_quota_and_not_from_the_metadata() {
        let team = Team::from(json!({"quota": "{\"P40\": 8}", "metadata": "{\"user_quota\": 2, \"P40\": {}}"}));
        assert_eq!(team.gpus, [("P40".to_owned(), 8.0)].into());
        let team = Team::from(json!({"quota": "no JSON", "gpu_capacity": {"V100": 4}}));
        assert_eq!(team.gpus, [("V100".to_owned(), 4.0)].into());
    }
}
