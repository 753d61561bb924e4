//! What a dispatcher is told on its command line: the algorithms, and nothing of the platform.
//!
//! Source: nni v1.9, v2.7 and v3.0, `nni/__main__.py`.

use crate::{
    release::Release,
    spec::{Algorithm, Class, NniSpec},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// The argument of `--exp_params`.
pub(crate) fn encoded(spec: &NniSpec, release: Release) -> String {
    STANDARD.encode(parameters(spec, release).to_string())
}

fn parameters(spec: &NniSpec, release: Release) -> Value {
    if release.major == 1 {
        let mut all = json!({ "multiThread": false, "multiPhase": spec.multi_phase });
        let tuner = if spec.tuner.is_advisor() { "advisor" } else { "tuner" };
        all[tuner] = first_schema(&spec.tuner, if spec.tuner.is_advisor() { "Advisor" } else { "Tuner" });
        if let Some(assessor) = &spec.assessor {
            all["assessor"] = first_schema(assessor, "Assessor");
        }
        return all;
    }
    // Before 2.6 advisors had a section of their own; later ones are found among the tuners.
    let apart = spec.tuner.is_advisor() && release < (Release { major: 2, minor: 6 });
    let mut all = json!({});
    all[if apart { "advisor" } else { "tuner" }] = second_schema(&spec.tuner);
    if let Some(assessor) = &spec.assessor {
        all["assessor"] = second_schema(assessor);
    }
    all
}

fn second_schema(algorithm: &Algorithm) -> Value {
    let mut section = Map::new();
    match &algorithm.class {
        Class::Named(name) => {
            section.insert("name".into(), json!(name));
        }
        Class::Own {
            class_name,
            code_directory,
        } => {
            section.insert("className".into(), json!(class_name));
            section.insert("codeDirectory".into(), json!(code_directory));
        }
    }
    arguments(&mut section, algorithm);
    Value::Object(section)
}

fn first_schema(algorithm: &Algorithm, what: &str) -> Value {
    let mut section = Map::new();
    match &algorithm.class {
        Class::Named(name) => {
            section.insert(format!("builtin{what}Name"), json!(first_name(name)));
        }
        Class::Own {
            class_name,
            code_directory,
        } => {
            // It imports the file by its bare name, so folders before it belong to the directory.
            let (module, class) = class_name.rsplit_once('.').unwrap_or(("", class_name));
            let (folders, file) = module.rsplit_once('.').unwrap_or(("", module));
            section.insert("codeDir".into(), json!(code_directory.join(folders.replace('.', "/"))));
            section.insert("classFileName".into(), json!(format!("{file}.py")));
            section.insert("className".into(), json!(class));
        }
    }
    arguments(&mut section, algorithm);
    Value::Object(section)
}

fn arguments(section: &mut Map<String, Value>, algorithm: &Algorithm) {
    if !algorithm.class_args.is_empty() {
        section.insert("classArgs".into(), Value::Object(algorithm.class_args.clone()));
    }
}

/// The name as nni v1.9 has it: later releases shortened some and keep the long one as an alias.
///
/// Source: nni v3.0, `nni/runtime/default_config/builtin_algorithms.yml`, `alias`.
pub(crate) fn first_name(name: &str) -> String {
    match name {
        "Batch" | "Metis" | "GP" | "PBT" | "PPO" => format!("{name}Tuner"),
        _ => name.into(),
    }
}
