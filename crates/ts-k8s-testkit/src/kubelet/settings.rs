//! What a test sets about the node: its size and labels, its images, its patience. Nothing here acts.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

/// The settings, as they are at this moment.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// No pod is bound.
    pub(super) hold_scheduling: bool,
    /// What pods can have of each resource, as quantities.
    pub(super) allocatable: BTreeMap<String, String>,
    /// What a node selector is compared with.
    pub(super) labels: BTreeMap<String, String>,
    /// Images that no registry has.
    pub(super) missing_images: HashSet<String>,
    /// What an image runs where a container has no command.
    pub(super) entrypoints: HashMap<String, Vec<String>>,
    /// Variables that every image brings.
    pub(super) image_env: BTreeMap<String, String>,
    /// How long each image takes to arrive; nothing: it is there already.
    pub(super) pull_delay: Option<Duration>,
    /// The first wait before another try, be it of a container, an image or a volume. It doubles each time.
    pub(super) back_off: Duration,
    /// Above this size a new log file is begun.
    pub(super) log_limit: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self {
            hold_scheduling: false,
            allocatable: pairs(&[
                ("cpu", "16"),
                ("memory", "64Gi"),
                ("ephemeral-storage", "100Gi"),
                ("pods", "110"),
            ]),
            labels: pairs(&[
                ("kubernetes.io/hostname", super::shared::NODE),
                ("kubernetes.io/os", "linux"),
                ("kubernetes.io/arch", "amd64"),
            ]),
            missing_images: HashSet::new(),
            entrypoints: HashMap::new(),
            image_env: pairs(&[("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]),
            pull_delay: None,
            back_off: Duration::from_millis(200),
            log_limit: None,
        }
    }
}

/// Waits that double, up to thirty times the first, as 10 s and 5 min of a real kubelet.
///
/// Source: kubernetes v1.20, `pkg/kubelet/kubelet.go`, `backOffPeriod` and `MaxContainerBackOff`.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
    longest: Duration,
}

impl BackOff {
    /// Begins with `first`.
    pub(super) fn new(first: Duration) -> Self {
        Self {
            next: first,
            longest: first * 30,
        }
    }

    /// How long to wait this time.
    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        wait
    }
}
