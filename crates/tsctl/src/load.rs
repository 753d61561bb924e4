//! From a configuration file to the parts of an experiment: read, check, build. Nothing is created here.

use crate::{
    algorithms::{self, Algorithms},
    environment::Environment,
    platforms::PLATFORMS,
    render::failure::from_problem,
    secrets::EnvSecrets,
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentId, ExperimentSpec, Platform, Result, TrainingService, Warning, Warnings,
    config::{
        ConfigSource, ExperimentConfig, LiteralSecret, Parsed, PlatformSection, Problem, Resolved, parse, parse_past,
        without_secrets,
    },
};
use ts_manager::control::Request;
use ts_manager::{
    ExperimentDirectory, Parts, RetryRules,
    assess::Assessor,
    hybrid::{Hybrid, Member},
    source::ParameterSource,
    store::{ExperimentRow, Limits, Optimize, Store},
};
use ts_nni::Nni;

/// Why a command ends without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One error.
    Error(Error),
    /// Several errors that do not depend on each other.
    Errors(Vec<Error>),
    /// Everything that is wrong with a configuration.
    Configuration(Vec<Problem>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

type Parse = fn(&str, &ConfigSource, &[Platform]) -> Parsed;

/// A configuration that was read without a problem.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) text: String,
    pub(crate) source: ConfigSource,
    pub(crate) config: ExperimentConfig,
    pub(crate) resolved: Resolved,
    pub(crate) warnings: Warnings,
    secrets: Vec<LiteralSecret>,
}

impl Loaded {
    /// Reads a file.
    pub(crate) fn from_file(environment: &Environment, file: &Path) -> Result<Self, Failure> {
        let text = read_text(file)?;
        let absolute = environment.absolute(file);
        let source = ConfigSource {
            file: file.to_owned(),
            base_dir: absolute.parent().unwrap_or(Path::new("/")).to_owned(),
            home: environment.home.clone(),
        };
        Self::from_text(text, source)
    }

    /// Reads the configuration of an experiment that exists already, from anywhere, to go on with it.
    pub(crate) fn from_store(row: &ExperimentRow) -> Result<Self, Failure> {
        Self::stored_by(row, parse)
    }

    /// The same, to look at the experiment or to remove it: its code may be gone.
    pub(crate) fn of_past(row: &ExperimentRow) -> Result<Self, Failure> {
        Self::stored_by(row, parse_past)
    }

    fn stored_by(row: &ExperimentRow, parse: Parse) -> Result<Self, Failure> {
        let path = |name: &str| row.config[name].as_str().map(std::path::PathBuf::from);
        let (Some(file), Some(base_dir)) = (path("file"), path("baseDir")) else {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("experiment {} does not say where its configuration was", row.id),
            )
            .with_help("another program created it; run its configuration as a new experiment")
            .into());
        };
        let source = ConfigSource {
            file,
            base_dir,
            home: path("home"),
        };
        let mut loaded = Self::parsed_by(parse, row.config_text.clone(), source)?;
        // The search space of the first run stands, also where its file was changed since.
        if let Some(space) = row.config.get("searchSpace").filter(|space| !space.is_null()) {
            loaded.config.search_space = Some(space.clone());
        }
        Ok(loaded)
    }

    /// Reads a text as if it were the file of `source`.
    pub(crate) fn from_text(text: String, source: ConfigSource) -> Result<Self, Failure> {
        Self::parsed_by(parse, text, source)
    }

    fn parsed_by(parse: Parse, text: String, source: ConfigSource) -> Result<Self, Failure> {
        let parsed = parse(&text, &source, PLATFORMS);
        let Some(config) = parsed.config else {
            return Err(Failure::Configuration(
                parsed.problems.sorted().into_iter().cloned().collect(),
            ));
        };
        check_channel(&config)?;
        Ok(Self {
            text,
            source,
            config,
            resolved: parsed.resolved,
            warnings: parsed.warnings.iter().map(from_problem).collect(),
            secrets: parsed.secrets,
        })
    }

    /// The text that the store keeps: secrets are looked up in the user's file, as long as they are needed.
    pub(crate) fn stored_text(&self) -> String {
        match self.source.file.file_name() {
            Some(name) if !self.secrets.is_empty() => {
                without_secrets(&self.text, &self.secrets, &self.source.base_dir.join(name))
            }
            _ => self.text.clone(),
        }
    }

    /// What the store keeps beside the text, so that the text can be read again from anywhere. Holds no secret.
    pub(crate) fn stored(&self) -> Value {
        json!({
            "file": self.source.file,
            "baseDir": self.source.base_dir,
            "home": self.source.home,
            "searchSpace": self.config.search_space,
            "resolved": self.resolved.to_json(),
        })
    }

    /// The limits that it starts with.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::new(self.config.trial_concurrency);
        limits.max_trials = self.config.max_trial_number;
        limits.max_duration_ms = self.config.max_experiment_duration.map(milliseconds);
        limits
    }

    /// The platform, or several as one. Does no I/O.
    fn service(&self, spec: &ExperimentSpec, ctx: &Ctx) -> Result<Arc<dyn TrainingService>> {
        if let [one] = self.config.platforms.as_slice() {
            return service(one, spec, ctx);
        }
        let mut members: Vec<Member> = Vec::new();
        for section in &self.config.platforms {
            let own = spec_of(section, spec);
            let name = unused_name(section.platform(), &members);
            // None takes another's trials for its own.
            let mut its = ctx.clone();
            its.work_dir = ctx.work_dir.join("platforms").join(&name);
            members.push(Member {
                service: service(section, &own, &its)?,
                spec: own,
                concurrency: section.share().concurrency,
                weight: section.share().weight,
                name,
            });
        }
        Ok(Arc::new(Hybrid::new(ctx.clone(), spec.clone(), members)))
    }
}

/// The channel is an address of this machine's own.
fn check_channel(config: &ExperimentConfig) -> Result<()> {
    let elsewhere = config.platforms.iter().find(|section| section.platform() != "local");
    match elsewhere {
        Some(section) if config.trial_channel => Err(Error::new(
            ErrorKind::Config,
            format!(
                "trials of `{}` cannot reach an address of this machine's own",
                section.platform()
            ),
        )
        .with_key("tsctl.trialChannel")
        .with_help("remove the key: metrics come from there by other ways")),
        _ if config.trial_channel && config.platforms.len() > 1 => Err(Error::new(
            ErrorKind::Config,
            "several platforms at once have no HTTP channel for trials",
        )
        .with_key("tsctl.trialChannel")
        .with_help("remove the key: metrics come by files")),
        _ => Ok(()),
    }
}

/// The text of an experiment file.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| {
        let error = Error::io("read the configuration", file, e);
        match error.kind() {
            ErrorKind::NotFound => error.with_help("name an experiment file, such as `config.yml`"),
            _ => error,
        }
    })
}

/// A duration in the store's unit.
pub(crate) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Everything that an experiment is run with, but its store.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) ctx: Ctx,
    pub(crate) spec: ExperimentSpec,
    pub(crate) service: Arc<dyn TrainingService>,
    pub(crate) source: Box<dyn ParameterSource>,
    assessor: Option<Box<dyn Assessor>>,
    /// NNI's package, if any algorithm comes from there.
    nni: Option<Nni>,
    optimize: Optimize,
    retry: RetryRules,
    max_trial_duration: Option<Duration>,
}

impl Assembly {
    /// Builds the parts; does no I/O. All that is wrong comes back at once.
    pub(crate) fn build(
        loaded: &mut Loaded,
        id: &ExperimentId,
        directory: &ExperimentDirectory,
    ) -> Result<Self, Failure> {
        let ctx = context(directory);
        let mut spec = ExperimentSpec::new(
            id.clone(),
            loaded.config.code.clone(),
            loaded.config.trial_command.clone().unwrap_or_default(),
        );
        spec.gpus = loaded.config.trial_gpus;
        spec.concurrency = loaded.config.trial_concurrency;
        spec.multi_phase = loaded.config.multi_phase;
        let mut warnings = Warnings::new();
        let Algorithms { source, assessor, nni } = algorithms::build(&loaded.config, id, &ctx, &mut warnings);
        let service = loaded.service(&spec, &ctx);
        loaded.warnings.append(&mut warnings);
        match (source, assessor, service) {
            (Ok(source), Ok(assessor), Ok(service)) => Ok(Self {
                ctx,
                spec,
                service,
                source,
                assessor,
                nni,
                optimize: optimize(&loaded.config),
                retry: retry_rules(&loaded.config),
                max_trial_duration: loaded.config.max_trial_duration,
            }),
            (source, assessor, service) => Err(Failure::Errors(
                [source.err(), assessor.err(), service.err()]
                    .into_iter()
                    .flatten()
                    .collect(),
            )),
        }
    }

    /// All parts.
    pub(crate) fn with_store(self, store: Store, requests: Vec<Request>) -> Parts {
        Parts {
            ctx: self.ctx,
            spec: self.spec,
            service: self.service,
            source: self.source,
            assessor: self.assessor,
            store,
            retry: self.retry,
            max_trial_duration: self.max_trial_duration,
            optimize: self.optimize,
            requests,
        }
    }
}

/// The machine's clock, random ids, this user's secrets; files in the experiment's directory.
pub(crate) fn context(directory: &ExperimentDirectory) -> Ctx {
    let mut ctx = Ctx::new(directory.path());
    ctx.secrets = Arc::new(EnvSecrets);
    ctx
}

/// The platform's name, with a number if there is one of that name already.
fn unused_name(platform: &str, members: &[Member]) -> String {
    match members.iter().filter(|m| m.service.platform() == platform).count() {
        0 => platform.to_owned(),
        n => format!("{platform}-{}", n + 1),
    }
}

/// The experiment as one of several platforms has it.
fn spec_of(section: &PlatformSection, spec: &ExperimentSpec) -> ExperimentSpec {
    let shortcuts = section.shortcuts();
    let mut own = spec.clone();
    own.gpus = shortcuts.trial_gpu_number;
    if let Some(command) = &shortcuts.trial_command {
        own.command.clone_from(command);
    }
    if let Some(path) = &shortcuts.trial_code_directory {
        own.code.path.clone_from(path);
    }
    own
}

/// Builds the service of a platform.
fn service(section: &PlatformSection, spec: &ExperimentSpec, ctx: &Ctx) -> Result<Arc<dyn TrainingService>> {
    let platform = crate::platforms::named(section.platform()).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("this build of tsctl has no platform `{}`", section.platform()),
        )
    })?;
    (platform.build)(section, spec, ctx)
}

/// `optimize_mode` of the algorithm; NNI maximizes where nothing is said.
pub(crate) fn optimize(config: &ExperimentConfig) -> Optimize {
    let algorithms = [&config.tuner, &config.advisor, &config.assessor];
    algorithms
        .into_iter()
        .flatten()
        .find_map(|algorithm| Optimize::parse(algorithm.class_args.get("optimize_mode")?.as_str()?))
        .unwrap_or(Optimize::Maximize)
}

fn retry_rules(config: &ExperimentConfig) -> RetryRules {
    RetryRules {
        platform: config.retry.platform,
        memory: config.retry.memory,
        user_code: config.retry.user_code,
    }
}

/// Asks the platform, and NNI's package if it is needed, whether the experiment could run, and adds their warnings.
pub(crate) async fn ask_platform(assembly: &Assembly, warnings: &mut Vec<Warning>) -> Result<()> {
    if let Some(nni) = &assembly.nni {
        nni.check().await?;
    }
    warnings.extend(assembly.service.validate(&assembly.spec).await?);
    Ok(())
}
