//! `paiYarn`: clusters of before OpenPAI 1.0. Their files are understood as far as is needed to say what to change.

use ts_core::config::{PlatformSection, Problems, Schema};

/// Keys of `trial` that files for these clusters have. Source: nni v1.9, `tools/nni_cmd/config_schema.py`.
pub(crate) const TRIAL_KEYS: &[&str] = &[
    "authFile",
    "cpuNum",
    "dataDir",
    "image",
    "memoryMB",
    "outputDir",
    "portList",
    "shmMB",
    "virtualCluster",
];

/// Why it is refused.
pub(crate) const RETIRED: &str =
    "the platform `paiYarn` is retired: OpenPAI 1.0 replaced YARN by Kubernetes and has no such routes";

const HELP: &str = "write `trainingServicePlatform: pai`, rename `paiYarnConfig` to `paiConfig`, remove `authFile`, `shmMB`, `portList`, \
                    `dataDir` and `outputDir`, and add to `trial`: `nniManagerNFSMountPath`, `containerNFSMountPath` and \
                    `paiStorageConfigName`";

/// Refuses the section, with what to change.
pub(crate) fn refuse(section: &PlatformSection, problems: &mut Problems) {
    section.read(problems, |s| {
        for key in ["paiYarnConfig", "trial"] {
            s.node(key);
        }
        let key = match s.schema() {
            Schema::V1 => "paiYarnConfig",
            Schema::V2 => "platform",
        };
        s.node(key);
        s.problem(key, RETIRED, HELP);
    });
}
