//! `cargo xtask bench`: measures the built `tsctl` beside what bounds it, and writes the figures of `docs/benchmarks.md`.
//!
//! What a figure means is with its measurement, in the modules below. Nothing here fails because a machine is slow.

mod azure;
mod experiment;
mod k8s;
mod latency;
mod measure;
mod memory;
mod pack;
mod pairs;
mod pool;
mod rest;
mod simulated;
mod ssh;
mod table;

use crate::{shell, workspace};
use anyhow::{Result, bail};
use std::{fs, path::PathBuf};
use table::Row;

/// A measurement: its name on the command line, and what takes it.
type Measurement = (&'static str, fn(&Bench) -> Result<Vec<Row>>);

/// All measurements, in the order of the table.
const MEASUREMENTS: &[Measurement] = &[
    ("pool", pool::measure),
    ("start", latency::start),
    ("latency", latency::follow),
    ("memory", memory::measure),
    ("simulated", simulated::measure),
    ("rest", rest::measure),
    ("pack", pack::measure),
    ("ssh", ssh::measure),
    ("k8s", k8s::measure),
    ("azure", azure::measure),
];

/// Measurements that use the example programs of `ts-manager`.
const WITH_EXAMPLES: &[&str] = &["latency", "memory", "simulated", "rest"];

/// Where a run finds things, and how much it measures.
#[derive(Debug)]
struct Bench {
    /// Folder for experiments, whose parts the next run replaces.
    work: PathBuf,
    /// The built command line.
    tsctl: PathBuf,
    /// The example programs of `ts-manager`.
    examples: PathBuf,
    quick: bool,
}

impl Bench {
    /// How many, or a tenth of it in a quick run.
    fn count(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(10) } else { full }
    }
}

/// Takes the named measurements, or all; `true` if each could be taken. A full run of all writes the documentation.
pub(crate) fn run(names: &[String], quick: bool) -> Result<bool> {
    let known: Vec<&str> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no measurement `{unknown}`; there is: {}", known.join(", "));
    }
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let bench = prepare(quick, WITH_EXAMPLES.iter().any(|name| is_wanted(name)))?;
    let mut rows = Vec::new();
    let mut complete = true;
    for (name, measure) in MEASUREMENTS {
        if !is_wanted(name) {
            continue;
        }
        println!("== {name}");
        match measure(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                println!("{name} could not be measured: {error:#}");
                complete = false;
            }
        }
    }
    let text = table::render(&rows)?;
    println!("\n{text}");
    if complete && names.is_empty() && !quick {
        table::write(&workspace::root().join("docs/benchmarks.md"), &text)?;
    }
    Ok(complete)
}

/// Builds what is measured, as it is released.
fn prepare(quick: bool, with_examples: bool) -> Result<Bench> {
    let root = workspace::root();
    let target = workspace::target(&root)?;
    // Two calls: the examples' dependencies must not add features to what users get.
    let product = &["build", "--release", "-p", "tsctl"][..];
    let examples = &[
        "build",
        "--release",
        "-p",
        "ts-manager",
        "--example",
        "simulated",
        "--example",
        "latency",
        "--example",
        "rest_speed",
        "--features",
        "rest",
    ][..];
    for arguments in [Some(product), with_examples.then_some(examples)].into_iter().flatten() {
        if !shell::succeeds(&mut shell::cargo(&root, arguments))? {
            bail!("the release does not build");
        }
    }
    let work = target.join("bench");
    fs::create_dir_all(&work)?;
    Ok(Bench {
        work,
        tsctl: target.join("release/tsctl"),
        examples: target.join("release/examples"),
        quick,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unknown_measurement_is_refused_by_name() {
        let error = super::run(&["pools".to_owned()], true).unwrap_err().to_string();
        assert!(
            error.starts_with("there is no measurement `pools`; there is: pool,"),
            "{error}"
        );
    }
}
