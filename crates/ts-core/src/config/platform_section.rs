//! A platform's own part of a configuration: handed over raw, read by the platform with the common [`Section`] cursor.
//!
//! Which keys a platform has is the platform's own business.

use super::{
    model::SharedStorage,
    node::Node,
    problems::Problems,
    section::Section,
    source::{ConfigSource, Schema},
    yaml,
};
use crate::GpuCount;
use std::{path::PathBuf, sync::Arc};

/// Values that every platform shares: its own if written in its section, else those of the top level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortcuts {
    /// Shell command of a trial.
    pub trial_command: Option<String>,
    /// Absolute code directory.
    pub trial_code_directory: Option<PathBuf>,
    /// GPUs per trial; unset, 0 and n differ.
    pub trial_gpu_number: GpuCount,
    /// Address under which workers reach the manager.
    pub nni_manager_ip: Option<String>,
    /// Whether to log in detail.
    pub debug: bool,
}

/// What a platform takes of an experiment that runs on several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// Most trials at a time. `None`: as many as the experiment has.
    pub concurrency: Option<u32>,
    /// Its part of the trials beside the others'. Without any weight in the list the first platform with room is taken.
    pub weight: Option<u32>,
}

/// A platform's own part of the configuration, with source positions.
///
/// Schema 2: the keys of `trainingService`. Schema 1: the platform's own top-level sections (`localConfig`,
/// `machineList`, …) under their names, and those keys of `trial` that are the platform's alone, under `trial`.
#[derive(Debug, Clone)]
pub struct PlatformSection {
    pub(super) platform: &'static str,
    pub(super) schema: Schema,
    pub(super) path: String,
    pub(super) node: Arc<Node>,
    pub(super) shortcuts: Shortcuts,
    pub(super) share: Share,
    pub(super) shared_storage: Option<SharedStorage>,
    pub(super) source: Arc<ConfigSource>,
}

impl PlatformSection {
    /// A section of its own, for platforms that are used without an experiment file, and for their tests.
    ///
    /// `text` holds what is described at [`PlatformSection`]. `None` if it is no YAML; the reason is in `problems`.
    pub fn from_text(
        platform: &'static str,
        schema: Schema,
        text: &str,
        source: &ConfigSource,
        shortcuts: Shortcuts,
        problems: &mut Problems,
    ) -> Option<Self> {
        Some(Self {
            platform,
            schema,
            path: String::new(),
            node: Arc::new(yaml::load(text, &source.file, problems)?),
            shortcuts,
            share: Share::default(),
            shared_storage: None,
            source: Arc::new(source.clone()),
        })
    }

    /// Name of the platform, as [`crate::Platform::name`] spells it.
    pub fn platform(&self) -> &'static str {
        self.platform
    }
    /// The schema of the file.
    pub fn schema(&self) -> Schema {
        self.schema
    }
    /// Values that every platform shares.
    pub fn shortcuts(&self) -> &Shortcuts {
        &self.shortcuts
    }
    /// What it takes of an experiment that runs on several platforms.
    pub fn share(&self) -> Share {
        self.share
    }
    /// File, directory and home that paths are read with.
    pub fn source(&self) -> &ConfigSource {
        &self.source
    }
    /// The experiment's storage that manager and workers share, which few platforms use.
    pub fn shared_storage(&self) -> Option<&SharedStorage> {
        self.shared_storage.as_ref()
    }
    /// The raw tree.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Reads the section: `read` asks for its keys, what it does not ask for is refused.
    ///
    /// What `read` gives may be used only if it left no problem.
    ///
    /// ```
    /// # use ts_core::config::{ConfigSource, PlatformSection, Problems, Schema, Shortcuts};
    /// # let source = ConfigSource { file: "c.yml".into(), base_dir: "/exp".into(), home: None };
    /// # let mut problems = Problems::new();
    /// # let text = "host: a\nmaxTrialNumberPerGpu: 2\nprot: 3";
    /// # let section = PlatformSection::from_text("demo", Schema::V2, text, &source, Shortcuts::default(), &mut problems);
    /// # let section = section.unwrap();
    /// let (host, per_gpu, port) = section.read(&mut problems, |s| {
    ///     (
    ///         s.required_string(("host", "ip")),
    ///         s.u32_or(("maxTrialNumberPerGpu", "maxTrialNumPerGpu"), 1..=u32::MAX, 1),
    ///         s.u32_or("port", 1..=65535, 22),
    ///     )
    /// });
    /// assert_eq!((host.as_str(), per_gpu, port), ("a", 2, 22));
    /// assert_eq!(problems.sorted()[0].help.as_deref(), Some("did you mean `port`?"));
    /// ```
    pub fn read<T>(&self, problems: &mut Problems, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        problems.note_reader(Some(self.platform));
        let mut section = Section::new(&self.node, &*self.path, self.schema, &self.source, problems);
        let value = read(&mut section);
        section.finish();
        problems.note_reader(None);
        value
    }
}
