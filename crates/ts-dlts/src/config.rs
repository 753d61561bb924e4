//! `DltsConfig`: where the dashboard is, whose jobs they are, what a job is like, and which folder is shared.
//!
//! Reading it from both schemas of an experiment file is in `config/read.rs`.

mod read;

pub(crate) use read::TRIAL_KEYS as V1_TRIAL_KEYS;

use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE,
    config::{PlatformSection, Problems, SecretRef},
    http::Url,
};

/// The variables that a job of DLTS has, which stand in for keys that are not written.
///
/// Source: nni v1.9, `src/nni_manager/training_service/dlts/dltsTrainingService.ts`.
pub(crate) const TEAM_VARIABLE: &str = "${env:DLWS_VC_NAME}";
pub(crate) const EMAIL_VARIABLE: &str = "${env:DLWS_USER_EMAIL}";
pub(crate) const TOKEN_VARIABLE: &str = "${env:DLTS_JOB_TOKEN}";

/// Settings of an experiment on DLTS.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DltsConfig {
    /// Address of the dashboard.
    pub dashboard: Url,
    /// The cluster. Default `.default`: the first that the dashboard is configured with.
    pub cluster: String,
    /// The team (virtual cluster). `None`: that of the job we run in (`DLWS_VC_NAME`).
    pub team: Option<String>,
    /// Whose jobs the trials are. `None`: the owner of the job we run in (`DLWS_USER_EMAIL`).
    pub email: Option<String>,
    /// The token: the hexadecimal MD5 of `EMAIL:MASTER_TOKEN`, which the dashboard shows. Default: `DLTS_JOB_TOKEN`.
    pub password: SecretRef,
    /// Model of the GPUs. `None`: the only one that the team has.
    pub gpu_type: Option<String>,
    /// Whole GPUs of a trial.
    pub gpus: u32,
    /// Container image; it needs `sh` and `tar`.
    pub image: String,
    /// Folder of the cluster's work storage that jobs see at `/work`; empty: the user's own.
    pub work_path: String,
    /// The shared folder on this machine; absolute.
    pub local_mount: PathBuf,
    /// Where jobs see the same folder; absolute.
    pub container_mount: String,
    /// Certificate authorities in PEM, trusted beside the machine's.
    pub ca_file: Option<PathBuf>,
    /// Time between the request to end and the forced end of a trial's processes. Default 5 s; at most 30 s, after which Kubernetes
    /// ends the container anyway.
    pub grace_period: Duration,
    /// Least time between two calls that list the jobs. Default 3 s, NNI's.
    pub poll_interval: Duration,
    /// How long a job may be unknown to the dashboard before it counts as lost. Default 60 s.
    pub vanish_after: Duration,
}

impl DltsConfig {
    /// Jobs at `dashboard` with this token and image, over a folder that is here and in jobs at these places. Team and user are
    /// those of the job we run in, unless they are set.
    pub fn new(
        dashboard: Url,
        password: SecretRef,
        image: impl Into<String>,
        storage: (impl Into<PathBuf>, impl Into<String>),
    ) -> Self {
        Self {
            dashboard,
            cluster: read::DEFAULT_CLUSTER.to_owned(),
            team: None,
            email: None,
            password,
            gpu_type: None,
            gpus: 0,
            image: image.into(),
            work_path: String::new(),
            local_mount: storage.0.into(),
            container_mount: storage.1.into(),
            ca_file: None,
            grace_period: DEFAULT_GRACE,
            poll_interval: read::POLL,
            vanish_after: read::VANISH,
        }
    }

    /// Reads the platform's section of an experiment file; all problems go to `problems`. `None` only beside a problem.
    pub fn read(section: &PlatformSection, problems: &mut Problems) -> Option<Self> {
        read::read(section, problems)
    }

    /// The team, or the reference to it.
    pub(crate) fn team_shown(&self) -> &str {
        self.team.as_deref().unwrap_or(TEAM_VARIABLE)
    }

    /// The user, or the reference to them.
    pub(crate) fn email_shown(&self) -> &str {
        self.email.as_deref().unwrap_or(EMAIL_VARIABLE)
    }
}
