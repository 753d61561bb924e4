//! Who takes part in a trial: one instance of one task role, or several of several, of which one reports.
//!
//! The first instance of the first role in the document reports: its folder is the trial's, its journal is read. Every other has a
//! folder below, named after role and index.

use crate::{Document, PaiConfig};
use serde_json::Value as Json;

/// Name of the role where the user's configuration names none; NNI's.
pub(crate) const ONLY_ROLE: &str = "taskrole";

/// One task role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) instances: u32,
    /// What it runs; `None`: the trial's command.
    pub(crate) command: Option<String>,
}

impl Role {
    /// Whether the server has to fill in parameters or secrets, so that the command must travel in the document.
    pub(crate) fn is_template(&self) -> bool {
        self.command.as_ref().is_some_and(|command| command.contains("<%"))
    }
}

/// The roles of a trial; at least one.
pub(crate) fn roles(config: &PaiConfig) -> Vec<Role> {
    match &config.document {
        Some(document) => document.roles().map(|(name, role)| of_document(name, role)).collect(),
        None => vec![Role {
            name: ONLY_ROLE.to_owned(),
            instances: 1,
            command: None,
        }],
    }
}

fn of_document(name: &str, role: &Json) -> Role {
    let commands: Vec<&str> = role["commands"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .map(str::trim)
        .collect();
    // The platform runs them with `errexit`, so one that fails is the last (openpai-runtime, `src/runtime.d/user.sh`).
    let command = match commands.as_slice() {
        [only] => (*only).to_owned(),
        many => format!("set -e\n{}", many.join("\n")),
    };
    Role {
        name: name.to_owned(),
        instances: role["instances"]
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(1),
        command: Some(command),
    }
}

/// Folder of an instance below the trial's; `None` for the one that reports.
pub(crate) fn folder(roles: &[Role], role: &Role, index: u32) -> Option<String> {
    let is_main = index == 0 && roles.first().is_some_and(|first| first.name == role.name);
    (!is_main).then(|| format!("{}-{index}", role.name))
}

/// Whether the document's own storage is enough.
impl Document {
    /// Names of its storages.
    pub(crate) fn storages(&self) -> Vec<&str> {
        let list = self.value()["extras"]["storages"].as_array();
        list.into_iter()
            .flatten()
            .filter_map(|storage| storage["name"].as_str())
            .collect()
    }
}
