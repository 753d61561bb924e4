//! Reads `dltsConfig` and `trial` of schema 1, and `trainingService` of schema 2, with every problem at its place.

use super::{DltsConfig, EMAIL_VARIABLE, TEAM_VARIABLE, TOKEN_VARIABLE};
use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE, GpuCount,
    config::{Key, PlatformSection, Problems, Schema, SecretRef, Section},
    http::Url,
};

/// Keys of schema 1's `trial` that are ours. Source: nni v1.9, `tools/nni_cmd/config_schema.py`.
pub(crate) const TRIAL_KEYS: &[&str] = &["image"];

/// Source: microsoft/DLWorkspace, `src/dashboard/server/api/middlewares`: the first cluster of the dashboard's configuration.
pub(super) const DEFAULT_CLUSTER: &str = ".default";
pub(super) const POLL: Duration = Duration::from_secs(3);
pub(super) const VANISH: Duration = Duration::from_mins(1);

const IMAGE: (&str, &str) = ("dockerImage", "image");
const GPUS: (&str, &str) = ("trialGpuNumber", "gpuNum");
const LOCAL: &str = "localStorageMountPoint";
const CONTAINER: &str = "containerStorageMountPoint";

/// Where schema 2 has no image of its own. Source: nni v2.10, `nni/experiment/config/openpai.py`, whose image it is.
const DEFAULT_IMAGE: &str = "msranni/nni:latest";
/// Folder in the user's home, which the manager and the jobs of DLTS share when the manager runs in such a job.
const HOME_FOLDER: &str = "nni-dlts";
/// Kubernetes ends a container so long after it was asked to, unless its pod says otherwise, which those of DLTS do not.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// All but the trial's own.
#[derive(Debug, Default)]
struct Cluster {
    dashboard: Option<Url>,
    name: String,
    team: Option<String>,
    email: Option<String>,
    password: Option<SecretRef>,
    gpu_type: Option<String>,
    work_path: String,
    local_mount: PathBuf,
    container_mount: String,
    ca_file: Option<PathBuf>,
    grace_period: Option<Duration>,
}

pub(super) fn read(section: &PlatformSection, problems: &mut Problems) -> Option<DltsConfig> {
    let gpus = match section.shortcuts().trial_gpu_number {
        GpuCount::Exactly(n) => Some(n),
        GpuCount::Unset => None,
    };
    let (cluster, image) = section.read(problems, |s| match s.schema() {
        Schema::V1 => {
            let cluster = s.required_section("dltsConfig", cluster).unwrap_or_default();
            let image = s.required_section("trial", |s| trial(s, gpus));
            (cluster, image.unwrap_or_default())
        }
        Schema::V2 => (cluster(s), trial(s, gpus)),
    });
    Some(DltsConfig {
        dashboard: cluster.dashboard?,
        cluster: cluster.name,
        team: cluster.team,
        email: cluster.email,
        password: cluster.password?,
        gpu_type: cluster.gpu_type,
        gpus: gpus.unwrap_or(0),
        image,
        work_path: cluster.work_path,
        local_mount: cluster.local_mount,
        container_mount: cluster.container_mount,
        ca_file: cluster.ca_file,
        grace_period: cluster.grace_period.unwrap_or(DEFAULT_GRACE),
        poll_interval: POLL,
        vanish_after: VANISH,
    })
}

fn trial(s: &mut Section<'_>, gpus: Option<u32>) -> String {
    if gpus.is_none() {
        let name = Key::from(GPUS).spelling(s.schema());
        s.problem(GPUS, format!("the key `{name}` is missing"), format!("add `{name}: …`"));
    }
    let image = match s.schema() {
        Schema::V1 => s.required_string(IMAGE),
        Schema::V2 => s.string_or(IMAGE, DEFAULT_IMAGE),
    };
    if (image.is_empty() && s.has(IMAGE)) || image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        s.problem(
            IMAGE,
            format!("`{}` is no name of an image", image.escape_debug()),
            "write a name such as `python:3.12`, without blanks",
        );
    }
    image
}

fn cluster(s: &mut Section<'_>) -> Cluster {
    let dashboard = dashboard(s);
    let name = s.string_or("cluster", DEFAULT_CLUSTER);
    if name.trim().is_empty() {
        empty(s, "cluster", "write the name of a cluster, or remove the key");
    }
    let (local_mount, container_mount) = mounts(s);
    Cluster {
        dashboard,
        name,
        team: named(s, "team", TEAM_VARIABLE),
        email: named(s, "email", EMAIL_VARIABLE),
        password: password(s),
        gpu_type: gpu_type(s),
        work_path: work_path(s),
        local_mount,
        container_mount,
        ca_file: ca_file(s),
        grace_period: grace_period(s),
    }
}

fn empty(s: &mut Section<'_>, key: &'static str, help: &str) {
    s.problem(key, "the text is empty", help);
}

/// A name that a job of DLTS has in its environment.
fn named(s: &mut Section<'_>, key: &'static str, variable: &str) -> Option<String> {
    if !s.has(key) {
        s.note_default(key, variable);
        return None;
    }
    let text = s.string(key)?;
    if text.trim().is_empty() {
        empty(s, key, "write it, or remove the key: in a job of DLTS it is known");
    }
    Some(text)
}

fn password(s: &mut Section<'_>) -> Option<SecretRef> {
    if !s.has("password") {
        s.note_default("password", TOKEN_VARIABLE);
        return Some(SecretRef::Reference(TOKEN_VARIABLE.to_owned()));
    }
    let password = s.secret("password");
    // Source: microsoft/DLWorkspace, `src/dashboard/server/api/services/user.js`: the hexadecimal MD5.
    let is_token = |text: &str| text.trim().len() == 32 && text.trim().bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(SecretRef::Literal(text)) = &password
        && !is_token(text.expose())
    {
        s.problem(
            "password",
            "the text is no token of DLTS, which has 32 hexadecimal digits",
            "copy it from the dashboard, or refer to it as `${env:NAME}` or `file:PATH`",
        );
    }
    password
}

fn dashboard(s: &mut Section<'_>) -> Option<Url> {
    let text = s.required_string("dashboard");
    let text = text.trim();
    let help = "write the address of the dashboard, such as `https://dlts.example.org/`";
    if text.is_empty() {
        return None;
    }
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = match Url::parse(&whole) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => url,
        _ => {
            let message = format!("`{}` is no address of a server", text.escape_debug());
            s.problem("dashboard", message, help);
            return None;
        }
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        s.problem("dashboard", "the address holds more than host, port and path", help);
        return None;
    }
    if url.scheme() == "http" {
        s.warn(
            "dashboard",
            "the token travels unencrypted and never expires: everybody on the way can read and use it",
            "write `https://`, if the dashboard has it",
        );
    }
    Some(url)
}

fn gpu_type(s: &mut Section<'_>) -> Option<String> {
    let text = s.string("gpuType")?;
    if text.trim().is_empty() {
        empty(s, "gpuType", "write a model that the team has, or remove the key");
    }
    Some(text)
}

/// Source of the rule: microsoft/DLWorkspace, `src/utils/JobRestAPIUtils.py`: no `..` and no leading `/`.
fn work_path(s: &mut Section<'_>) -> String {
    let path = s.string("workPath").unwrap_or_default();
    if path.starts_with('/') || path.contains("..") {
        s.problem(
            "workPath",
            format!("`{}` leads out of the cluster's work storage", path.escape_debug()),
            "write a path below it, without `..` and without `/` at its begin",
        );
    }
    path
}

/// The shared folder, here and in jobs. Without keys it is in the home that a manager in a job of DLTS shares with all its jobs.
fn mounts(s: &mut Section<'_>) -> (PathBuf, String) {
    let local = if s.has(LOCAL) {
        let path = s.path(LOCAL).unwrap_or_default();
        if !path.as_os_str().is_empty() && !path.is_dir() {
            s.problem(
                LOCAL,
                format!("`{}` is no directory", path.display()),
                "name the directory on this machine that jobs of DLTS see too",
            );
        }
        path
    } else if let Some(home) = &s.source().home {
        let path = home.join(HOME_FOLDER);
        s.note_default(LOCAL, path.display().to_string());
        path
    } else {
        let help = "name the directory on this machine that jobs of DLTS see too";
        s.problem(LOCAL, "there is no home directory that could be shared", help);
        PathBuf::new()
    };
    if !s.has(CONTAINER) {
        let same = local.display().to_string();
        s.note_default(CONTAINER, same.clone());
        return (local, same);
    }
    let path = s.string(CONTAINER).unwrap_or_default();
    let trimmed = path.trim_end_matches('/');
    if !path.starts_with('/') || trimmed.is_empty() {
        s.problem(
            CONTAINER,
            format!("`{}` is no absolute path of a folder", path.escape_debug()),
            "write the path where jobs see the shared folder, such as `/home/alice/nni`",
        );
    }
    (local, trimmed.to_owned())
}

fn ca_file(s: &mut Section<'_>) -> Option<PathBuf> {
    let path = s.path("caFile")?;
    if !path.is_file() {
        s.problem(
            "caFile",
            format!("the file `{}` does not exist", path.display()),
            "name a file with `-----BEGIN CERTIFICATE-----` blocks (PEM)",
        );
    }
    Some(path)
}

fn grace_period(s: &mut Section<'_>) -> Option<Duration> {
    if !s.has("gracePeriod") {
        s.note_default("gracePeriod", format!("{}s", DEFAULT_GRACE.as_secs()));
    }
    let grace = s.duration("gracePeriod")?;
    if grace > LONGEST_GRACE {
        let message = "Kubernetes ends the container of a killed job after 30 s";
        s.problem("gracePeriod", message, "write up to `30s`");
    }
    Some(grace)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
