//! What a job finds: its code, its environment, its data, and where its log goes.

use super::{
    job::Job,
    mounts::{self, Mount},
};
use crate::{
    shared::Shared,
    world::{ARTIFACTS, World},
};
use serde_json::Value;
use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    time::Duration,
};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// One start of a job.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) directory: PathBuf,
    pub(super) command: String,
    pub(super) environment: Vec<(String, String)>,
    /// Both outputs of the command.
    pub(super) log: PathBuf,
    told: u64,
    log_blob: String,
    mounts: Vec<Mount>,
}

impl Sandbox {
    /// Makes the folder, with the code in it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn make(shared: &Shared, world: &mut World, id: &str) -> io::Result<Option<Self>> {
        let Some(index) = world.jobs.iter().position(|job| job.id == id) else {
            return Ok(None);
        };
        let job = &mut world.jobs[index];
        job.starts += 1;
        let root = shared.sandbox.join(&job.id).join(job.starts.to_string());
        let directory = root.join("wd");
        let log_name = log_name(job);
        if !job.log_files.contains(&log_name) {
            job.log_files.push(log_name.clone());
        }
        let job = &world.jobs[index];
        let artifacts = job.artifacts();
        let mut mounts = Vec::new();
        let expiry = job.map("environmentVariables")[mounts::CACHE_EXPIRES]
            .as_str()
            .and_then(|ms| ms.parse().ok())
            .map_or(FOR_EVER, Duration::from_millis);
        for folder in ["outputs", "logs"] {
            let place = (ARTIFACTS.to_owned(), format!("{artifacts}/{folder}"));
            mounts.push(Mount::new(directory.join(folder), place, true)?);
        }
        let mut command = job.properties["command"].as_str().unwrap_or_default().to_owned();
        for (name, input) in job.map("inputs").as_object().into_iter().flatten() {
            let value = input_value(&root, name, input, &mut mounts)?;
            command = expand(&command, "inputs", name, &value);
        }
        for name in job
            .map("outputs")
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            let local = root.join("cap").join(name);
            command = expand(&command, "outputs", name, &local.to_string_lossy());
            mounts.push(Mount::new(local, job.output_place(name), true)?.caching(expiry));
        }
        let environment = environment(shared, job, &root);
        // Data is there before the command starts. Source: "Access data in a job", Microsoft Learn.
        for mount in &mut mounts {
            mount.sync(&mut world.blobs, true)?;
        }
        let sandbox = Self {
            log: root.join("std_log.txt"),
            told: 0,
            log_blob: format!("{artifacts}/{log_name}"),
            directory,
            command,
            environment,
            mounts,
        };
        fs::write(&sandbox.log, "")?;
        sandbox.unpack(shared, world, index)?;
        world.blobs.append(ARTIFACTS, &sandbox.log_blob, b"");
        Ok(Some(sandbox))
    }

    /// Puts the code into the working directory.
    fn unpack(&self, shared: &Shared, world: &World, index: usize) -> io::Result<()> {
        let code = world.jobs[index].properties["codeId"].as_str().unwrap_or_default();
        let parts: Vec<&str> = code.rsplit('/').collect();
        let [version, _, name, ..] = parts[..] else {
            return Ok(());
        };
        let found = world.codes.get(&(name.to_owned(), version.to_owned()));
        let uri = found.and_then(|code| code["codeUri"].as_str()).unwrap_or_default();
        debug_assert!(uri.starts_with(&shared.base));
        let Some((container, folder)) = mounts::place(uri) else {
            return Ok(());
        };
        for key in world.blobs.names(&container, &folder) {
            let Some(blob) = world.blobs.get(&container, key) else {
                continue;
            };
            let path = self.directory.join(key[folder.len()..].trim_start_matches('/'));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, &blob.content)?;
        }
        Ok(())
    }

    /// Brings what was written since the last time to the storage; `is_last`: nobody writes any more.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(super) fn collect(&mut self, world: &mut World, is_last: bool) -> io::Result<()> {
        let mut file = fs::File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.told))?;
        let mut news = Vec::new();
        self.told += file.read_to_end(&mut news)? as u64;
        if !news.is_empty() {
            world.blobs.append(ARTIFACTS, &self.log_blob, &news);
        }
        for mount in &mut self.mounts {
            mount.sync(&mut world.blobs, is_last)?;
        }
        Ok(())
    }
}

/// Source: azure-ai-ml 1.35.2, `constants/_job`, patterns of log files; distributed jobs have one for each process.
fn log_name(job: &Job) -> String {
    match job.properties["distribution"]["distributionType"].as_str() {
        Some(_) => "user_logs/std_log_process_0.txt".to_owned(),
        None => "user_logs/std_log.txt".to_owned(),
    }
}

fn input_value(root: &std::path::Path, name: &str, input: &Value, mounts: &mut Vec<Mount>) -> io::Result<String> {
    let text = |field: &str| input[field].as_str().unwrap_or_default().to_owned();
    if input["jobInputType"] == "literal" {
        return Ok(text("value"));
    }
    let uri = text("uri");
    let place = mounts::place(&uri);
    let (Some(place), false) = (place, text("mode") == "Direct") else {
        return Ok(uri);
    };
    let local = root.join("in").join(name);
    let file = (input["jobInputType"] == "uri_file").then(|| place.1.rsplit('/').next().unwrap_or_default().to_owned());
    mounts.push(Mount::new(local.clone(), place, text("mode") == "ReadWriteMount")?);
    let path = file.map_or(local.clone(), |file| local.join(file));
    Ok(path.to_string_lossy().into_owned())
}

/// Source: "Key and expressions", Microsoft Learn: blanks within the braces do not count.
fn expand(command: &str, kind: &str, name: &str, value: &str) -> String {
    let wanted = format!("{kind}.{name}");
    let mut expanded = String::new();
    let mut rest = command;
    while let Some(at) = rest.find("${{") {
        let Some(length) = rest[at..].find("}}") else { break };
        let end = at + length + 2;
        expanded.push_str(&rest[..at]);
        let is_meant = rest[at + 3..end - 2].trim() == wanted;
        expanded.push_str(if is_meant { value } else { &rest[at..end] });
        rest = &rest[end..];
    }
    expanded + rest
}

/// Source: azureml-mlflow 1.62.0, `_common/constants.py`, `RunEnvVars`, and azureml-core 1.61.0, for the names.
fn environment(shared: &Shared, job: &Job, root: &std::path::Path) -> Vec<(String, String)> {
    let setting = &shared.setting;
    let host = shared.base.split("//").nth(1).unwrap_or_default();
    let mut all = setting.image_environment.clone();
    let until = job.token_until.as_second().to_string();
    let tracking = format!("azureml://{host}/mlflow/v1.0{}", shared.scope());
    for (name, value) in [
        ("HOME", root.to_string_lossy().as_ref()),
        ("MLFLOW_TRACKING_URI", &tracking),
        ("MLFLOW_TRACKING_TOKEN", &job.token),
        ("MLFLOW_RUN_ID", &job.id),
        ("MLFLOW_EXPERIMENT_ID", &job.experiment_id),
        ("MLFLOW_EXPERIMENT_NAME", &job.experiment),
        ("AZUREML_RUN_ID", &job.id),
        ("AZUREML_RUN_TOKEN", &job.token),
        ("AZUREML_RUN_TOKEN_EXPIRY", &until),
        ("AZUREML_ARM_SUBSCRIPTION", &setting.subscription),
        ("AZUREML_ARM_RESOURCEGROUP", &setting.resource_group),
        ("AZUREML_ARM_WORKSPACE_NAME", &setting.workspace),
        ("AZUREML_ARM_PROJECT_NAME", &job.experiment),
        ("AZUREML_EXPERIMENT_ID", &job.experiment_id),
        ("AZUREML_SERVICE_ENDPOINT", &shared.base),
        (
            "AZUREML_DISCOVERY_SERVICE_ENDPOINT",
            &format!("{}/discovery", shared.base),
        ),
    ] {
        all.push((name.to_owned(), value.to_owned()));
    }
    for (name, value) in job.map("environmentVariables").as_object().into_iter().flatten() {
        all.push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn only_what_is_meant_is_expanded() {
        let command = "a ${{inputs.x}} ${{ inputs.x }} ${{inputs.xy}} $x ${{outputs.x}} ${{";
        assert_eq!(
            expand(command, "inputs", "x", "1"),
            "a 1 1 ${{inputs.xy}} $x ${{outputs.x}} ${{"
        );
    }
}
