//! Removes what trials left: first their processes, then their directories, on the machines and here.

use crate::{
    cancel,
    core::Core,
    link::Link,
    machine::Machine,
    worker::{self, Facts},
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::Arc,
    time::Duration,
};
use ts_core::{CancelReason, CleanupReport, CleanupScope, Error, ErrorKind, ReasonCode, Result, TrialId};

/// How often a request is repeated over a new link, and how long that may take to come.
const CUTS: u32 = 3;
const RETURN: Duration = Duration::from_secs(5);

/// Ends and removes; goes on after a failure. A machine without a link is a failure with its reason.
pub(crate) async fn cleanup(core: &Arc<Core>, scope: &CleanupScope) -> CleanupReport {
    let mut report = CleanupReport::new();
    // What is only cut off for a moment is cleaned up too; what stays away is reported below. A machine that this service never
    // reached has nothing of its own trials.
    let wants_all = matches!(scope, CleanupScope::Experiment);
    let awaited = core.machines.iter().filter(|machine| wants_all || machine.was_linked());
    join_all(awaited.map(|machine| returned(core, machine, None))).await;
    match scope {
        CleanupScope::Trials(trials) if trials.is_empty() => settle(core, &mut report).await,
        CleanupScope::Trials(trials) => {
            let trials: BTreeSet<TrialId> = trials.iter().cloned().collect();
            end_all(core, &trials, &mut report).await;
            remove_trials(core, &trials, &mut report).await;
        }
        _ => {
            core.first_contacts().await;
            let mut trials: BTreeSet<TrialId> = core.registry.ids().into_iter().collect();
            match core.mirror.dirs().trials() {
                Ok(found) => trials.extend(found),
                Err(error) => report
                    .failures
                    .push((core.mirror.dirs().dir().display().to_string(), error)),
            }
            for trial in &trials {
                if core.registry.get(trial).is_none()
                    && let Err(error) = crate::recover::resume(core, trial)
                {
                    tracing::warn!(%trial, %error, "its stored request cannot be read");
                }
            }
            end_all(core, &trials, &mut report).await;
            remove_experiment(core, &trials, &mut report).await;
        }
    }
    report
}

/// Waits until every machine has ended what ended trials left behind.
async fn settle(core: &Core, report: &mut CleanupReport) {
    let settled = join_all(core.machines.iter().map(|machine| async move {
        machine.link()?;
        let snippet = |_: &Facts| worker::settle_snippet(core.config.cancel_signal, core.config.grace_period);
        let error = ask(core, machine, "end leftovers", snippet).await.err()?;
        Some((machine.name().to_owned(), error))
    }))
    .await;
    report.failures.extend(settled.into_iter().flatten());
}

/// Ends every trial and waits until all are gone, or their machine is.
async fn end_all(core: &Core, trials: &BTreeSet<TrialId>, report: &mut CleanupReport) {
    let inbox = core.registry.subscribe();
    let mut changes = core.changes();
    for trial in trials {
        if let Err(error) = cancel::cancel(core, trial, CancelReason::User).await {
            report.failures.push((trial.to_string(), error));
        }
    }
    let is_over = |trial: &TrialId| {
        core.registry.get(trial).is_none_or(|known| {
            known.status.is_terminal() || known.extra.machine.is_some_and(|index| is_down(core, index))
        })
    };
    while !trials.iter().all(is_over) {
        tokio::select! {
            () = inbox.marked() => while inbox.take().is_some() {},
            _ = changes.changed() => {}
        }
    }
    for trial in trials {
        let Some(known) = core.registry.get(trial) else {
            continue;
        };
        if known.why.is_some_and(|why| why.code == ReasonCode::Leaked) {
            let error = Error::new(ErrorKind::Io, format!("processes of trial `{trial}` survive SIGKILL"));
            report.failures.push((trial.to_string(), error));
        }
    }
}

fn is_down(core: &Core, index: usize) -> bool {
    matches!(core.board().condition(index), crate::board::Condition::Down { .. })
}

/// Removes the trials' directories, on each machine in one request.
async fn remove_trials(core: &Core, trials: &BTreeSet<TrialId>, report: &mut CleanupReport) {
    let mut places: BTreeMap<usize, Vec<TrialId>> = BTreeMap::new();
    let mut removable = trials.clone();
    for trial in trials {
        if let Some(machine) = core.registry.get(trial).and_then(|known| known.extra.machine) {
            places.entry(machine).or_default().push(trial.clone());
        }
    }
    for (index, on_machine) in places {
        if let Err(error) = remove_there(core, index, &on_machine).await {
            for trial in &on_machine {
                removable.remove(trial);
            }
            report.failures.push((core.machines[index].name().to_owned(), error));
        }
    }
    for trial in removable {
        let known = core.registry.get(&trial).is_some() || core.mirror.paths(&trial).dir().exists();
        match core.mirror.remove(&trial) {
            Ok(()) => report.removed += u64::from(known),
            Err(error) => report.failures.push((trial.to_string(), error)),
        }
        core.registry.remove(&trial);
    }
}

async fn remove_there(core: &Core, index: usize, trials: &[TrialId]) -> Result<()> {
    let snippet = |facts: &Facts| worker::remove_snippet(facts, trials);
    ask(core, &core.machines[index], "remove the trials' directories", snippet).await
}

/// Has a machine do what may be done twice; over the next link too, if this one is cut meanwhile.
async fn ask(core: &Core, machine: &Machine, what: &str, snippet: impl Fn(&Facts) -> String) -> Result<()> {
    let mut n_cuts = 0;
    loop {
        let link = returned(core, machine, None).await?;
        let reply = link.shell.run(snippet(&link.facts)).await;
        match reply.and_then(|reply| reply.into_result(what)) {
            Err(error) if error.kind() == ErrorKind::Unreachable && n_cuts < CUTS => {
                n_cuts += 1;
                returned(core, machine, Some(&link)).await?;
            }
            done => return done,
        }
    }
}

/// The link, but not `lost`; waits for a machine that may only have been cut off.
async fn returned(core: &Core, machine: &Machine, lost: Option<&Arc<Link>>) -> Result<Arc<Link>> {
    let mut links = machine.links();
    let is_new = |link: &Option<Arc<Link>>| {
        link.as_ref()
            .is_some_and(|link| lost.is_none_or(|lost| !Arc::ptr_eq(lost, link)))
    };
    let refused = machine
        .error()
        .is_some_and(|error| error.kind() != ErrorKind::Unreachable);
    if machine.link().is_none() && refused {
        return machine.need_link();
    }
    tokio::select! {
        _ = links.wait_for(is_new) => {}
        () = core.ctx.clock.sleep(RETURN) => {}
    }
    machine.need_link()
}

/// Removes all that the experiment has on every machine, then what is kept of it here.
async fn remove_experiment(core: &Core, trials: &BTreeSet<TrialId>, report: &mut CleanupReport) {
    let removed = join_all(core.machines.iter().map(|machine| async move {
        let removed = ask(
            core,
            machine,
            "remove the experiment's directory",
            worker::remove_all_snippet,
        );
        removed.await.err().map(|error| (machine.name().to_owned(), error))
    }))
    .await;
    report.failures.extend(removed.into_iter().flatten());
    if !report.is_clean() {
        return;
    }
    for trial in trials {
        match core.mirror.remove(trial) {
            Ok(()) => report.removed += 1,
            Err(error) => report.failures.push((trial.to_string(), error)),
        }
        core.registry.remove(trial);
    }
    for dir in [core.mirror.dirs().dir(), &core.ctx.work_dir.join(ts_codedir::PACKAGES)] {
        remove_all(dir, report);
    }
}

fn remove_all(dir: &Path, report: &mut CleanupReport) {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            report
                .failures
                .push((dir.display().to_string(), Error::io("remove", dir, e)));
        }
        _ => {}
    }
}
