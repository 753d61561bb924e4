//! Finds the Python that has NNI's package and asks it, before anything starts, whether it can do what the experiment wants.

use crate::{
    experiment_parameters,
    release::Release,
    spec::{Algorithm, Class, NniSpec},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{process::Stdio, sync::Arc};
use tokio::{io::AsyncWriteExt as _, process::Command, sync::OnceCell};
use ts_core::{Error, ErrorKind, Result};

/// Key under which the interpreter is chosen.
const KEY: &str = "tsctl.python";
const PROBE: &str = include_str!("probe.py");
const MARK: &str = "--ts-nni--";

/// NNI's package as an experiment uses it. Cheap to clone; the package is asked once.
#[derive(Debug, Clone)]
pub struct Nni {
    pub(crate) spec: Arc<NniSpec>,
    found: Arc<OnceCell<Installation>>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    pub(crate) python: String,
    pub(crate) release: Release,
}

#[derive(Debug, Deserialize)]
struct Answer {
    version: Option<String>,
    missing: Option<String>,
    #[serde(default)]
    problems: Vec<Option<Problem>>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    at: String,
    message: String,
    /// Module that could not be imported.
    missing: Option<String>,
}

impl Nni {
    /// What an experiment wants. Does no I/O.
    pub fn new(spec: NniSpec) -> Self {
        Self {
            spec: Arc::new(spec),
            found: Arc::default(),
        }
    }

    /// Asks whether the experiment could run. Takes as long as Python needs to import NNI; the answer is kept.
    ///
    /// # Errors
    /// `NotFound` without Python or without the package, `Unsupported` for another version, `Config` for an algorithm that is not
    /// there or does not take its arguments.
    pub async fn check(&self) -> Result<()> {
        self.installation().await.map(drop)
    }

    pub(crate) async fn installation(&self) -> Result<&Installation> {
        self.found.get_or_try_init(|| find(&self.spec)).await
    }
}

async fn find(spec: &NniSpec) -> Result<Installation> {
    let names = match &spec.python {
        Some(python) => vec![python.as_str()],
        None => vec!["python3", "python"],
    };
    for name in &names {
        match ask(name, spec).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::new(ErrorKind::Io, format!("cannot run `{name}`"))
                    .with_key(KEY)
                    .with_source(error));
            }
            Ok(answer) => return judge(name, spec, answer?),
        }
    }
    let wanted = spec.tuner.name().escape_debug();
    Err(Error::new(
        ErrorKind::NotFound,
        format!(
            "`{wanted}` needs Python with NNI's package, and there is no `{}`",
            names.join("`, no `")
        ),
    )
    .with_key(KEY)
    .with_help("install Python, or name one: `tsctl: {python: /path/to/bin/python}`"))
}

/// Runs the probe. The outer error is that of the start.
async fn ask(python: &str, spec: &NniSpec) -> std::io::Result<Result<Answer>> {
    let mut command = Command::new(python);
    command
        .args(["-c", PROBE])
        .env_remove("NNI_PLATFORM")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let algorithms: Vec<Value> = algorithms(spec).map(described).collect();
    if let Some(mut stdin) = child.stdin.take() {
        // It may end without reading; its answer says why.
        let _ = stdin.write_all(json!(algorithms).to_string().as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let answer = said
        .rsplit_once(MARK)
        .and_then(|(_, answer)| serde_json::from_str(answer).ok());
    Ok(answer.ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.trim_end().lines().next_back().unwrap_or_default().to_owned();
        Error::new(
            ErrorKind::Protocol,
            format!("`{python}` could not be asked about NNI ({}): {last}", output.status),
        )
        .with_key(KEY)
        .with_help(format!("see what `{python} -c 'import nni'` says"))
    }))
}

fn judge(python: &str, spec: &NniSpec, answer: Answer) -> Result<Installation> {
    let Some(version) = answer.version else {
        let why = answer.missing.unwrap_or_default();
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "`{}` needs NNI's package, which `{python}` does not have: {why}",
                spec.tuner.name().escape_debug()
            ),
        )
        .with_key(KEY)
        .with_help(format!(
            "`{python} -m pip install nni`, or name another Python under `{KEY}`"
        )));
    };
    let release = Release::parse(&version)?;
    for (algorithm, problem) in algorithms(spec).zip(answer.problems) {
        let Some(problem) = problem else { continue };
        let name = algorithm.name().escape_debug();
        let key = match (&algorithm.class, problem.at.as_str()) {
            (_, "classArgs") => "classArgs",
            (Class::Named(_), _) => "name",
            (Class::Own { .. }, _) => "className",
        };
        return Err(Error::new(
            ErrorKind::Config,
            format!("`{name}` of NNI {version}: {}", problem.message),
        )
        .with_key(format!("{}.{key}", algorithm.key))
        .with_help(match key {
            "classArgs" => "give the arguments that its constructor takes".to_owned(),
            "name" => help_with_name(python, release, algorithm.name(), problem.missing.as_deref()),
            _ => "correct `className` or `codeDirectory`, or install what it imports".to_owned(),
        }));
    }
    Ok(Installation {
        python: python.to_owned(),
        release,
    })
}

/// What to do about an algorithm that NNI does not have, or whose package lacks `missing`.
///
/// NNI's own extras do not serve: not every algorithm has one, and that of BOHB brings a ConfigSpace that it cannot import.
fn help_with_name(python: &str, release: Release, name: &str, missing: Option<&str>) -> String {
    let packages = match missing {
        Some("sklearn") => "scikit-learn",
        Some("ConfigSpace" | "statsmodels") => "'ConfigSpace<1' statsmodels",
        Some("smac") => "smac4nni ConfigSpaceNNI",
        Some("yaml") => "PyYAML",
        Some(module) => module,
        None if release.major == 1 && is_apart(name) => {
            let name = experiment_parameters::first_name(name);
            return format!("`nnictl package install --name={name}`, with the `nnictl` beside `{python}`");
        }
        None => return "correct the name, or register the algorithm: `nnictl algo register`".to_owned(),
    };
    format!("install what it needs: `{python} -m pip install {packages}`")
}

/// Whether nni v1.9 has it as a package to be installed.
///
/// Source: nni v1.9, `nni_cmd/constants.py`, `INSTALLABLE_PACKAGE_META`.
fn is_apart(name: &str) -> bool {
    matches!(name, "BOHB" | "SMAC" | "PPO" | "PPOTuner")
}

fn algorithms(spec: &NniSpec) -> impl Iterator<Item = &Algorithm> {
    std::iter::once(&spec.tuner).chain(&spec.assessor)
}

fn described(algorithm: &Algorithm) -> Value {
    let kind = match algorithm.key.as_str() {
        _ if algorithm.is_advisor() => "advisor",
        "assessor" => "assessor",
        _ => "tuner",
    };
    let mut described = match &algorithm.class {
        Class::Named(name) => json!({ "name": name }),
        Class::Own {
            class_name,
            code_directory,
        } => json!({ "className": class_name, "codeDirectory": code_directory }),
    };
    described["kind"] = json!(kind);
    described["classArgs"] = json!(algorithm.class_args);
    described
}
