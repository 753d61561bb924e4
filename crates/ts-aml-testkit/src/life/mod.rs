//! The life of a job: its states in their order, its command for real, its end.
//!
//! Source: azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `JobStatus`, for the states and what they mean.

pub(crate) mod job;
pub(crate) mod mounts;
pub(crate) mod process;
mod sandbox;

use crate::{arm::rules, clock, shared::Shared, world::uuid};
use job::{Job, Order, WAITING};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::process::Child;

/// How often what a job writes is brought to the storage, at best and at worst.
const COLLECT: Duration = Duration::from_millis(20);
const MOST_PAUSE: Duration = Duration::from_secs(2);

/// How a step of a job's life ended, where it is not followed by the next.
enum Turn {
    /// Somebody wanted it canceled.
    Canceled,
    /// Its node was taken; it begins once more.
    Preempted,
    /// It ran for longer than it may.
    TimedOut,
    /// It cannot go on.
    Failed(Value),
    /// It was removed, or has ended by other means.
    Gone,
}

/// Lets a job live.
pub(crate) fn begin(shared: &Arc<Shared>, id: &str) {
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    let tracker = shared.jobs.clone();
    tracker.spawn(async move {
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = live(&shared, &id) => {}
        }
    });
}

async fn live(shared: &Arc<Shared>, id: &str) {
    loop {
        let (status, error) = match attempt(shared, id).await {
            Ok(()) => ("Completed", None),
            Err(Turn::Preempted) => continue,
            Err(Turn::Failed(error)) => ("Failed", Some(error)),
            // Source: "limits.timeout" ends in `Canceled`, as a cancel of the user does.
            Err(Turn::Canceled | Turn::TimedOut) => ("Canceled", None),
            Err(Turn::Gone) => return,
        };
        return shared.change(|world| {
            if let Some(job) = world.job(id).filter(|job| !job.is_over()) {
                status.clone_into(&mut job.status);
                job.ended = Some(clock::now());
                job.error = error;
            }
        });
    }
}

async fn attempt(shared: &Arc<Shared>, id: &str) -> Result<(), Turn> {
    let starts = shared.world().job(id).map_or(0, |job| job.starts);
    // A job whose node was taken needs a new one, and nothing else again.
    let waiting = if starts == 0 { WAITING } else { &WAITING[3..] };
    for status in waiting {
        step(shared, id, status, shared.setting.pace.waiting).await?;
    }
    node(shared, id).await?;
    let mut sandbox = {
        let made = shared.change(|world| Sandbox::make(shared, world, id));
        let made = made.map_err(|error| Turn::Failed(failure("ServiceError", &error.to_string())))?;
        made.ok_or(Turn::Gone)?
    };
    let mark = format!("{}/{id}/{}", shared.stamp, uuid());
    let child = process::start(
        &sandbox.command,
        &sandbox.environment,
        &sandbox.directory,
        &sandbox.log,
        &mark,
    );
    let mut child = child.map_err(|error| Turn::Failed(failure("ServiceError", &error.to_string())))?;
    let session = child.id();
    let ended = run(shared, id, &mut child, &mut sandbox).await;
    // The end of the first process, or the order to end, ends the container with all that is in it.
    let killed = tokio::task::spawn_blocking(move || process::kill_job(&mark, session)).await;
    debug_assert!(killed.is_ok(), "killing does not panic");
    collect(shared, &mut sandbox, true);
    let code = ended?;
    step(shared, id, "Finalizing", shared.setting.pace.finalizing).await?;
    if code == 0 {
        return Ok(());
    }
    // Source: the words of the common runtime, as in Azure/azureml-examples and its issues.
    let text = format!(
        "Execution failed. User process '/bin/bash' exited with status code {code}. Please check log file \
         'user_logs/std_log.txt' for error details. "
    );
    Err(Turn::Failed(failure("UserError", &text)))
}

/// Enters a state and stays there for its time, and for as long as a test holds it.
async fn step(shared: &Shared, id: &str, status: &str, stay: Duration) -> Result<(), Turn> {
    shared.change(|world| {
        let doom = world.doom.iter().position(|doom| doom.status == status);
        let Some(job) = world.job(id).filter(|job| !job.is_over()) else {
            return Err(Turn::Gone);
        };
        if job.cancel {
            return Err(Turn::Canceled);
        }
        status.clone_into(&mut job.status);
        if let Some(doom) = doom {
            let doom = world.doom.remove(doom);
            return Err(Turn::Failed(failure(&doom.code, &doom.message)));
        }
        Ok(())
    })?;
    let over = async {
        clock::sleep(stay).await;
        shared.wait(|world| (!world.held.contains(status)).then_some(())).await;
    };
    tokio::select! {
        () = over => Ok(()),
        turn = wanted(shared, id) => {
            // Nobody can cancel a job that is finalizing.
            if matches!(turn, Turn::Canceled) {
                canceling(shared).await;
            }
            Err(turn)
        }
    }
}

/// Waits for a node of the compute target, and runs there.
async fn node(shared: &Shared, id: &str) -> Result<(), Turn> {
    let free = shared.wait(|world| {
        let compute = world.job(id).map(|job| job.compute.clone())?;
        let limit = shared.setting.computes.iter().find(|one| one.name == compute);
        let runs = |job: &&Job| job.compute == compute && ["Running", "Finalizing"].contains(&job.status.as_str());
        let busy = world.jobs.iter().filter(runs).count();
        if limit.is_some_and(|limit| busy >= limit.max_nodes) {
            return None;
        }
        let job = world.job(id)?;
        if job.cancel || job.is_over() {
            return None;
        }
        "Running".clone_into(&mut job.status);
        job.started.get_or_insert_with(clock::now);
        Some(())
    });
    tokio::select! {
        () = free => {}
        turn = wanted(shared, id) => {
            if matches!(turn, Turn::Canceled) {
                canceling(shared).await;
            }
            return Err(turn);
        }
    }
    // Tell the others.
    shared.change(|_| ());
    Ok(())
}

/// Waits until somebody wants something else of a job.
async fn wanted(shared: &Shared, id: &str) -> Turn {
    shared
        .wait(|world| {
            let Some(job) = world.job(id) else {
                return Some(Turn::Gone);
            };
            if job.is_over() {
                return Some(Turn::Gone);
            }
            if job.cancel {
                return Some(Turn::Canceled);
            }
            (std::mem::replace(&mut job.order, Order::None) == Order::Preempt).then_some(Turn::Preempted)
        })
        .await
}

/// The time between the wish and the end, in which the processes go on.
async fn canceling(shared: &Shared) {
    clock::sleep(shared.setting.pace.canceling).await;
    shared
        .wait(|world| (!world.held.contains("CancelRequested")).then_some(()))
        .await;
}

/// Runs the command to its end, or to that of others; its exit code.
async fn run(shared: &Shared, id: &str, child: &mut Child, sandbox: &mut Sandbox) -> Result<i32, Turn> {
    let timeout = {
        let mut world = shared.world();
        let limit = world
            .job(id)
            .and_then(|job| job.properties["limits"]["timeout"].as_str().map(str::to_owned));
        limit.as_deref().and_then(rules::timeout_seconds)
    };
    let timed_out = async {
        match timeout {
            Some(seconds) => clock::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let collecting = async {
        let mut pause = COLLECT;
        loop {
            clock::sleep(pause).await;
            let (took, jobs) = collect(shared, sandbox, false);
            // All of them together leave most of the time to requests.
            pause = (took * 3 * jobs).clamp(COLLECT, MOST_PAUSE);
        }
    };
    let other = async {
        let turn = wanted(shared, id).await;
        if matches!(turn, Turn::Canceled) {
            canceling(shared).await;
        }
        turn
    };
    tokio::select! {
        status = child.wait() => match status {
            Ok(status) => finish(shared, id, process::exit_code(status)).await,
            Err(error) => Err(Turn::Failed(failure("ServiceError", &error.to_string()))),
        },
        turn = other => Err(turn),
        () = timed_out => Err(Turn::TimedOut),
        () = collecting => Err(Turn::Gone),
    }
}

/// A command that has ended by itself: what was wanted of it counts more, and a test may hold it in `Running`.
async fn finish(shared: &Shared, id: &str, code: i32) -> Result<i32, Turn> {
    let held = shared.wait(|world| (!world.held.contains("Running")).then_some(()));
    tokio::select! {
        () = held => Ok(code),
        turn = wanted(shared, id) => Err(turn),
    }
}

/// Brings what a job wrote to the storage; how long that took, and how many jobs run.
fn collect(shared: &Shared, sandbox: &mut Sandbox, is_last: bool) -> (Duration, u32) {
    let mut world = shared.world();
    let began = clock::now();
    // The folder is there as long as the server is; what cannot be read now is read the next time.
    let collected = sandbox.collect(&mut world, is_last);
    debug_assert!(collected.is_ok() || shared.stop.is_cancelled(), "{collected:?}");
    let jobs = world.jobs.iter().filter(|job| job.status == "Running").count();
    let took = Duration::try_from(clock::now().duration_since(began)).unwrap_or_default();
    (took, u32::try_from(jobs).unwrap_or(u32::MAX))
}

/// Why a run failed, as run history tells it.
fn failure(code: &str, message: &str) -> Value {
    json!({
        "error": {
            "code": code,
            "severity": null,
            "message": message,
            "messageFormat": "{Message}",
            "messageParameters": {},
            "referenceCode": null,
            "detailsUri": null,
            "target": null,
            "details": [],
            "innerError": null,
        },
        "correlation": {"operation": uuid().replace('-', ""), "request": uuid()[..16]},
        "environment": "westeurope",
        "location": "westeurope",
        "time": clock::text(clock::now()),
        "componentName": "CommonRuntime",
    })
}
