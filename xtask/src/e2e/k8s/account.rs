//! Somebody who runs experiments in a namespace of their own, with no more rights than `crates/ts-k8s/rbac.yaml` gives.

use super::{audit::Request, cluster::Cluster};
use crate::e2e::{
    Place,
    experiment::{Experiment, Launcher, wait_until},
};
use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

const RULES: &str = "crates/ts-k8s/rbac.yaml";
/// What users replace by their own namespace.
const SUBJECT_NAMESPACE: &str = "namespace: default\n";
/// Name of the account and of its Role in [`RULES`].
const NAME: &str = "nni-manager";

/// Kinds that experiments leave nothing of, as far as the cluster knows them.
const KINDS: &str = "pods,jobs,configmaps,secrets,services";

/// An account and its namespace.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    cluster: &'a Cluster,
    namespace: &'static str,
    kubeconfig: PathBuf,
    /// What the cluster itself has put there.
    at_first: BTreeSet<String>,
}

impl<'a> Account<'a> {
    /// Makes the namespace, which must be new to the cluster, and the account with its rights.
    pub(super) fn new(place: &Place, cluster: &'a Cluster, namespace: &'static str) -> Result<Self> {
        cluster.output(&["create", "namespace", namespace])?;
        let rules = fs::read_to_string(place.root.join(RULES))?;
        ensure!(rules.contains(SUBJECT_NAMESPACE), "`{RULES}` names no namespace");
        let rules = rules.replace(SUBJECT_NAMESPACE, &format!("namespace: {namespace}\n"));
        let file = cluster.kubeconfig().with_file_name(format!("rules-{namespace}.yaml"));
        fs::write(&file, rules)?;
        cluster.output(&["apply", "--namespace", namespace, "-f", &file.to_string_lossy()])?;
        let token = wait_until("the account has a token", || {
            let named = ["get", "serviceaccount", NAME, "-o", "jsonpath={.secrets[0].name}"];
            let secret = in_namespace(cluster, namespace, &named)?;
            if secret.is_empty() {
                return Ok(None);
            }
            let token = in_namespace(
                cluster,
                namespace,
                &["get", "secret", &secret, "-o", "jsonpath={.data.token}"],
            )?;
            Ok((!token.is_empty()).then_some(token))
        })?;
        let token = String::from_utf8(BASE64_STANDARD.decode(token)?).context("a token that is no text")?;
        // Pods of trials run as this one.
        wait_until("the default service account is there", || {
            let field = ["get", "serviceaccount", "default", "-o", "jsonpath={.secrets[*].name}"];
            let secrets = in_namespace(cluster, namespace, &field);
            Ok(secrets.is_ok_and(|secrets| !secrets.is_empty()).then_some(()))
        })?;
        wait_until("the namespace has the cluster's certificate", || {
            let found = in_namespace(
                cluster,
                namespace,
                &["get", "configmap", "kube-root-ca.crt", "-o", "name"],
            );
            Ok(found.ok().map(drop))
        })?;
        // Rights count a moment after they are given.
        let user = format!("system:serviceaccount:{namespace}:{NAME}");
        wait_until("the account may do what its Role says", || {
            let may = ["auth", "can-i", "watch", "events", "--as", &user];
            Ok(in_namespace(cluster, namespace, &may).ok().map(drop))
        })?;
        let mut account = Self {
            cluster,
            namespace,
            kubeconfig: cluster.add_user(namespace, &json!({ "token": token }))?,
            at_first: BTreeSet::new(),
        };
        account.at_first = account.contents(KINDS)?;
        Ok(account)
    }

    /// How this account's programs are started on the user's machine.
    pub(crate) fn launcher(&self) -> Launcher {
        let mut launcher = self.cluster.launcher();
        launcher.variables.push(("KUBECONFIG", self.kubeconfig.clone().into()));
        launcher
    }

    /// The section of a platform with what all of them have here; `more` wins.
    pub(crate) fn section(&self, platform: &str, more: Value) -> Value {
        let mut section = json!({ "platform": platform, "namespace": self.namespace });
        if let (Some(section), Value::Object(more)) = (section.as_object_mut(), more) {
            section.extend(more);
        }
        section
    }

    /// Its namespace.
    pub(crate) const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// The administrator's `kubectl` in the namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        self.cluster
            .kubectl(&[&["--namespace", self.namespace], arguments].concat())
    }

    /// What the administrator's `kubectl` says of the namespace.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<String> {
        in_namespace(self.cluster, self.namespace, arguments)
    }

    /// Creates something in the namespace.
    pub(super) fn create(&self, manifest: &Value) -> Result<()> {
        let mut manifest = manifest.clone();
        manifest["metadata"]["namespace"] = json!(self.namespace);
        self.cluster.create(&manifest)
    }

    /// Objects of these kinds that are there, as `kind/name`.
    pub(super) fn contents(&self, kinds: &str) -> Result<BTreeSet<String>> {
        let listed = self.output(&["get", kinds, "-o", "name"])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Objects that were not there before the first experiment; of `kinds` besides the usual ones.
    pub(crate) fn left(&self, kinds: &str) -> Result<Vec<String>> {
        let kinds = if kinds.is_empty() {
            KINDS.to_owned()
        } else {
            format!("{KINDS},{kinds}")
        };
        Ok(self.contents(&kinds)?.difference(&self.at_first).cloned().collect())
    }

    /// Waits until nothing is left of an experiment but what owns its objects, which `gc` removes.
    pub(crate) fn only_the_owner_is_left(&self) -> Result<()> {
        wait_until("only what owns the experiment's objects is left", || {
            let left = self.left("")?;
            Ok((left.len() == 1 && left[0].starts_with("configmap/nni-")).then_some(()))
        })
    }

    /// Waits until nothing is left; of `kinds` besides the usual ones.
    pub(super) fn nothing_is_left(&self, kinds: &str) -> Result<()> {
        self.only_is_left(kinds, &[])
    }

    /// Waits until an experiment that has ended has left what owns its objects, and those of trials that failed, for people to
    /// look at; has `tsctl` remove that, and waits until nothing is left; of `kinds` besides the usual ones.
    pub(super) fn is_tidy_after(&self, experiment: &Experiment, kinds: &str) -> Result<()> {
        let id = experiment.id()?;
        if experiment.trials()?.iter().all(|trial| trial["status"] != "FAILED") {
            self.only_is_left(kinds, &[format!("configmap/nni-{id}")])?;
        }
        experiment.run(&["gc", "--yes", &id])?;
        self.nothing_is_left(kinds)
    }

    fn only_is_left(&self, kinds: &str, expected: &[String]) -> Result<()> {
        let mut left = Vec::new();
        let waited = wait_until("nothing of the experiment is left", || {
            left = self.left(kinds)?;
            Ok((left == expected).then_some(()))
        });
        waited.with_context(|| format!("left: {left:?}"))
    }

    /// All that this account has asked of the API server.
    pub(crate) fn requests(&self) -> Result<Vec<Request>> {
        let mut requests = self.cluster.requests()?;
        requests.retain(|request| request.account == self.namespace);
        Ok(requests)
    }

    /// That each trial became one object of this resource, and the same one however often it was asked for.
    pub(super) fn each_ran_once(&self, resource: &str, n_trials: usize) -> Result<()> {
        let requests = self.requests()?;
        let created = requests
            .iter()
            .filter(|r| r.resource == resource && r.verb == "create" && !r.is_dry && r.code == 201);
        let n_created = created.count();
        ensure!(
            n_created == n_trials,
            "{n_created} {resource} were created for {n_trials} trials"
        );
        Ok(())
    }

    /// The Role that the account has.
    pub(super) fn role(&self) -> Result<Value> {
        let role = self.output(&["get", "role", NAME, "-o", "json"])?;
        Ok(serde_json::from_str(&role)?)
    }

    /// Gives the Role these rules instead.
    pub(super) fn set_rules(&self, rules: &Value) -> Result<()> {
        let patch = json!({ "rules": rules }).to_string();
        self.output(&["patch", "role", NAME, "--type=merge", "-p", &patch])
            .map(drop)
    }
}

fn in_namespace(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> Result<String> {
    cluster.output(&[&["--namespace", namespace], arguments].concat())
}
