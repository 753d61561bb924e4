//! Reads schema 2: the one with `trainingService`, of NNI 2.0 to 3.0.
//!
//! Source: nni v3.0, `nni/experiment/config/experiment_config.py` and `base.py`. Where NNI is stricter than it needs to
//! be, this is not.

use super::{
    common::{self, Own},
    model::{Algorithm, AlgorithmKind, ExperimentConfig, SharedStorage},
    node::{Entry, Node, Value},
    platform_section::{PlatformSection, Share, Shortcuts},
    problems::{Problem, Problems},
    reference,
    resolved::Origin,
    search_space,
    section::{Key, Section},
    source::{ConfigSource, Schema},
    v1::MOST,
};
use crate::{GpuCount, Platform};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[expect(clippy::too_many_lines, reason = "one line per key, in the order of the model")]
pub(super) fn read(
    root: &Node,
    source: &Arc<ConfigSource>,
    platforms: &[Platform],
    problems: &mut Problems,
) -> ExperimentConfig {
    let mut section = Section::new(root, "", Schema::V2, source, problems);
    let s = &mut section;
    let name = s.string("experimentName");
    if s.choice("experimentType", &["hpo", "nas"]) == Some("nas") {
        let help = "NNI builds such experiments in Python, never from a file; use `experimentType: hpo`";
        s.problem(
            "experimentType",
            "experiments of type `nas` cannot be run from a file",
            help,
        );
    }
    let space_path = s.path("searchSpaceFile");
    s.claim("searchSpace");
    let space_tree = root.find(Schema::V2, "searchSpace");
    let trial_command = s.string("trialCommand");
    if !s.has("trialCodeDirectory") {
        s.note_default("trialCodeDirectory", source.base_dir.to_string_lossy().into_owned());
    }
    let code_directory = s.path("trialCodeDirectory").unwrap_or_else(|| source.base_dir.clone());
    let trial_concurrency = s.required_u32("trialConcurrency", 1..=MOST);
    let trial_gpus = common::gpu_count(s, "trialGpuNumber".into());
    let max_experiment_duration = s.duration("maxExperimentDuration");
    let max_trial_number = s.u32("maxTrialNumber", 1..=u32::MAX);
    let max_trial_duration = s.duration("maxTrialDuration");
    let nni_manager_ip = s.string("nniManagerIp");
    common::refuse_annotation(s);
    let debug = s.bool_or("debug", false);
    let log_level = common::log_level(s, debug);
    let working_dir = common::working_dir(s, "experimentWorkingDirectory".into());
    let tuner_gpu_indices = s.gpu_indices("tunerGpuIndices");
    let tuner = s.section("tuner", algorithm).flatten();
    let assessor = s.section("assessor", algorithm).flatten();
    let advisor = s.section("advisor", algorithm).flatten();
    if s.has("advisor") && (s.has("tuner") || s.has("assessor")) {
        let help = "an advisor is tuner and assessor in one; keep either the advisor or the others";
        s.problem("advisor", "`advisor` excludes `tuner` and `assessor`", help);
    } else if !s.has("advisor") && !s.has("tuner") {
        s.problem(
            "tuner",
            "the key `tuner` is missing",
            "add `tuner: {name: TPE}` or another tuner",
        );
    }
    let shared_storage = common::shared_storage(s);
    let own = Own::read(s);
    s.claim("trainingService");
    let services = root.find(Schema::V2, "trainingService");
    if services.is_none() {
        s.problem(
            "trainingService",
            "no training service is given",
            "write `trainingService: {platform: …}`",
        );
    }
    if let (Some(_), Some(_)) = (&space_path, space_tree) {
        let help = "keep one of the two; NNI takes the file as well";
        s.warn(
            "searchSpace",
            "`searchSpace` has no effect: `searchSpaceFile` wins",
            help,
        );
    } else if !s.has("searchSpaceFile") && space_tree.is_none() {
        let help = "add `searchSpaceFile: search_space.json`, or write the search space under `searchSpace:`";
        s.problem("searchSpace", "there is no search space", help);
    }
    if let (None, Some(tree)) = (&space_path, space_tree)
        && let Ok(value) = tree.to_json()
    {
        let origin = Origin::File {
            file: source.file.display().to_string(),
            line: tree.line,
        };
        s.problems().note("searchSpace", value, origin);
    }
    for entry in s.rest() {
        s.refuse(entry, reference::other_schema(Schema::V2, &entry.key));
    }
    section.finish();

    let space = match (space_path, space_tree) {
        (Some(path), _) => search_space::from_file(&path, "searchSpaceFile".into(), problems),
        (None, Some(tree)) => search_space::from_tree(tree.clone(), &source.file, "searchSpace".into(), problems),
        (None, None) => None,
    };
    if let (Some(space), Some(algorithm)) = (&space, advisor.as_ref().or(tuner.as_ref()))
        && search_space::is_checked_for(algorithm)
    {
        space.check(problems);
    }
    let shortcuts = Shortcuts {
        trial_command,
        trial_code_directory: Some(code_directory),
        trial_gpu_number: trial_gpus,
        nni_manager_ip: nni_manager_ip.clone(),
        debug,
    };
    let sections = match services {
        Some(node) => training_services(node, &shortcuts, shared_storage.as_ref(), source, platforms, problems),
        None => Vec::new(),
    };
    let first = sections
        .first()
        .map(|p: &PlatformSection| p.shortcuts.clone())
        .unwrap_or(shortcuts);
    let code_directory = first.trial_code_directory.unwrap_or_default();
    check_code_directory(root, &code_directory, source, problems);
    ExperimentConfig {
        file: source.file.clone(),
        schema: Schema::V2,
        name,
        description: None,
        search_space: space.map(|s| s.value),
        trial_command: first.trial_command,
        code: own.code(code_directory),
        trial_concurrency,
        trial_gpus: first.trial_gpu_number,
        max_experiment_duration,
        max_trial_number,
        max_trial_duration,
        tuner,
        assessor,
        advisor,
        working_dir,
        log_level,
        debug,
        nni_manager_ip,
        tuner_gpu_indices,
        multi_phase: own.multi_phase,
        shared_storage,
        platforms: sections,
        retry: own.retry,
        seed: own.seed,
        python: own.python,
        prefer_nni: own.prefer_nni,
        trial_channel: own.trial_channel,
    }
}

/// Looks at the directory with a cursor of its own: by now the platform's section may have overruled the top level.
fn check_code_directory(root: &Node, path: &Path, source: &ConfigSource, problems: &mut Problems) {
    let mut section = Section::new(root, "", Schema::V2, source, &mut *problems);
    common::check_code_directory(&mut section, "trialCodeDirectory".into(), path);
}

fn algorithm(s: &mut Section<'_>) -> Option<Algorithm> {
    let name = s.string("name");
    let class_name = s.string("className");
    let directory = match (
        s.path("codeDirectory"),
        s.path(Key::from("classDirectory").migrates_to("codeDirectory")),
    ) {
        (Some(path), _) | (None, Some(path)) => Some(path),
        (None, None) => None,
    };
    let class_args = class_args(s);
    let kind = match (name, class_name) {
        (Some(_), Some(_)) => {
            let help = "keep `name` for a built-in algorithm, or `className` for one of yours";
            s.problem("className", "`name` and `className` exclude each other", help);
            return None;
        }
        (Some(name), None) => AlgorithmKind::Named(name),
        (None, Some(class_name)) => AlgorithmKind::Class {
            class_name,
            code_directory: directory.unwrap_or_else(|| s.source().base_dir.clone()),
        },
        (None, None) => {
            if !s.has("name") && !s.has("className") {
                let help = "add `name: TPE` or another built-in one, or `className` and `codeDirectory`";
                s.problem("name", "the algorithm has no name", help);
            }
            return None;
        }
    };
    Some(Algorithm {
        kind,
        class_args,
        include_intermediate_results: false,
    })
}

/// The arguments of an algorithm, which must be a map.
pub(super) fn class_args(s: &mut Section<'_>) -> serde_json::Map<String, serde_json::Value> {
    match s.json("classArgs") {
        Some(serde_json::Value::Object(args)) => args,
        Some(_) => {
            s.problem(
                "classArgs",
                "`classArgs` is no map",
                "write one `name: value` per argument",
            );
            serde_json::Map::new()
        }
        None => serde_json::Map::new(),
    }
}

fn training_services(
    node: &Node,
    top: &Shortcuts,
    shared_storage: Option<&SharedStorage>,
    source: &Arc<ConfigSource>,
    platforms: &[Platform],
    problems: &mut Problems,
) -> Vec<PlatformSection> {
    let members: Vec<(&Node, String)> = match &node.value {
        Value::Seq(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (item, format!("trainingService[{at}]")))
            .collect(),
        _ => vec![(node, "trainingService".to_owned())],
    };
    if members.is_empty() {
        problems.push(
            Problem::new(
                &source.file,
                node.line,
                node.column,
                "the list of training services is empty",
            )
            .with_key("trainingService")
            .with_help("add at least one `- platform: …`"),
        );
    }
    members
        .into_iter()
        .filter_map(|(node, path)| member(node, path, top, shared_storage, source, platforms, problems))
        .collect()
}

fn member(
    node: &Node,
    path: String,
    top: &Shortcuts,
    shared_storage: Option<&SharedStorage>,
    source: &Arc<ConfigSource>,
    platforms: &[Platform],
    problems: &mut Problems,
) -> Option<PlatformSection> {
    let mut section = Section::new(node, path.clone(), Schema::V2, source, problems);
    let s = &mut section;
    let name = s.required_string("platform");
    let shortcuts = Shortcuts {
        trial_command: s.string("trialCommand").or_else(|| top.trial_command.clone()),
        trial_code_directory: s
            .path("trialCodeDirectory")
            .or_else(|| top.trial_code_directory.clone()),
        trial_gpu_number: match common::gpu_count(s, "trialGpuNumber".into()) {
            GpuCount::Unset => top.trial_gpu_number,
            own @ GpuCount::Exactly(_) => own,
        },
        nni_manager_ip: s.string("nniManagerIp").or_else(|| top.nni_manager_ip.clone()),
        debug: s.bool("debug").unwrap_or(top.debug),
    };
    note_shortcuts(s, &shortcuts);
    let share = if path.ends_with(']') {
        share(s)
    } else {
        Share::default()
    };
    let platform = common::find_platform(platforms, &name, |message, help| s.problem("platform", message, help));
    let rest: Vec<Entry> = s.rest().into_iter().cloned().collect();
    let platform = platform?;
    let node = Node::new(Value::Map(rest), node.line, node.column);
    if shortcuts.trial_command.is_none() && !has_command(&node) {
        let help = "add `trialCommand: python3 trial.py` at the top level";
        section.problem("trialCommand", "there is no command for trials", help);
    }
    Some(PlatformSection {
        platform: platform.name,
        schema: Schema::V2,
        path,
        node: Arc::new(node),
        shortcuts,
        share,
        shared_storage: shared_storage.cloned(),
        source: Arc::clone(source),
    })
}

/// Keys that a platform has only beside others.
fn share(s: &mut Section<'_>) -> Share {
    Share {
        concurrency: s.u32("trialConcurrency", 1..=MOST),
        weight: s.u32("weight", 1..=1000),
    }
}

fn note_shortcuts(s: &mut Section<'_>, shortcuts: &Shortcuts) {
    let copied: [(&'static str, Option<serde_json::Value>); 3] = [
        ("trialCommand", shortcuts.trial_command.as_deref().map(Into::into)),
        (
            "trialCodeDirectory",
            shortcuts
                .trial_code_directory
                .as_ref()
                .map(|p: &PathBuf| p.to_string_lossy().into()),
        ),
        (
            "trialGpuNumber",
            match shortcuts.trial_gpu_number {
                GpuCount::Exactly(n) => Some(n.into()),
                GpuCount::Unset => None,
            },
        ),
    ];
    for (key, value) in copied {
        if let Some(value) = value.filter(|_| !s.has(key)) {
            let path = s.key_path(key);
            s.problems().note(path, value, Origin::Shortcut(key));
        }
    }
}

/// Keys, folded, of a command and of files that hold whole jobs.
const COMMAND_GIVERS: [&str; 5] = [
    "command",
    "configpath",
    "paiconfigpath",
    "openpaiconfig",
    "openpaiconfigfile",
];

/// Whether somewhere below a role of the job has a command of its own, or another file may give it one: its platform reads that.
pub(super) fn has_command(node: &Node) -> bool {
    let gives = |key: &str| COMMAND_GIVERS.contains(&Schema::V2.fold(key).as_str());
    match &node.value {
        Value::Map(entries) => entries.iter().any(|e| gives(&e.key) || has_command(&e.value)),
        Value::Seq(items) => items.iter().any(has_command),
        _ => false,
    }
}
