//! Experiments on what operators run: TFJobs, PyTorchJobs, Frameworks and TrainJobs, with files as NNI's own examples have them
//! and NNI's released SDK in their pods.
//!
//! Each trial keeps its own record of what it was given and what it reported; the records are compared with the store.

use super::{Lab, account::Account, cluster::Cluster, jobs::make_claim, operators::Operators};
use crate::e2e::{Place, experiment::Experiment, nni::compare_all};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A kind of job, and the file that describes an experiment on it.
struct Kind {
    /// Name of the file below `e2e/k8s/kinds`, which is the namespace, too, and that of a claim.
    name: &'static str,
    /// Who turns its objects into pods.
    operators: &'static [&'static str],
    /// Resource of its objects.
    resource: &'static str,
    trials: usize,
    has_claim: bool,
}

pub(super) fn tf_v1(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    let kind = Kind {
        name: "tf-v1",
        operators: &["--tf", "old"],
        resource: "tfjobs",
        trials: 2,
        has_claim: false,
    };
    kind.run(place, lab, cluster)
}

pub(super) fn tf_v2(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    let kind = Kind {
        name: "tf-v2",
        operators: &["--tf", "training-operator"],
        resource: "tfjobs",
        trials: 4,
        has_claim: true,
    };
    kind.run(place, lab, cluster)
}

pub(super) fn pytorch(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    let kind = Kind {
        name: "pytorch-v1",
        // Without its init container, whose `nslookup` takes a name of the wrong search domain for an error where busybox has
        // it; workers wait for their master by themselves.
        operators: &["--pytorch", "old"],
        resource: "pytorchjobs",
        trials: 2,
        has_claim: false,
    };
    kind.run(place, lab, cluster)
}

pub(super) fn framework_v1(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    let kind = Kind {
        name: "framework-v1",
        operators: &["--frameworks"],
        resource: "frameworks",
        trials: 4,
        has_claim: false,
    };
    kind.run(place, lab, cluster)
}

pub(super) fn framework_v2(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    let kind = Kind {
        name: "framework-v2",
        operators: &["--frameworks"],
        resource: "frameworks",
        trials: 4,
        has_claim: true,
    };
    kind.run(place, lab, cluster)
}

pub(super) fn train_job(place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
    let kind = Kind {
        name: "trainjob",
        operators: &["--trainer", "2.2"],
        resource: "trainjobs",
        trials: 2,
        has_claim: false,
    };
    kind.run(place, lab, cluster)
}

impl Kind {
    fn run(&self, place: &Place, lab: &Lab, cluster: &Cluster) -> Result<()> {
        cluster.load_image(&lab.images.nni(place)?)?;
        let _operators = Operators::start(place, cluster, self.operators)?;
        let account = Account::new(place, cluster, self.name)?;
        let volume = self
            .has_claim
            .then(|| make_claim(cluster, &account, self.name))
            .transpose()?;
        let experiment = Experiment::new(place, &format!("k8s-{}", self.name), None)?.started_by(account.launcher());
        let file = self.code(place, &experiment)?;
        experiment.run(&["run", &file.to_string_lossy()])?;
        let records = match volume {
            Some(volume) => volume,
            None => printed(&experiment)?,
        };
        compare_all(&experiment, &records, self.trials)?;
        account.each_ran_once(self.resource, self.trials)?;
        account.is_tidy_after(&experiment, self.resource)
    }

    /// The code directory with the file in it, as in NNI's examples.
    fn code(&self, place: &Place, experiment: &Experiment) -> Result<PathBuf> {
        let code = experiment.home().join("code");
        fs::create_dir(&code)?;
        let from = place.root.join("xtask/e2e");
        for (source, name) in [
            ("nni/trial.py", "trial.py"),
            ("nni/search_space.json", "search_space.json"),
            ("k8s/kinds/part.py", "part.py"),
        ] {
            fs::copy(from.join(source), code.join(name))?;
        }
        let file = code.join("config.yml");
        fs::copy(from.join(format!("k8s/kinds/{}.yml", self.name)), &file)?;
        Ok(file)
    }
}

/// A folder with the records of all trials, which they have printed because nothing else is left of their pods.
fn printed(experiment: &Experiment) -> Result<PathBuf> {
    let folder = experiment.home().join("records");
    for trial in experiment.trials()? {
        let id = trial["id"].as_str().context("a trial without id")?;
        let log = experiment.output(&["logs", id])?;
        // Where a trial has many pods, a line begins with the name of its pod.
        let facts = log.lines().filter_map(|line| Some(&line[line.find("{\"")?..]));
        let facts: Vec<&str> = facts.collect();
        write_record(&folder.join(id), &facts)?;
    }
    Ok(folder)
}

fn write_record(folder: &Path, facts: &[&str]) -> Result<()> {
    fs::create_dir_all(folder)?;
    Ok(fs::write(folder.join("record.jsonl"), facts.join("\n") + "\n")?)
}
