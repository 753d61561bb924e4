//! A job: what was asked for, and what is known of it now.

use crate::{clock, entra::tokens::jwt, shared::Shared, world::BLOBSTORE};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// Statuses in which a job waits, in their order.
pub(crate) const WAITING: &[&str] = &["NotStarted", "Starting", "Provisioning", "Preparing", "Queued"];

/// What a job does with its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeUse {
    Preparing,
    Running,
}

/// A value that a run logged to MLflow.
#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) timestamp: i64,
    pub(crate) step: i64,
}

/// A row of a native metric.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) columns: Value,
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) step: Value,
    pub(crate) data: Value,
}

/// What goes on behind the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    None,
    /// Its node is taken away; it starts once more.
    Preempt,
}

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// As given, without nulls and read-only properties.
    pub(crate) properties: Value,
    /// Name of the compute target.
    pub(crate) compute: String,
    pub(crate) experiment: String,
    pub(crate) experiment_id: String,
    pub(crate) status: String,
    pub(crate) created: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// Somebody wants it canceled.
    pub(crate) cancel: bool,
    pub(crate) order: Order,
    /// The platform hears nothing from its node.
    pub(crate) silent: bool,
    /// What the platform tells instead of its status.
    pub(crate) told_as: Option<String>,
    pub(crate) error: Option<Value>,
    /// How often its command was started.
    pub(crate) starts: u32,
    /// Good for its own run in run history and MLflow.
    pub(crate) token: String,
    pub(crate) token_until: Timestamp,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    /// Files of the run that its log files are told from.
    pub(crate) log_files: Vec<String>,
}

impl Job {
    /// Gives it a new token of its own.
    pub(crate) fn renew_token(&mut self, life: Duration) {
        self.token_until = clock::after(life);
        self.token = jwt("https://ml.azure.com", self.token_until);
    }

    pub(crate) fn new(
        shared: &Shared,
        id: &str,
        properties: Value,
        compute: String,
        experiment: (String, String),
    ) -> Self {
        let mut job = Self {
            id: id.to_owned(),
            properties,
            compute,
            experiment: experiment.0,
            experiment_id: experiment.1,
            status: WAITING[0].to_owned(),
            created: clock::now(),
            started: None,
            ended: None,
            cancel: false,
            order: Order::None,
            silent: false,
            told_as: None,
            error: None,
            starts: 0,
            token: String::new(),
            token_until: clock::now(),
            metrics: Vec::new(),
            params: Vec::new(),
            rows: Vec::new(),
            log_files: Vec::new(),
        };
        job.renew_token(shared.setting.run_token_life);
        job
    }

    pub(crate) fn is_over(&self) -> bool {
        ["Completed", "Failed", "Canceled"].contains(&self.status.as_str())
    }

    /// The status as the platform tells it.
    pub(crate) fn told(&self) -> &str {
        if let Some(told) = self.told_as.as_deref().filter(|_| !self.is_over()) {
            told
        } else if self.silent && !self.is_over() {
            "NotResponding"
        } else {
            &self.status
        }
    }

    pub(crate) fn node_use(&self) -> Option<NodeUse> {
        match self.status.as_str() {
            "Provisioning" | "Preparing" => Some(NodeUse::Preparing),
            "Running" | "Finalizing" | "CancelRequested" if self.starts > 0 => Some(NodeUse::Running),
            _ => None,
        }
    }

    /// A map of the properties, such as `tags`.
    pub(crate) fn map(&self, name: &str) -> Value {
        let map = &self.properties[name];
        if map.is_object() { map.clone() } else { json!({}) }
    }

    /// Adds to a map of the properties.
    pub(crate) fn insert(&mut self, map: &str, key: &str, value: Value) {
        if !self.properties[map].is_object() {
            self.properties[map] = json!({});
        }
        self.properties[map][key] = value;
    }

    /// Folder of its artifacts in their container. Source: run history, `dataContainerId`, and artifact origin `ExperimentRun`.
    pub(crate) fn artifacts(&self) -> String {
        format!("ExperimentRun/dcid.{}", self.id)
    }

    /// Where an output goes: container and folder.
    pub(crate) fn output_place(&self, name: &str) -> (String, String) {
        let uri = self.properties["outputs"][name]["uri"].as_str().unwrap_or_default();
        crate::life::mounts::place(uri).unwrap_or_else(|| {
            // Source: "Access data in a job", default output location, Microsoft Learn.
            (BLOBSTORE.to_owned(), format!("azureml/{}/{name}", self.id))
        })
    }
}
