//! From a trial to the request that makes its job: what NNI sends, around a command that holds nothing of the user's.
//!
//! What the command runs lies in the shared folder, so that no shell option or quoting of the platform touches the user's text.
//!
//! Sources: nni v1.9, `training_service/dlts/dltsTrainingService.ts`; microsoft/DLWorkspace, `src/ClusterManager/pod_template.py`
//! (`envs`, which NNI spells `env` in vain); `src/utils/JobRestAPIUtils.py`, `SubmitJob` (`jobId`, which NNI leaves to the cluster);
//! `src/utils/MySQLDataHandler.py` (an id is taken once).

use crate::{
    DltsConfig,
    files::{self, Job},
    names,
};
use serde_json::{Value as Json, json};
use ts_core::{Error, ErrorKind, Prepared, Rendered, Result, TrialSpec, launch::quote};

/// What `render` shows for a model that only the cluster knows.
const ONLY_MODEL: &str = "(the only one of the team)";
/// What `render` shows for the id that `submit` chooses.
const NEW_ID: &str = "(a new UUID)";

/// The body of the request.
pub(crate) fn body(config: &DltsConfig, team: &str, email: &str, gpu_type: &str, job: &Job) -> Json {
    let trial = &job.spec;
    let script = files::container_dir(config, trial) + "/" + files::START;
    json!({
        "team": team,
        "vcName": team,
        "userName": email,
        "gpuType": gpu_type,
        "jobId": job.id,
        "jobName": names::job(&trial.experiment, &trial.id),
        "jobType": "training",
        "jobtrainingtype": "RegularJob",
        "resourcegpu": config.gpus,
        "image": config.image,
        "cmd": format!("sh {}", quote(&script)),
        "interactivePorts": [],
        "ssh": false,
        "ipython": false,
        "tensorboard": false,
        "mountpoints": [],
        "workPath": config.work_path,
        "enableworkpath": true,
        "dataPath": "",
        "enabledatapath": false,
        "jobPath": "",
        "enablejobpath": true,
        "envs": [
            {"name": "NNI_EXP_ID", "value": trial.experiment.as_str()},
            {"name": "NNI_TRIAL_JOB_ID", "value": trial.id.as_str()},
        ],
        "hostNetwork": false,
        "useGPUTopology": false,
        "isPrivileged": false,
        "hostIPC": false,
        "preemptionAllowed": "False",
    })
}

/// The documents of a trial as `submit` would write and send them; none holds a secret.
pub(crate) fn render(config: &DltsConfig, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
    let mut documents: Vec<(String, String)> = files::of_trial(config, code, trial)?
        .into_iter()
        .map(|file| (file.name, file.text))
        .collect();
    let model = config.gpu_type.as_deref().unwrap_or(ONLY_MODEL);
    let job = Job {
        spec: trial.clone(),
        id: NEW_ID.to_owned(),
        is_taken: false,
    };
    let body = body(config, config.team_shown(), config.email_shown(), model, &job);
    let text = serde_json::to_string_pretty(&body)
        .map_err(|e| Error::new(ErrorKind::Internal, "a job cannot be written as JSON").with_source(e))?;
    documents.push(("job.json".to_owned(), text));
    Ok(Rendered::new(documents))
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
