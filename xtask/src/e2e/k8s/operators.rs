//! The program `operators` of `ts-k8s-testkit` on the node: it installs kinds of objects and does what their operators do.

use super::cluster::Cluster;
use crate::e2e::Place;
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

/// Operators that run until this is dropped.
#[derive(Debug)]
pub(super) struct Operators(Child);

impl Operators {
    /// Starts those that its arguments name, and waits until they are at work.
    pub(super) fn start(place: &Place, cluster: &Cluster, arguments: &[&str]) -> Result<Self> {
        let mut command = cluster
            .node_launcher()
            .command(&place.tsctl.with_file_name("operators"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut operators = Self(command.spawn().context("cannot start `operators`")?);
        let stdout = operators.0.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(
            line.contains("at work"),
            "`operators {}` does not work",
            arguments.join(" ")
        );
        Ok(operators)
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
