//! The table of all common keys: what `docs/configuration.md`, the JSON Schema for editors and hints across schemas are
//! made from.
//!
//! Platform keys are documented by their platform. A test holds the table against what the readers ask for.

use super::source::Schema;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// A text.
    Text,
    /// A path.
    Path,
    /// `true` or `false`.
    Bool,
    /// A whole number of at least this.
    Int(i64),
    /// A duration, such as `2h`.
    Duration,
    /// A size in bytes, such as `300mb`.
    Bytes,
    /// GPU indices, such as `0,1`.
    GpuIndices,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A secret or a reference to one.
    Secret,
    /// A map of keys that are rows of their own.
    Section,
    /// Any value.
    Any,
}

/// One row: a key in both schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyDoc {
    /// Full key in schema 2; empty if it has none.
    pub v2: &'static str,
    /// Full key in schema 1; empty if it has none.
    pub v1: &'static str,
    /// What it takes.
    pub takes: KeyType,
    /// Default, empty if there is none.
    pub default: &'static str,
    /// What it does, and its rules.
    pub doc: &'static str,
}

macro_rules! keys {
    ($($v2:literal, $v1:literal, $takes:expr, $default:literal, $doc:literal;)*) => {
        &[$(KeyDoc { v2: $v2, v1: $v1, takes: $takes, default: $default, doc: $doc },)*]
    };
}

use KeyType::{Any, Bool, Bytes, Duration, GpuIndices, Int, OneOf, Path, Secret, Section, Text};

/// All common keys of both schemas.
pub const KEYS: &[KeyDoc] = keys! {
    "experimentName", "experimentName", Text, "", "Name for people.";
    "", "authorName", Text, "", "Accepted; has no effect.";
    "", "description", Text, "", "Description for people.";
    "experimentType", "", OneOf(&["hpo", "nas"]), "hpo", "`nas` is refused: NNI builds such experiments in Python.";
    "searchSpaceFile", "searchSpacePath", Path, "", "File with the search space, JSON or YAML. Wins over `searchSpace`.";
    "searchSpace", "", Any, "", "The search space itself.";
    "trialCommand", "trial.command", Text, "", "Shell command of a trial. Required unless each role of a job has its own.";
    "trialCodeDirectory", "trial.codeDir", Path, ".", "Code directory; must exist. Required in schema 1.";
    "trialConcurrency", "trialConcurrency", Int(1), "", "Most trials at a time. Required.";
    "trialGpuNumber", "trial.gpuNum", Int(0), "", "GPUs per trial. Absent leaves `CUDA_VISIBLE_DEVICES` alone; 0 hides all GPUs.";
    "maxExperimentDuration", "maxExecDuration", Duration, "999d in schema 1", "Most time that the experiment runs.";
    "maxTrialNumber", "maxTrialNum", Int(1), "99999 in schema 1", "Most trials in total.";
    "maxTrialDuration", "maxTrialDuration", Duration, "", "Most time that a trial runs.";
    "nniManagerIp", "nniManagerIp", Text, "", "Address under which workers reach the manager.";
    "useAnnotation", "useAnnotation", Bool, "false", "`true` is refused, as in NNI 3.0.";
    "debug", "debug", Bool, "false", "Logs in detail.";
    "logLevel", "logLevel", OneOf(&super::model::LogLevel::NAMES), "info", "Default `debug` with `debug: true`.";
    "experimentWorkingDirectory", "logDir", Path, "~/nni-experiments", "Directory that holds a directory per experiment.";
    "tunerGpuIndices", "tuner.gpuIndices", GpuIndices, "", "GPUs that the tuner may see.";
    "", "advisor.gpuIndices", GpuIndices, "", "GPUs that the advisor may see.";
    "tuner", "tuner", Section, "", "Where parameters come from. Required unless there is an advisor.";
    "tuner.name", "tuner.builtinTunerName", Text, "", "A built-in or registered tuner.";
    "tuner.className", "tuner.className", Text, "", "A class of yours: dotted path in schema 2, class in schema 1.";
    "tuner.codeDirectory", "tuner.codeDir", Path, ".", "Directory of the class.";
    "tuner.classDirectory", "", Path, "", "`codeDirectory` as NNI 2.0 to 2.2 spell it.";
    "", "tuner.classFileName", Path, "", "Python file of the class, below `codeDir`.";
    "tuner.classArgs", "tuner.classArgs", Any, "", "Arguments, a map.";
    "", "tuner.includeIntermediateResults", Bool, "false", "Tells the tuner of trials that were stopped early.";
    "assessor", "assessor", Section, "", "What stops poor trials early.";
    "assessor.name", "assessor.builtinAssessorName", Text, "", "A built-in or registered assessor.";
    "assessor.className", "assessor.className", Text, "", "A class of yours.";
    "assessor.codeDirectory", "assessor.codeDir", Path, ".", "Directory of the class.";
    "assessor.classDirectory", "", Path, "", "`codeDirectory` as NNI 2.0 to 2.2 spell it.";
    "", "assessor.classFileName", Path, "", "Python file of the class, below `codeDir`.";
    "assessor.classArgs", "assessor.classArgs", Any, "", "Arguments, a map.";
    "", "assessor.includeIntermediateResults", Bool, "false", "Accepted, as for tuners.";
    "advisor", "advisor", Section, "", "Tuner and assessor in one; excludes both.";
    "advisor.name", "advisor.builtinAdvisorName", Text, "", "A built-in or registered advisor.";
    "advisor.className", "advisor.className", Text, "", "A class of yours.";
    "advisor.codeDirectory", "advisor.codeDir", Path, ".", "Directory of the class.";
    "advisor.classDirectory", "", Path, "", "`codeDirectory` as NNI 2.0 to 2.2 spell it.";
    "", "advisor.classFileName", Path, "", "Python file of the class, below `codeDir`.";
    "advisor.classArgs", "advisor.classArgs", Any, "", "Arguments, a map.";
    "", "advisor.includeIntermediateResults", Bool, "false", "Accepted, as for tuners.";
    "", "multiThread", Bool, "false", "Accepted; has no effect.";
    "", "versionCheck", Bool, "", "Accepted; has no effect: workers run nothing of ours.";
    "", "logCollection", OneOf(&["http", "none"]), "none", "Accepted; has no effect.";
    "", "trial", Section, "", "The trial. Required. Platforms add keys of their own.";
    "", "trial.nasMode", OneOf(&["classic_mode", "enas_mode", "oneshot_mode", "darts_mode"]), "", "Accepted; has no effect.";
    "trainingService", "", Any, "", "The platform: a map with `platform`, or a list of them, each perhaps with `trialConcurrency` (most trials at a time) and `weight` (its part of the trials; without any the first with room is taken). Makes the file schema 2.";
    "", "hybridConfig", Section, "", "Platforms of `trainingServicePlatform: hybrid`, in the order in which they are asked.";
    "", "hybridConfig.trainingServicePlatforms", Any, "", "Their names. Each has its own section. Required.";
    "", "trainingServicePlatform", Text, "", "The platform's name. Makes the file schema 1.";
    "sharedStorage", "sharedStorage", Section, "", "Storage that manager and workers share.";
    "sharedStorage.storageType", "sharedStorage.storageType", OneOf(&["NFS", "AzureBlob"]), "", "What it is. Required.";
    "sharedStorage.localMountPoint", "sharedStorage.localMountPoint", Path, "", "Where it is mounted here. Required.";
    "sharedStorage.remoteMountPoint", "sharedStorage.remoteMountPoint", Text, "", "Where it is mounted on workers. Required.";
    "sharedStorage.localMounted", "sharedStorage.localMounted", OneOf(&["usermount", "nnimount", "nomount"]), "usermount", "Who mounts it here.";
    "sharedStorage.nfsServer", "sharedStorage.nfsServer", Text, "", "NFS: host.";
    "sharedStorage.exportedDirectory", "sharedStorage.exportedDirectory", Text, "", "NFS: exported directory.";
    "sharedStorage.storageAccountName", "sharedStorage.storageAccountName", Text, "", "AzureBlob: account.";
    "sharedStorage.storageAccountKey", "sharedStorage.storageAccountKey", Secret, "", "AzureBlob: key, `${env:NAME}` or `file:PATH`.";
    "sharedStorage.containerName", "sharedStorage.containerName", Text, "", "AzureBlob: container.";
    "sharedStorage.resourceGroupName", "sharedStorage.resourceGroupName", Text, "", "Accepted; has no effect.";
    "tsctl", "tsctl", Section, "", "Our own additions; NNI has no such section.";
    "tsctl.codeLimits", "tsctl.codeLimits", Section, "", "Limits of the code directory.";
    "tsctl.codeLimits.maxEntries", "tsctl.codeLimits.maxEntries", Int(1), "2000", "Most files and folders.";
    "tsctl.codeLimits.maxBytes", "tsctl.codeLimits.maxBytes", Bytes, "300mb", "Most bytes in total.";
    "tsctl.codeLimits.ignoreCase", "tsctl.codeLimits.ignoreCase", Bool, "true", "Whether `.nniignore` matches without regard to case.";
    "tsctl.retry", "tsctl.retry", Section, "", "How often a failed trial is tried again, per verdict.";
    "tsctl.retry.userCode", "tsctl.retry.userCode", Int(0), "0", "After an error of your code.";
    "tsctl.retry.memory", "tsctl.retry.memory", Int(0), "0", "After memory ran out.";
    "tsctl.retry.platform", "tsctl.retry.platform", Int(0), "1", "After a failure of the platform.";
    "tsctl.retry.configuration", "tsctl.retry.configuration", Int(0), "0", "After an error of the configuration.";
    "tsctl.seed", "tsctl.seed", Int(0), "", "Seed of the built-in parameter sources.";
    "tsctl.python", "tsctl.python", Text, "", "Python that has NNI's package, which algorithms that are not built in come from: a path, or a name on the `PATH`. Default `python3`, else `python`.";
    "tsctl.preferNni", "tsctl.preferNni", Bool, "false", "Takes all algorithms from NNI's package, built-in ones and those registered with `nnictl algo register` too.";
    "tsctl.trialChannel", "tsctl.trialChannel", Bool, "false", "Trials report and are told their parameters by NNI 3.0's HTTP channel (`NNI_TRIAL_COMMAND_CHANNEL`) instead of files. Local platform only; needs `--port`.";
    "tsctl.multiPhase", "multiPhase", Bool, "false", "Trials may ask for further parameters: each call of `nni.get_next_parameter()` behind the first gives others, `None` when there are no more. Not with advisors, Hyperband and BOHB.";
};

impl KeyDoc {
    /// The full key in `schema`; empty if it has none.
    pub const fn key(&self, schema: Schema) -> &'static str {
        match schema {
            Schema::V1 => self.v1,
            Schema::V2 => self.v2,
        }
    }
}

/// If `key` is one of the other schema, a hint at how this one spells it.
pub(super) fn other_schema(schema: Schema, key: &str) -> Option<String> {
    let (other, name) = match schema {
        Schema::V1 => (Schema::V2, "trainingServicePlatform"),
        Schema::V2 => (Schema::V1, "trainingService"),
    };
    let row = KEYS.iter().find(|row| {
        let theirs = row.key(other);
        !theirs.is_empty() && row.key(schema) != theirs && other.fold(theirs) == other.fold(key)
    })?;
    Some(match row.key(schema) {
        "" => format!("a file with `{name}` has no such key; remove it"),
        ours => format!("in a file with `{name}` it is called `{ours}`"),
    })
}

/// The table as a page of documentation.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\nAn experiment is one YAML (or JSON) file in either of NNI's two schemas. Schema 1 has \
         `trainingServicePlatform` and\nmatches keys exactly; schema 2 has `trainingService` and ignores case and \
         underscores in keys. Paths start at the\nfile's directory; `~` is the home directory. Platform keys are \
         documented with each platform.\n\n| Schema 2 | Schema 1 | Takes | Default | |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in KEYS {
        let code = |text: &str| match text {
            "" => "–".to_owned(),
            text => format!("`{text}`"),
        };
        let takes = match row.takes {
            Text => "text".to_owned(),
            Path => "path".to_owned(),
            Bool => "true or false".to_owned(),
            Int(least) => format!("whole number from {least}"),
            Duration => "duration, such as `2h`".to_owned(),
            Bytes => "size, such as `300mb`".to_owned(),
            GpuIndices => "GPU indices, such as `0,1`".to_owned(),
            OneOf(names) => names.iter().map(|n| code(n)).collect::<Vec<_>>().join(", "),
            Secret => "secret".to_owned(),
            Section => "map".to_owned(),
            Any => "any".to_owned(),
        };
        let (v2, v1) = (code(row.v2), code(row.v1));
        let default = if row.default.is_empty() { "" } else { row.default };
        writeln!(page, "| {v2} | {v1} | {takes} | {default} | {} |", row.doc).expect("writing to a string");
    }
    page
}

/// The table as a JSON Schema (draft 2020-12) for editors. Platform keys are let through.
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Experiment",
        "anyOf": [one_schema(Schema::V2, "trainingService"), one_schema(Schema::V1, "trainingServicePlatform")],
    })
}

fn one_schema(schema: Schema, discriminator: &str) -> Value {
    let mut root = json!({ "type": "object", "required": [discriminator, "trialConcurrency"], "properties": {} });
    for row in KEYS {
        let key = row.key(schema);
        if key.is_empty() {
            continue;
        }
        let mut place = &mut root;
        for step in key.split('.') {
            place = &mut place["properties"][step];
        }
        let mut property = match type_schema(row.takes) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        property.insert("description".into(), row.doc.into());
        if let Some(below) = place.get("properties") {
            // A row below this one came first.
            property.insert("properties".into(), below.clone());
        }
        *place = Value::Object(property);
    }
    root
}

fn type_schema(takes: KeyType) -> Value {
    match takes {
        Text | Path | Secret => json!({ "type": ["string", "null"] }),
        Bool => json!({ "type": ["boolean", "null"] }),
        Int(least) => json!({ "type": ["integer", "null"], "minimum": least }),
        Duration => json!({ "type": ["string", "integer", "null"], "pattern": "^[0-9.]+[smhdSMHD]$" }),
        Bytes => json!({ "type": ["string", "integer", "null"], "pattern": "^[0-9.]+ ?([tgmkTGMK]?[bB])$" }),
        GpuIndices => json!({ "type": ["string", "integer", "array", "null"], "items": { "type": "integer" } }),
        OneOf(names) => {
            let mut names: Vec<Value> = names.iter().map(|n| (*n).into()).collect();
            names.push(Value::Null);
            json!({ "enum": names })
        }
        Section => json!({ "type": ["object", "null"], "properties": {} }),
        Any => json!({}),
    }
}
