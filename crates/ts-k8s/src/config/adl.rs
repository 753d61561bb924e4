//! `adl`: AdaptDL's elastic jobs. Their files are understood as far as is needed to say what to change.

use ts_core::config::{PlatformSection, Problems, Schema};

/// Keys of `trial` that files for it have. Source: nni v2.5, `nni/tools/nnictl/config_schema.py`.
pub(crate) const TRIAL_KEYS: &[&str] = &[
    "adaptive",
    "checkpoint",
    "cpuNum",
    "image",
    "imagePullSecrets",
    "memorySize",
    "namespace",
    "nfs",
];

/// Why it is refused.
pub(crate) const RETIRED: &str = "the platform `adl` is not supported: AdaptDL decides itself how many workers a trial has, and is no longer \
                                  developed";

const HELP: &str = "write `trainingService: {platform: kubernetes, image: …}` with `trialGpuNumber`, or the platform `kubeflow` for \
                    several workers; `adaptive` and `checkpoint` have no counterpart";

/// Refuses the section, with what to change.
pub(crate) fn refuse(section: &PlatformSection, problems: &mut Problems) {
    section.read(problems, |s| {
        s.node("trial");
        for entry in section.node().entries().unwrap_or_default() {
            if let Some(known) = TRIAL_KEYS.iter().find(|known| **known == entry.key) {
                s.node(*known);
            }
        }
        let key = match s.schema() {
            Schema::V1 => "trainingServicePlatform",
            Schema::V2 => "platform",
        };
        s.problem(key, RETIRED, HELP);
    });
}
