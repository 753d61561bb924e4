//! Trials on Azure ML as `ts-aml-testkit` plays it on the loopback interface: what is ours of the time before a trial begins.

use super::{
    Bench,
    experiment::Experiment,
    measure,
    table::{Row, at_most},
};
use crate::{e2e::azure::AzureMl, workspace};
use anyhow::{Context, Result, ensure};
use serde_json::json;

/// Reports the time.
const REPORT: &str = r#"report() { printf "NNISDK_MEb'%s'\n" "{\"type\": \"$1\", \"sequence\": 0, \"value\": $(date +%s.%N)}" >>"$NNI_SYS_DIR/.nni/metrics"; }"#;
const NEXT_TARGET: f64 = 3.0;
const WARM_TARGET: f64 = 1.0;

/// Runs an experiment whose trials share a job, and one for which all is there already.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let root = workspace::root();
    let program = workspace::target(&root)?.join("debug/aml-server");
    let server = AzureMl::start(&root, &program, &["--pace", "100"])?;
    Ok(vec![next(bench, &server)?, warm(bench, &server)?])
}

/// From the end of a trial to the begin of the next one in the same job.
fn next(bench: &Bench, server: &AzureMl) -> Result<Row> {
    let trials = bench.count(20).max(3);
    let experiment = experiment(
        bench,
        server,
        ("azure-reuse", "report PERIODICAL; report FINAL"),
        trials,
        true,
    )?;
    experiment.run()?;
    experiment.check(trials, 2)?;
    let mut spans = Vec::new();
    for trial in experiment.trials()? {
        let metrics = experiment.metrics(trial["id"].as_str().context("a trial without id")?)?;
        let at = |n: usize| metrics[n]["number"].as_f64().context("a time is missing");
        spans.push((at(0)?, at(1)?));
    }
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let gaps: Vec<f64> = spans.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    let median = measure::median(&gaps)?;
    let most = gaps.into_iter().fold(0.0, f64::max);
    Ok(Row {
        what: format!(
            "Azure ML as its tests play it: a trial's end → the next one's begin in the same job ({trials} trials)"
        ),
        ours: format!("{median:.2} s, at most {most:.2} s"),
        beside: "–".to_owned(),
        target: format!("{NEXT_TARGET:.0} s"),
        outcome: at_most(most, NEXT_TARGET),
    })
}

/// From the command to the first job, where code and image are known from the experiment before.
fn warm(bench: &Bench, server: &AzureMl) -> Result<Row> {
    let mut times = Vec::new();
    for _ in 0..4 {
        let experiment = experiment(bench, server, ("azure-warm", "report FINAL"), 1, false)?;
        let began = measure::now()?;
        experiment.run()?;
        let trials = experiment.trials()?;
        let submitted = trials.first().and_then(|trial| trial["submittedAt"].as_str());
        times.push(measure::since_1970(submitted.context("nothing was submitted")?)? - began);
    }
    // The first one brought the code.
    let median = measure::median(&times.split_off(1))?;
    Ok(Row {
        what: "Azure ML as its tests play it: command → first job, code and image known (median of 3)".to_owned(),
        ours: format!("{median:.2} s, for the first time {:.2} s", times[0]),
        beside: "–".to_owned(),
        target: format!("{WARM_TARGET:.0} s"),
        outcome: at_most(median, WARM_TARGET),
    })
}

fn experiment(
    bench: &Bench,
    server: &AzureMl,
    (name, script): (&str, &str),
    trials: usize,
    reuse: bool,
) -> Result<Experiment> {
    let told = |key: &str| server.told[key].clone();
    let section = json!({
        "platform": "aml",
        "subscriptionId": told("subscription"),
        "resourceGroup": told("resourceGroup"),
        "workspaceName": told("workspace"),
        "computeTarget": told("compute"),
        "dockerImage": "local/busybox:1",
        "reuseMode": reuse,
        "armEndpoint": told("arm"),
        "loginEndpoint": told("login"),
        "tenantId": told("tenant"),
        "clientId": told("clientId"),
        "clientSecret": told("clientSecret"),
    });
    ensure!(
        section["armEndpoint"].is_string(),
        "the server tells no address: {}",
        server.told
    );
    Experiment::new(bench, name, &format!("{REPORT}\n{script}\n"), trials, 1)?.on(&section)
}
