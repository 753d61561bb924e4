//! The state of the platform: what has been issued, registered, stored and submitted.

use crate::{blob::store::Store, entra::tokens::Tokens, faults::Armed, life::job::Job, log::Request, setting::Setting};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet, VecDeque};

/// The account of the workspace's storage.
pub(crate) const ACCOUNT: &str = "trialsstorage";
/// The container of the datastore `workspaceblobstore`.
pub(crate) const BLOBSTORE: &str = "azureml-blobstore-7d9c";
/// The container of the datastore `workspaceartifactstore`.
pub(crate) const ARTIFACTS: &str = "azureml";

/// What a job that reaches a status fails with.
#[derive(Debug, Clone)]
pub(crate) struct Doom {
    pub(crate) status: String,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Requests that are left in this hour.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) reads: u32,
    pub(crate) writes: u32,
    pub(crate) deletes: u32,
}

/// The state.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) secret: String,
    /// The secret was right once.
    pub(crate) secret_expired: bool,
    pub(crate) tokens: Tokens,
    pub(crate) imds_phases: VecDeque<u16>,
    pub(crate) budget: Budget,
    /// By name and version.
    pub(crate) codes: BTreeMap<(String, String), Value>,
    pub(crate) environments: BTreeMap<(String, String), Value>,
    /// In order of creation.
    pub(crate) jobs: Vec<Job>,
    /// Name and id.
    pub(crate) experiments: Vec<(String, String)>,
    pub(crate) blobs: Store,
    /// Statuses in which jobs stay.
    pub(crate) held: HashSet<String>,
    pub(crate) doom: Vec<Doom>,
    /// Code and message of what keeps compute targets from getting nodes.
    pub(crate) compute_error: Option<(String, String)>,
    pub(crate) faults: Vec<Armed>,
    pub(crate) requests: Vec<Request>,
}

impl World {
    pub(crate) fn new(setting: &Setting) -> Self {
        let mut blobs = Store::new(ACCOUNT);
        for container in [BLOBSTORE, ARTIFACTS] {
            blobs.create_container(container);
        }
        Self {
            secret: setting.client_secret.clone(),
            secret_expired: false,
            tokens: Tokens::default(),
            imds_phases: VecDeque::new(),
            budget: Budget {
                reads: setting.reads,
                writes: setting.writes,
                deletes: 15_000,
            },
            codes: BTreeMap::new(),
            environments: BTreeMap::new(),
            jobs: Vec::new(),
            experiments: Vec::new(),
            blobs,
            held: HashSet::new(),
            doom: Vec::new(),
            compute_error: None,
            faults: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// A job by its name, which is case-sensitive.
    pub(crate) fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    /// The id of an experiment, which is made when it is first named.
    pub(crate) fn experiment(&mut self, name: &str) -> String {
        if let Some((_, id)) = self.experiments.iter().find(|(known, _)| known == name) {
            return id.clone();
        }
        let id = uuid();
        self.experiments.push((name.to_owned(), id.clone()));
        id
    }
}

/// A random id.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
