//! What the dashboard's answers hold, as far as we look at it. Every field may be missing or of another type: jobs of all versions of
//! the cluster lie in one table.
//!
//! Source: microsoft/DLWorkspace, `src/utils/JobRestAPIUtils.py`, `GetJobDetailV2`; `src/ClusterManager/job_manager.py`.

use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
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
        Self {
            id: text(&job["jobId"]).unwrap_or_default(),
            name: text(&job["jobName"]).unwrap_or_default(),
            state: JobState::parse(job["jobStatus"].as_str().unwrap_or_default()),
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

/// A piece of a job's log: what each pod printed, and where the next piece begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Piece {
    pub(super) log: BTreeMap<String, Json>,
    pub(super) cursor: Option<Json>,
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
    fn models_come_from_the_quota_and_not_from_the_metadata() {
        let team = Team::from(json!({"quota": "{\"P40\": 8}", "metadata": "{\"user_quota\": 2, \"P40\": {}}"}));
        assert_eq!(team.gpus, [("P40".to_owned(), 8.0)].into());
        let team = Team::from(json!({"quota": "no JSON", "gpu_capacity": {"V100": 4}}));
        assert_eq!(team.gpus, [("V100".to_owned(), 4.0)].into());
    }
}
