//! Trials on a real Kubernetes: what they ask of its API server, what they cost the manager, and how their code gets there.
//!
//! The cluster runs on the same machine, so both ends share its processors. Requests are those that the API server itself has
//! written down.

use super::{
    Bench,
    experiment::{Experiment, fresh},
    measure, pack,
    pairs::Pairs,
    table::{Row, at_most},
};
use crate::e2e::{
    experiment::{pause, wait_until},
    k8s::{
        account::Account,
        loan::{CLAIM_AT, IMAGE, Loan},
    },
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const RESULT: &str = r#"printf "NNISDK_MEb'%s'\n" '{"type": "FINAL", "value": 1}' >>"$NNI_SYS_DIR/.nni/metrics""#;
/// A trial that is there, and nothing more.
const ASLEEP: &str = "sleep 600";

const FILES_BYTES: usize = 100_000_000;
const ROUNDS: usize = 3;
/// How long nothing happens while requests are counted.
const QUIET: Duration = Duration::from_secs(30);
/// Trials that run on the one node while nothing happens.
const RUNNING: usize = 20;

const WRITES_TARGET: f64 = 4.0;
const MEMORY_TARGET_MB: f64 = 100.0;
const UPLOAD_TARGET: f64 = 1.3;

/// All rows about Kubernetes.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = crowd(bench)?;
    let loan = Loan::new("bench", &bench.work, &bench.tsctl, true)?;
    rows.extend(few(bench, &loan)?);
    rows.push(upload(bench, &loan)?);
    Ok(rows)
}

/// An experiment on Jobs of an account.
fn experiment(
    bench: &Bench,
    account: &Account<'_>,
    name: &str,
    (script, trials, concurrency): (&str, usize, usize),
    more: Value,
) -> Result<Experiment> {
    let mut section = account.section("kubernetes", json!({ "image": IMAGE, "gracePeriod": "1s" }));
    if let (Some(section), Value::Object(more)) = (section.as_object_mut(), more) {
        section.extend(more);
    }
    let experiment = Experiment::new(bench, name, script, trials, concurrency)?.on(&section)?;
    Ok(experiment.started_by(account.launcher()))
}

/// Many at once on an API server without a node: their pods wait, and everything else is as usual.
fn crowd(bench: &Bench) -> Result<Vec<Row>> {
    let trials = bench.count(1_000);
    let loan = Loan::new("bench-crowd", &bench.work, &bench.tsctl, false)?;
    let account = loan.account("crowd")?;
    let experiment = experiment(bench, &account, "k8s-crowd", (ASLEEP, trials, trials), json!({}))?;
    let began = measure::now()?;
    let mut manager = experiment.start()?;
    let waited = wait_for_pods(&account, "", trials);
    let seconds = measure::now()? - began;
    let settled = waited.and_then(|()| measure::watch(&mut manager, |elapsed| elapsed > QUIET));
    let n_quiet = requests_in_quiet(&account, &settled);
    end(&mut manager)?;
    let (memory, ended) = settled?;
    ensure!(ended.is_none(), "the manager ended by itself:\n{}", experiment.said()?);
    let megabytes = memory.peak * 1.048_576;
    let requests = account.requests()?;
    let n_writes = requests.iter().filter(|request| request.is_write()).count();
    let per_trial = n_writes as f64 / trials as f64;
    println!(
        "  {trials} jobs and their pods after {seconds:.0} s; {} requests in all",
        requests.len()
    );
    account.only_the_owner_is_left()?;
    Ok(vec![
        Row {
            what: format!("Kubernetes: manager memory, {trials} trials in the cluster"),
            ours: format!("{megabytes:.0} MB"),
            beside: "–".to_owned(),
            target: format!("{MEMORY_TARGET_MB:.0} MB"),
            outcome: at_most(megabytes, MEMORY_TARGET_MB),
        },
        writes_row(
            format!(
                "Kubernetes: requests that change something, for each of {trials} trials that wait and are stopped"
            ),
            per_trial,
        ),
        quiet_row(
            format!(
                "Kubernetes: requests while {trials} trials wait for {} s",
                QUIET.as_secs()
            ),
            n_quiet?,
        ),
    ])
}

/// Trials with pods: all that one costs from its creation to its removal, and what many cost while nothing happens.
fn few(bench: &Bench, loan: &Loan) -> Result<Vec<Row>> {
    let account = loan.account("few")?;
    let trials = bench.count(40).max(8);
    let done = experiment(bench, &account, "k8s-few", (RESULT, trials, 8), json!({}))?;
    done.run()?;
    done.check(trials, 1)?;
    let n_writes = account.requests()?.iter().filter(|request| request.is_write()).count();
    let account = loan.account("quiet")?;
    let asleep = experiment(bench, &account, "k8s-quiet", (ASLEEP, RUNNING, RUNNING), json!({}))?;
    let mut manager = asleep.start()?;
    let waited = wait_for_pods(&account, "status.phase=Running", RUNNING);
    let settled = waited.and_then(|()| measure::watch(&mut manager, |elapsed| elapsed > QUIET));
    let n_quiet = requests_in_quiet(&account, &settled);
    end(&mut manager)?;
    let (_, ended) = settled?;
    ensure!(ended.is_none(), "the manager ended by itself:\n{}", asleep.said()?);
    Ok(vec![
        writes_row(
            format!(
                "Kubernetes: requests that change something, for each of {trials} trials that run ({n_writes} in all)"
            ),
            n_writes as f64 / trials as f64,
        ),
        quiet_row(
            format!(
                "Kubernetes: requests while {RUNNING} trials run in silence for {} s",
                QUIET.as_secs()
            ),
            n_quiet?,
        ),
    ])
}

fn writes_row(what: String, per_trial: f64) -> Row {
    Row {
        what,
        ours: format!("{per_trial:.2}"),
        beside: "–".to_owned(),
        target: format!("{WRITES_TARGET:.0}"),
        outcome: at_most(per_trial, WRITES_TARGET),
    }
}

/// Requests for the server's version are the manager's own pulse, whatever the number of trials.
fn quiet_row(what: String, (n_pulses, n_others): (usize, usize)) -> Row {
    Row {
        what,
        ours: format!("{n_others}, and {n_pulses} of the experiment's pulse"),
        beside: "–".to_owned(),
        target: "0".to_owned(),
        outcome: at_most(n_others as f64, 0.0),
    }
}

/// How many requests come in a time in which nothing happens: those for the server's version, and others.
fn requests_in_quiet<T>(account: &Account<'_>, settled: &Result<T>) -> Result<(usize, usize)> {
    ensure!(settled.is_ok(), "nothing was settled");
    let before = account.requests()?.len();
    pause(QUIET);
    let requests = account.requests()?.split_off(before);
    let n_pulses = requests.iter().filter(|request| request.resource.is_empty()).count();
    let others: Vec<_> = requests.iter().filter(|request| !request.resource.is_empty()).collect();
    if !others.is_empty() {
        println!("  while nothing happened: {others:?}");
    }
    Ok((n_pulses, others.len()))
}

/// Waits until there are so many pods of this kind.
fn wait_for_pods(account: &Account<'_>, selector: &str, n_pods: usize) -> Result<()> {
    let mut seen = 0;
    wait_until(&format!("{n_pods} pods are there"), || {
        pause(Duration::from_millis(500));
        let listed = account.output(&["get", "pods", "-o", "name", "--field-selector", selector])?;
        seen = listed.lines().count();
        Ok((seen >= n_pods).then_some(()))
    })
    .with_context(|| format!("{seen} of {n_pods} pods"))
}

/// Ctrl-C, which removes everything.
fn end(manager: &mut Child) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.args(["-s", "INT", &manager.id().to_string()]);
    crate::shell::output(&mut kill)?;
    let (_, ended) = measure::watch(manager, |_| false)?;
    ensure!(ended.is_some(), "the manager did not end");
    Ok(())
}

/// What the code adds: to the time until it is on the claim on our side, to a command that does nothing on theirs.
fn upload(bench: &Bench, loan: &Loan) -> Result<Row> {
    let account = loan.account("upload")?;
    loan.pod_with_claim(&account, "claim")?;
    let bytes = if bench.quick { FILES_BYTES / 10 } else { FILES_BYTES };
    let code = bench.work.join("k8s-code");
    fresh(&code)?;
    pack::write_code(&code, bytes)?;
    let mut pairs = Pairs::default();
    for round in 0..ROUNDS {
        let small = delivered(bench, &account, None)?;
        let ours = delivered(bench, &account, Some(&code))? - small;
        let nothing = measure::seconds(|| account.output(&["exec", "claim", "--", "true"]).map(drop))?;
        let theirs = measure::seconds(|| exec_tar(&account, &code, round))? - nothing;
        println!("  round {}: {ours:.2} s, `kubectl exec` {theirs:.2} s", round + 1);
        pairs.add(ours, theirs);
    }
    pairs.row(
        format!("Kubernetes: 1950 files, {} MB onto a claim", bytes / 1_000_000),
        "`tar \\| kubectl exec -i … tar x`",
        UPLOAD_TARGET,
    )
}

/// Seconds from the command to the code in its place, which our log tells.
fn delivered(bench: &Bench, account: &Account<'_>, code: Option<&Path>) -> Result<f64> {
    let storage = json!({ "storage": { "storageType": "pvc", "claimName": "claim" } });
    let experiment = experiment(bench, account, "k8s-upload", (RESULT, 1, 1), storage)?;
    if let Some(code) = code {
        std::fs::copy(experiment.code().join("trial.sh"), code.join("trial.sh"))?;
        std::fs::remove_dir_all(experiment.code())?;
        std::os::unix::fs::symlink(code, experiment.code())?;
    }
    let began = measure::now()?;
    experiment.run()?;
    Ok(experiment.told("the code is there")? - began)
}

fn exec_tar(account: &Account<'_>, code: &Path, round: usize) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["-cf", "-", "."]).current_dir(code).stdout(Stdio::piped());
    let mut tar = tar.spawn().context("cannot start `tar`")?;
    let unpack = format!("mkdir -p {CLAIM_AT}/theirs-{round} && tar -xf - -C {CLAIM_AT}/theirs-{round}");
    let mut kubectl = account.kubectl(&["exec", "-i", "claim", "--", "sh", "-c", &unpack]);
    kubectl.stdin(tar.stdout.take().context("no pipe")?);
    crate::shell::output(&mut kubectl)?;
    ensure!(tar.wait()?.success(), "`tar` failed");
    Ok(())
}
