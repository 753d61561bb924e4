//! A cluster that others borrow: measurements, which are no scenarios and find no fault.

use super::{
    Lab,
    account::Account,
    basics::{pod_of, wait_for_phase_in},
    cluster::{Cluster, Options},
    images::BUSYBOX,
    jobs::make_claim,
};
use crate::{e2e::Place, workspace};
use anyhow::Result;
use serde_json::json;
use std::path::Path;

/// The image of what runs there.
pub(crate) const IMAGE: &str = BUSYBOX;
/// Where the pod of [`Loan::pod_with_claim`] has its claim.
pub(crate) const CLAIM_AT: &str = "/claim";

/// A cluster, which goes with this.
#[derive(Debug)]
pub(crate) struct Loan {
    place: Place,
    cluster: Cluster,
}

impl Loan {
    /// Brings one up. Without a node pods wait for ever. Its logs lie below `work`.
    pub(crate) fn new(name: &str, work: &Path, tsctl: &Path, with_node: bool) -> Result<Self> {
        let place = Place {
            root: workspace::root(),
            work: work.to_owned(),
            tsctl: tsctl.to_owned(),
        };
        let options = if with_node {
            Lab::new()?.options()
        } else {
            Options {
                api_only: true,
                images: Vec::new(),
            }
        };
        let cluster = Cluster::up(&place, name, &options)?;
        Ok(Self { place, cluster })
    }

    /// Somebody with a namespace of this name, which must be new.
    pub(crate) fn account(&self, namespace: &'static str) -> Result<Account<'_>> {
        Account::new(&self.place, &self.cluster, namespace)
    }

    /// A claim of this name for trials of the account, and a pod of the same name that has it, too.
    pub(crate) fn pod_with_claim(&self, account: &Account<'_>, name: &'static str) -> Result<()> {
        make_claim(&self.cluster, account, name)?;
        let mut pod = pod_of(name, BUSYBOX, "sleep infinity");
        pod["spec"]["volumes"] = json!([{ "name": "claim", "persistentVolumeClaim": { "claimName": name } }]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "claim", "mountPath": CLAIM_AT }]);
        account.create(&pod)?;
        wait_for_phase_in(&self.cluster, account.namespace(), name, "Running")
    }
}
