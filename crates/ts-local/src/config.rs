//! `LocalConfig`: what can be set for trials on this machine.
//!
//! Reading a value from a configuration file is `ts-core`'s; what the values mean is decided where they are used.

use rustix::process::Signal;
use std::{path::PathBuf, time::Duration};
use ts_core::{
    DEFAULT_GRACE, GpuCount,
    config::{PlatformSection, Problems, Schema, Section},
};

/// Settings of the local platform. `LocalConfig::default()` is right for a machine without GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalConfig {
    /// Whether each trial gets its own clone of the code directory. Default false: as with NNI, the command runs in the
    /// user's code directory itself, which is neither scanned nor limited.
    pub isolate: bool,
    /// Time between the request to end and the forced end of a trial's processes. Default 5 s, as NNI 2.x.
    pub grace_period: Duration,
    /// The signal that asks a trial to end. Default SIGTERM.
    pub cancel_signal: CancelSignal,
    /// Indices of the GPUs that trials may use, as nvidia-smi counts. Default: all.
    ///
    /// Source: nni v1.9, `gpuIndices` of `localConfig`.
    pub gpu_indices: Option<Vec<u32>>,
    /// Most trials of this experiment on one GPU at a time, at least 1. Default 1.
    ///
    /// Source: nni v2.0, `maxTrialNumberPerGpu`; v1.9, `maxTrialNumPerGpu`.
    pub max_trials_per_gpu: u32,
    /// Whether GPUs with processes of others may be used. Default false.
    pub use_active_gpu: bool,
    /// The program that tells about GPUs. Default `nvidia-smi`, found through `PATH`.
    pub nvidia_smi: PathBuf,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            isolate: false,
            grace_period: DEFAULT_GRACE,
            cancel_signal: CancelSignal::Terminate,
            gpu_indices: None,
            max_trials_per_gpu: 1,
            use_active_gpu: false,
            nvidia_smi: PathBuf::from("nvidia-smi"),
        }
    }
}

impl LocalConfig {
    /// Reads the platform's section of an experiment file; all problems go to `problems`.
    ///
    /// Schema 1 has the keys in `localConfig`, schema 2 in `trainingService`. `isolate`, `gracePeriod`, `cancelSignal` and
    /// `nvidiaSmi` are ours.
    pub fn read(section: &PlatformSection, problems: &mut Problems) -> Self {
        let gpus = section.shortcuts().trial_gpu_number;
        section.read(problems, |s| match s.schema() {
            Schema::V1 => s.section("localConfig", |s| Self::keys(s, gpus)).unwrap_or_default(),
            Schema::V2 => Self::keys(s, gpus),
        })
    }

    fn keys(s: &mut Section<'_>, gpus: GpuCount) -> Self {
        let per_gpu = ("maxTrialNumberPerGpu", "maxTrialNumPerGpu");
        let default = Self::default();
        let config = Self {
            isolate: s.bool_or("isolate", default.isolate),
            grace_period: s.duration("gracePeriod").unwrap_or(default.grace_period),
            cancel_signal: match s.choice("cancelSignal", &["SIGTERM", "SIGINT"]) {
                Some("SIGINT") => CancelSignal::Interrupt,
                _ => CancelSignal::Terminate,
            },
            gpu_indices: s.gpu_indices("gpuIndices"),
            max_trials_per_gpu: s.u32_or(per_gpu, 1..=u32::MAX, default.max_trials_per_gpu),
            use_active_gpu: s.bool_or("useActiveGpu", default.use_active_gpu),
            nvidia_smi: s.string("nvidiaSmi").map_or(default.nvidia_smi, PathBuf::from),
        };
        if s.has("reuseMode") {
            s.ignored("reuseMode", "trials start at once without it");
        }
        if config.max_trials_per_gpu != 1 && matches!(gpus, GpuCount::Unset | GpuCount::Exactly(0)) {
            s.warn(
                per_gpu,
                "the trials of this experiment use no GPU",
                "set the number of GPUs of a trial, or remove the key",
            );
        }
        config
    }
}

/// The signal that asks a trial to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CancelSignal {
    /// SIGTERM, as NNI 2.0 to 2.10 (`localTrainingService.ts`, `tree-kill`).
    #[default]
    Terminate,
    /// SIGINT, as NNI 3.0 (`trial_keeper/process.ts`). Python turns it into `KeyboardInterrupt`.
    Interrupt,
}

impl From<CancelSignal> for Signal {
    fn from(signal: CancelSignal) -> Self {
        match signal {
            CancelSignal::Terminate => Self::TERM,
            CancelSignal::Interrupt => Self::INT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ts_core::config::{ConfigSource, Shortcuts};

    fn read(schema: Schema, text: &str) -> (LocalConfig, Problems) {
        let mut problems = Problems::new();
        let source = ConfigSource {
            file: "exp.yml".into(),
            base_dir: "/base".into(),
            home: None,
        };
        let section = PlatformSection::from_text("local", schema, text, &source, Shortcuts::default(), &mut problems);
        let config = LocalConfig::read(&section.expect("YAML"), &mut problems);
        (config, problems)
    }

    #[test]
    fn every_key_is_read_in_both_schemas() {
        let keys = "isolate: true, gracePeriod: 2s, cancelSignal: SIGINT, useActiveGpu: true, gpuIndices: [0, 2], \
                    nvidiaSmi: /opt/smi";
        let expected = LocalConfig {
            isolate: true,
            grace_period: Duration::from_secs(2),
            cancel_signal: CancelSignal::Interrupt,
            gpu_indices: Some(vec![0, 2]),
            max_trials_per_gpu: 3,
            use_active_gpu: true,
            nvidia_smi: "/opt/smi".into(),
        };
        let v1 = format!("localConfig: {{{keys}, maxTrialNumPerGpu: 3}}");
        let v2 = format!("{{{keys}, maxTrialNumberPerGpu: 3}}");
        for (schema, text) in [(Schema::V1, v1), (Schema::V2, v2)] {
            let (config, problems) = read(schema, &text);
            assert!(problems.is_empty(), "{schema:?}: {:#?}", problems.sorted());
            assert_eq!(config, expected, "{schema:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = "{isolate: often, gracePeriod: soon, cancelSignal: SIGKILL, maxTrialNumberPerGpu: 0}";
        let (_, problems) = read(Schema::V2, text);
        assert_eq!(problems.len(), 4, "{:#?}", problems.sorted());
    }
}
