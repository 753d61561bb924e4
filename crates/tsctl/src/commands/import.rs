//! `import`: an experiment of NNI becomes one of ours. NNI's folder is read and never written.

use super::now;
use crate::{
    cli::Import,
    environment::Environment,
    exit::Exit,
    load::{self, Failure, Loaded},
    locate::{self, registry},
    nni_home,
    nni_params::{self, Moves},
    output::Output,
    platforms::PLATFORMS,
    session,
};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use ts_core::{
    CodeDirectory, Error, ErrorKind, ExperimentId, ExperimentSpec, LogKind, Result, SystemClock, Warning,
    config::{ConfigSource, migrate, parse, without_secrets},
};
use ts_manager::{
    ExperimentDirectory,
    nni_folder::{NniExperiment, NniTrial},
    store::{FILE_NAME, Limits, NewExperiment, Optimize, Store},
};

/// Imports an experiment.
pub(crate) fn import(environment: &Environment, output: &Output, args: &Import) -> Result<Exit, Failure> {
    let folder = nni_home::folder(environment, &args.from)?;
    if folder.join(FILE_NAME).exists() {
        let message = format!("`{}` is an experiment of tsctl already", folder.display());
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_help("`tsctl status DIR` shows it, `tsctl resume DIR` goes on with it")
            .into());
    }
    let parent = parent(environment, args)?;
    let experiment = read(&folder, &parent)?;
    refuse_known(environment, &experiment.id)?;
    nni_home::refuse_running(environment, experiment.id.as_str())?;
    let directory = ExperimentDirectory::new(&parent, &experiment.id);
    if directory.path().exists() {
        let message = format!("`{}` exists already", directory.path().display());
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_help("name another directory by `--to`, or remove this one")
            .into());
    }
    directory.create()?;
    let made = make(environment, &experiment, &directory, &Moves::default());
    let warnings = made.inspect_err(|_| {
        // Half an experiment helps nobody; what cannot be removed is reported by the next import.
        let _ = std::fs::remove_dir_all(directory.path());
    })?;
    registry(environment)?.add(&experiment.id, directory.path())?;
    tell(output, &experiment, &directory, &warnings, json!({ "from": folder }))?;
    Ok(Exit::Success)
}

/// Says what was taken over; `more` is what else the document says.
pub(super) fn tell(
    output: &Output,
    experiment: &NniExperiment,
    directory: &ExperimentDirectory,
    warnings: &[Warning],
    more: Value,
) -> Result<()> {
    for warning in warnings {
        output.warning(warning);
    }
    let n_metrics: usize = experiment.trials.iter().map(|trial| trial.metrics.len()).sum();
    let mut document = json!({
        "experiment": { "id": experiment.id, "directory": directory.path() },
        "trials": experiment.trials.len(),
        "metrics": n_metrics,
        "warnings": warnings.iter().map(|warning| &warning.message).collect::<Vec<_>>(),
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    output.data(&document, || format!("{}\n", experiment.id))?;
    output.say(format_args!(
        "{} trials with {n_metrics} metrics are in `{}`; `tsctl resume {}` goes on with them",
        experiment.trials.len(),
        directory.path().display(),
        experiment.id
    ));
    Ok(())
}

/// The directory that gets the experiment's.
fn parent(environment: &Environment, args: &Import) -> Result<PathBuf> {
    let parent = match (&args.to, environment.default_working_dir()) {
        (Some(path), _) => environment.absolute(path),
        (None, Some(working_dir)) => working_dir.join("imported"),
        (None, None) => {
            return Err(
                Error::new(ErrorKind::Config, "the home directory is not known").with_help("name one by `--to DIR`")
            );
        }
    };
    std::fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, e))?;
    Ok(parent)
}

fn read(folder: &Path, parent: &Path) -> Result<NniExperiment> {
    let scratch = parent.join(format!(".import-{}", std::process::id()));
    std::fs::create_dir(&scratch).map_err(|e| Error::io("create", &scratch, e))?;
    let read = NniExperiment::read(folder, &scratch);
    std::fs::remove_dir_all(&scratch).map_err(|e| Error::io("remove", &scratch, e))?;
    read
}

/// Refuses an experiment that is there already, of whatever origin.
pub(super) fn refuse_known(environment: &Environment, id: &ExperimentId) -> Result<()> {
    let known = locate::all(environment)?;
    let Some(place) = known.into_iter().find(|place| place.id == *id && place.exists()) else {
        return Ok(());
    };
    let message = format!(
        "experiment {id} is there already: `{}`",
        place.directory.path().display()
    );
    Err(Error::new(ErrorKind::Conflict, message).with_help(format!(
        "`tsctl resume {id}` goes on with it; `tsctl gc {id} --yes` removes it, so that it can be taken over again",
    )))
}

/// Fills the directory: configuration, links to logs, store.
pub(super) fn make(
    environment: &Environment,
    experiment: &NniExperiment,
    directory: &ExperimentDirectory,
    moves: &Moves,
) -> Result<Vec<Warning>> {
    let mut warnings: Vec<Warning> = experiment
        .left_out
        .iter()
        .map(|what| Warning::new(format!("not taken over: {what}")))
        .collect();
    let configuration = Configuration::write(environment, experiment, directory.path(), moves, &mut warnings)?;
    let new = NewExperiment::new(
        experiment.id.clone(),
        experiment.started,
        configuration.stored_text,
        configuration.limits,
    )
    .with_config(configuration.stored);
    let store = Store::create(&directory.store(), &new, Arc::new(SystemClock::new()))?;
    let mut urls = std::collections::HashMap::new();
    for trial in &experiment.trials {
        urls.insert(trial.id.clone(), url(experiment, trial, directory.path())?);
    }
    let url_of = |trial: &NniTrial| urls.get(&trial.id).cloned().flatten();
    let changes = experiment.changes(&configuration.spec, configuration.optimize, now(), url_of);
    session::runtime()?.block_on(store.apply(changes))?;
    Ok(warnings)
}

/// What the store keeps of the configuration.
struct Configuration {
    stored_text: String,
    stored: Value,
    limits: Limits,
    spec: ExperimentSpec,
    optimize: Optimize,
}

impl Configuration {
    /// Writes the configuration beside the store, in schema 2, and reads it. One that does not read now is kept as it is: what is
    /// missing, such as the code directory, may be there when the experiment goes on.
    fn write(
        environment: &Environment,
        experiment: &NniExperiment,
        directory: &Path,
        moves: &Moves,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self> {
        let files = nni_params::files(&experiment.params, moves);
        warnings.extend(files.notes.iter().map(|note| Warning::new(note.clone())));
        if let Some(space) = &files.search_space {
            write_private(&directory.join(nni_params::SPACE_FILE), space)?;
        }
        let path = directory.join("config.yml");
        let source = ConfigSource {
            file: path.clone(),
            base_dir: directory.to_owned(),
            home: environment.home.clone(),
        };
        let text = match migrate(&files.configuration, &source, PLATFORMS, None) {
            Ok(migrated) => migrated.text,
            Err(_) => files.configuration,
        };
        write_private(&path, &text)?;
        let parsed = parse(&text, &source, PLATFORMS);
        for problem in parsed.problems.sorted() {
            let mut message = format!("the experiment cannot go on here: {}", problem.message);
            if !problem.key.is_empty() {
                message = format!("{message} (`{}`)", problem.key);
            }
            let help = "mend that before `tsctl resume`; looking at the experiment works";
            warnings.push(Warning::new(message).with_help(problem.help.clone().unwrap_or_else(|| help.to_owned())));
        }
        if let Ok(loaded) = Loaded::from_text(text.clone(), source.clone()) {
            let mut spec = ExperimentSpec::new(
                experiment.id.clone(),
                loaded.config.code.clone(),
                loaded.config.trial_command.clone().unwrap_or_default(),
            );
            spec.gpus = loaded.config.trial_gpus;
            spec.concurrency = loaded.config.trial_concurrency;
            spec.multi_phase = loaded.config.multi_phase;
            return Ok(Self {
                stored_text: loaded.stored_text(),
                stored: loaded.stored(),
                limits: loaded.limits(),
                optimize: load::optimize(&loaded.config),
                spec,
            });
        }
        // What could be read counts.
        let resolved = parsed.resolved.to_json();
        let number = |key: &str| resolved[key].as_u64().and_then(|n| u32::try_from(n).ok());
        let text_of = |key: &str| resolved[key].as_str().unwrap_or_default();
        let seconds = |key: &str| text_of(key).trim_end_matches('s').parse::<u64>().ok();
        let mut limits = Limits::new(number("trialConcurrency").unwrap_or(1).max(1));
        limits.max_trials = number("maxTrialNumber").or_else(|| number("maxTrialNum"));
        let most = seconds("maxExperimentDuration").or_else(|| seconds("maxExecDuration"));
        limits.max_duration_ms = most.map(|seconds| seconds.saturating_mul(1000));
        let spec = ExperimentSpec::new(
            experiment.id.clone(),
            CodeDirectory::new(text_of("trialCodeDirectory")),
            text_of("trialCommand"),
        );
        let algorithms =
            ["tuner", "advisor", "assessor"].map(|key| &experiment.params[key]["classArgs"]["optimize_mode"]);
        let mode = algorithms.into_iter().find_map(|mode| Optimize::parse(mode.as_str()?));
        Ok(Self {
            stored_text: without_secrets(&text, &parsed.secrets, &path),
            stored: json!({
                "file": path,
                "baseDir": directory,
                "home": environment.home,
                "resolved": resolved,
            }),
            limits,
            optimize: mode.unwrap_or(Optimize::Maximize),
            spec,
        })
    }
}

/// Writes a file that its owner alone may read: it may hold secrets.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Error::io("write", path, e))
}

/// Where a person finds what the trial wrote: a directory of ours with links to NNI's files, or else what NNI says.
fn url(experiment: &NniExperiment, trial: &NniTrial, directory: &Path) -> Result<Option<String>> {
    let said = trial.log_path.as_deref();
    let said_path = said.map(|path| path.strip_prefix("file://localhost:").unwrap_or(path));
    let said_path = said_path.filter(|path| path.starts_with('/')).map(PathBuf::from);
    // Its own folder first: what NNI says is where that was. The second is that of NNI 3.0.
    let places = [
        experiment.folder.join("trials").join(trial.id.as_str()),
        experiment
            .folder
            .join("environments/local-env/trials")
            .join(trial.id.as_str()),
    ];
    let own = directory.join("trials").join(trial.id.as_str());
    let mut has_any = false;
    // What came in an archive names places of another machine, and everything of it is in the directory.
    let elsewhere = said_path.clone().filter(|_| !experiment.folder.starts_with(directory));
    for place in places.into_iter().chain(elsewhere) {
        for kind in [LogKind::Stdout, LogKind::Stderr, LogKind::Trial] {
            has_any |= link(&place, kind, &own)?;
        }
        if has_any {
            return Ok(Some(format!("file://localhost:{}", own.display())));
        }
    }
    Ok(match said_path {
        Some(path) => Some(format!("file://localhost:{}", path.display())),
        None => said.map(str::to_owned),
    })
}

/// Links the file of a log, whatever NNI's version calls it. Whether there is one.
fn link(place: &Path, kind: LogKind, own: &Path) -> Result<bool> {
    let names: &[&str] = match kind {
        LogKind::Stdout => &["stdout", "trial.stdout", "stdout_log_collection.log"],
        LogKind::Stderr => &["stderr", "trial.stderr"],
        _ => &["trial.log"],
    };
    let Some(file) = names.iter().map(|name| place.join(name)).find(|path| path.is_file()) else {
        return Ok(false);
    };
    let link = own.join(kind.file_name());
    std::fs::create_dir_all(own)
        .and_then(|()| std::os::unix::fs::symlink(&file, &link))
        .map_err(|e| Error::io("link", &link, e))?;
    Ok(true)
}
