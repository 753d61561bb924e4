//! The configuration that NNI's database keeps, as a configuration file.
//!
//! NNI 2.2 and later keep schema 2 as it is. Earlier ones keep what their manager was sent: schema 1 taken apart, the search space as
//! text, the platform's sections as a list of pairs. Source: nni v1.9, `tools/nni_cmd/launcher.py`, `set_experiment`.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Name of the file that gets the search space of schema 1.
pub(crate) const SPACE_FILE: &str = "search_space.json";

/// A configuration as files.
#[derive(Debug, PartialEq)]
pub(crate) struct Files {
    /// JSON, which is YAML too.
    pub(crate) configuration: String,
    /// Goes into [`SPACE_FILE`] beside it.
    pub(crate) search_space: Option<String>,
    /// What NNI did not keep.
    pub(crate) notes: Vec<String>,
}

/// Where files of the experiment are now, if not where NNI had them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Moves {
    /// The code directory.
    pub(crate) code: Option<PathBuf>,
    /// The file with the search space.
    pub(crate) search_space: Option<PathBuf>,
}

pub(crate) fn files(params: &Value, moves: &Moves) -> Files {
    let is_schema_1 = is_schema_1(params);
    let mut document = document(params);
    if let Some(code) = &moves.code {
        move_code(&mut document, is_schema_1, code);
    }
    if let (Some(space), Some(file)) = (&moves.search_space, document.as_object_mut()) {
        let _inline = file.shift_remove("searchSpace");
        let key = if is_schema_1 {
            "searchSpacePath"
        } else {
            "searchSpaceFile"
        };
        file.insert(key.to_owned(), json!(space));
    }
    let mut notes = Vec::new();
    if document["trainingServicePlatform"] == "local" {
        notes.push("NNI kept neither `trial.gpuNum` nor `localConfig`: trials get no GPU of their own".to_owned());
    }
    Files {
        configuration: pretty(&document),
        search_space: search_space(params).filter(|_| is_schema_1 && moves.search_space.is_none()),
        notes,
    }
}

/// Where NNI had the code.
pub(crate) fn code_directory(params: &Value) -> Option<PathBuf> {
    let document = document(params);
    let mut places = code_places(&document).into_iter();
    places.find_map(|place| Some(PathBuf::from(document.pointer(&place)?.as_str()?)))
}

/// The search space as the text of a file.
pub(crate) fn search_space(params: &Value) -> Option<String> {
    match &params["searchSpace"] {
        Value::String(text) if text.trim_start().starts_with('{') => Some(text.clone()),
        Value::Object(space) => Some(pretty(&json!(space))),
        _ => None,
    }
}

fn is_schema_1(params: &Value) -> bool {
    params.get("trainingServicePlatform").is_some()
}

/// JSON pointers to all keys that may name the code directory.
fn code_places(document: &Value) -> Vec<String> {
    let mut places: Vec<String> = [
        "/trial/codeDir",
        "/trialCodeDirectory",
        "/trainingService/trialCodeDirectory",
    ]
    .map(str::to_owned)
    .into();
    let n_platforms = document["trainingService"].as_array().map_or(0, Vec::len);
    places.extend((0..n_platforms).map(|at| format!("/trainingService/{at}/trialCodeDirectory")));
    places
}

/// Names another code directory wherever the first one was named; a platform with a code directory of its own keeps it.
fn move_code(document: &mut Value, is_schema_1: bool, code: &Path) {
    let places = code_places(document);
    let first = places.iter().find_map(|place| document.pointer(place)?.as_str());
    match first.map(str::to_owned) {
        Some(first) => {
            for place in &places {
                if let Some(named) = document.pointer_mut(place).filter(|named| **named == *first) {
                    *named = json!(code);
                }
            }
        }
        None if is_schema_1 => document["trial"]["codeDir"] = json!(code),
        None => document["trialCodeDirectory"] = json!(code),
    }
}

/// The configuration as a file has it.
fn document(params: &Value) -> Value {
    if !is_schema_1(params) {
        return params.clone();
    }
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
    if search_space(params).is_some() {
        file.insert("searchSpacePath".to_owned(), json!(SPACE_FILE));
    }
    sections(&params["clusterMetaData"], &mut file);
    Value::Object(file)
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
        let files = files(&params, &Moves::default());
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
        let files = files(&params, &Moves::default());
        assert_eq!(serde_json::from_str::<Value>(&files.configuration).unwrap(), params);
        assert_eq!((files.search_space, files.notes), (None, Vec::new()));
    }

    #[test]
    fn files_that_have_moved_are_named_where_they_are_now() {
        let moves = Moves {
            code: Some("/new".into()),
            search_space: Some("/new/s.json".into()),
        };
        let written = |params: &Value| serde_json::from_str::<Value>(&files(params, &moves).configuration).unwrap();
        let later = json!({
            "searchSpace": {"x": 1}, "trialCodeDirectory": "/old",
            "trainingService": [{"platform": "local", "trialCodeDirectory": "/old"}, {"trialCodeDirectory": "/own"}],
        });
        assert_eq!(code_directory(&later), Some("/old".into()));
        assert_eq!(
            written(&later),
            json!({
                "trialCodeDirectory": "/new", "searchSpaceFile": "/new/s.json",
                "trainingService": [{"platform": "local", "trialCodeDirectory": "/new"}, {"trialCodeDirectory": "/own"}],
            })
        );
        assert_eq!(written(&json!({}))["trialCodeDirectory"], "/new");
        let pairs =
            |pairs: Value| json!({"trainingServicePlatform": "local", "searchSpace": "{}", "clusterMetaData": pairs});
        let earlier = pairs(json!([{"key": "codeDir", "value": "/old"}]));
        assert_eq!(code_directory(&earlier), Some("/old".into()));
        for params in [earlier, pairs(json!([]))] {
            let file = written(&params);
            assert_eq!(
                (&file["trial"]["codeDir"], &file["searchSpacePath"]),
                (&json!("/new"), &json!("/new/s.json"))
            );
            assert_eq!(files(&params, &moves).search_space, None, "it has its own place");
        }
    }
}
