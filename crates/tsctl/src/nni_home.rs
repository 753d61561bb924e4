//! Where NNI keeps experiments on this machine: its list, its folders, and whether its manager still runs one.
//!
//! Nothing is written. Source: nni v1.9 `tools/nni_cmd/constants.py`, nni v3.0 `nni/tools/nnictl/config_utils.py`.

use crate::environment::Environment;
use serde_json::Value;
use std::path::{Path, PathBuf};
use ts_core::{Error, ErrorKind, Result};
use ts_manager::nni_folder::database_in;

/// The folder that is meant: a path, or the id of an experiment in NNI's list or its default directory.
pub(crate) fn folder(environment: &Environment, wanted: &Path) -> Result<PathBuf> {
    let path = environment.absolute(wanted);
    if wanted.components().count() > 1 || path.is_dir() {
        return Ok(path);
    }
    let id = wanted.to_string_lossy();
    let listed = records(environment).into_iter().find(|(listed, _)| *listed == id);
    let listed = listed.and_then(|(_, record)| record["logDir"].as_str().map(PathBuf::from));
    let roots = listed.into_iter().chain(environment.default_working_dir());
    let mut candidates = roots.flat_map(|root| [root.join(wanted), root]);
    let found = candidates.find(|folder| database_in(folder).exists() && names(folder, &id));
    found.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("NNI has no experiment `{}` on this machine", id.escape_debug()),
        )
        .with_help("name its folder; `nnictl experiment list --all` lists the ids")
    })
}

fn names(folder: &Path, id: &str) -> bool {
    folder.file_name().is_some_and(|name| name == id)
}

/// Refuses an experiment that NNI's manager runs: its database changes under whoever reads it.
pub(crate) fn refuse_running(environment: &Environment, id: &str) -> Result<()> {
    let record = records(environment).into_iter().find(|(listed, _)| listed == id);
    let pid = record.and_then(|(_, record)| record["pid"].as_u64());
    let Some(pid) = pid else { return Ok(()) };
    // The number may be another process's by now.
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command);
    if !command.contains("main.js") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("NNI's manager (process {pid}) runs experiment {id}"),
    )
    .with_help(format!("end it with `nnictl stop {id}`, then import it")))
}

/// NNI's lists: that of 2.x and 3.x, and that of 1.x.
fn records(environment: &Environment) -> Vec<(String, Value)> {
    let home = environment.home.as_deref();
    let lists = home.map(|home| {
        [
            home.join("nni-experiments/.experiment"),
            home.join(".local/nnictl/.experiment"),
        ]
    });
    let mut records = Vec::new();
    for list in lists.iter().flatten() {
        // No list, or one that cannot be read, lists nothing.
        let text = std::fs::read(list).unwrap_or_default();
        if let Ok(Value::Object(map)) = serde_json::from_slice(&text) {
            records.extend(map);
        }
    }
    records
}
