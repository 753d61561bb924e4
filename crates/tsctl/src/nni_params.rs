//! The configuration that NNI's database keeps, as a configuration file.
//!
//! NNI 2.2 and later keep schema 2 as it is. Earlier ones keep what their manager was sent: schema 1 taken apart, the search space as
//! text, the platform's sections as a list of pairs. Source: nni v1.9, `tools/nni_cmd/launcher.py`, `set_experiment`.

use serde_json::{Map, Value, json};

/// Name of the file that gets the search space of schema 1.
pub(crate) const SPACE_FILE: &str = "search_space.json";

/// A configuration as files.
#[derive(Debug, PartialEq)]
pub(crate) struct Files {
    pub(crate) is_schema_1: bool,
    /// JSON, which is YAML too.
    pub(crate) configuration: String,
    pub(crate) search_space: Option<String>,
    /// What NNI did not keep.
    pub(crate) notes: Vec<String>,
}

pub(crate) fn files(params: &Value) -> Files {
    if params.get("trainingServicePlatform").is_none() {
        return Files {
            is_schema_1: false,
            configuration: pretty(params),
            search_space: None,
            notes: Vec::new(),
        };
    }
    let mut notes = Vec::new();
    let mut file = Map::new();
    for key in [
        "authorName",
        "experimentName",
        "description",
        "trialConcurrency",
        "maxTrialNum",
        "maxTrialDuration",
        "trainingServicePlatform",
        "multiPhase",
        "multiThread",
        "versionCheck",
        "logCollection",
        "logLevel",
        "nniManagerIp",
        "sharedStorage",
        "hybridConfig",
    ] {
        if let Some(value) = params.get(key).filter(|value| !value.is_null()) {
            file.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(seconds) = params["maxExecDuration"].as_u64() {
        file.insert("maxExecDuration".to_owned(), json!(format!("{seconds}s")));
    }
    for key in ["tuner", "assessor", "advisor"] {
        if let Some(Value::Object(algorithm)) = params.get(key) {
            let mut algorithm = algorithm.clone();
            // Its manager wrote it there.
            algorithm.shift_remove("checkpointDir");
            file.insert(key.to_owned(), Value::Object(algorithm));
        }
    }
    let search_space = params["searchSpace"]
        .as_str()
        .filter(|text| text.trim_start().starts_with('{'))
        .map(str::to_owned);
    if search_space.is_some() {
        file.insert("searchSpacePath".to_owned(), json!(SPACE_FILE));
    }
    sections(&params["clusterMetaData"], &mut file);
    if file.get("trainingServicePlatform") == Some(&json!("local")) {
        notes.push("NNI kept neither `trial.gpuNum` nor `localConfig`: trials get no GPU of their own".to_owned());
    }
    Files {
        is_schema_1: true,
        configuration: pretty(&Value::Object(file)),
        search_space,
        notes,
    }
}

/// The pairs that the manager was sent, at their places in a file.
fn sections(pairs: &Value, file: &mut Map<String, Value>) {
    let mut trial = Map::new();
    for pair in pairs.as_array().into_iter().flatten() {
        let Some(key) = pair["key"].as_str() else { continue };
        let value = match &pair["value"] {
            // Some versions have encoded it once more.
            Value::String(text) if text.starts_with(['{', '[']) => {
                serde_json::from_str(text).unwrap_or_else(|_| pair["value"].clone())
            }
            other => other.clone(),
        };
        match (key, value) {
            ("trial_config", Value::Object(config)) => trial.extend(config),
            ("codeDir" | "command", value) => {
                trial.insert(key.to_owned(), value);
            }
            ("machine_list", value) => {
                file.insert("machineList".to_owned(), value);
            }
            ("nni_manager_ip", value) => {
                file.insert("nniManagerIp".to_owned(), value["nniManagerIp"].clone());
            }
            (key, value) if key.ends_with("_config") => {
                file.insert(camel_case(key), value);
            }
            _ => {}
        }
    }
    file.insert("trial".to_owned(), Value::Object(trial));
}

/// `pai_yarn_config` is `paiYarnConfig` in a file.
fn camel_case(key: &str) -> String {
    let mut name = String::new();
    let mut is_upper = false;
    for c in key.chars() {
        match c {
            '_' => is_upper = true,
            c if is_upper => {
                name.extend(c.to_uppercase());
                is_upper = false;
            }
            c => name.push(c),
        }
    }
    name
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manager_of_nni_1_was_sent_is_a_file_of_schema_1() {
        let params = json!({
            "authorName": "a", "experimentName": "b", "trialConcurrency": 2, "maxExecDuration": 3600, "maxTrialNum": 9,
            "searchSpace": "{\"x\": 1}", "trainingServicePlatform": "remote",
            "tuner": {"builtinTunerName": "TPE", "checkpointDir": "/x"},
            "clusterMetaData": [
                {"key": "machine_list", "value": [{"ip": "h", "username": "u", "passwd": "p"}]},
                {"key": "trial_config", "value": "{\"command\": \"c\", \"codeDir\": \"/c\", \"gpuNum\": 1}"},
                {"key": "remote_config", "value": {"reuse": false}},
                {"key": "nni_manager_ip", "value": {"nniManagerIp": "10.0.0.1"}},
            ],
        });
        let files = files(&params);
        let written: Value = serde_json::from_str(&files.configuration).unwrap();
        assert_eq!(
            written,
            json!({
                "authorName": "a", "experimentName": "b", "trialConcurrency": 2, "maxExecDuration": "3600s", "maxTrialNum": 9,
                "trainingServicePlatform": "remote", "tuner": {"builtinTunerName": "TPE"}, "searchSpacePath": SPACE_FILE,
                "machineList": [{"ip": "h", "username": "u", "passwd": "p"}], "remoteConfig": {"reuse": false},
                "nniManagerIp": "10.0.0.1", "trial": {"command": "c", "codeDir": "/c", "gpuNum": 1},
            })
        );
        assert_eq!(files.search_space.as_deref(), Some("{\"x\": 1}"));
        assert_eq!(camel_case("pai_yarn_config"), "paiYarnConfig");
    }

    #[test]
    fn schema_2_stays_as_it_is() {
        let params = json!({"trialCommand": "x", "trainingService": {"platform": "local"}});
        let files = files(&params);
        assert!(!files.is_schema_1);
        assert_eq!(serde_json::from_str::<Value>(&files.configuration).unwrap(), params);
    }
}
