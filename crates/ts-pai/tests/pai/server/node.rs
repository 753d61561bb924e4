//! The node: runs the containers of a job as processes, as openpai-runtime and Kubernetes do, and ends all of a container at once.
//!
//! Sources: microsoft/openpai-runtime, `src/runtime.d/runtime_entry.sh` (the user's script is a child of the first process, which a
//! request to end does not get past), `src/runtime.d/user.sh` (its options); microsoft/pai v1.8, `models/v2/job/k8s.js` (environment).

use super::{
    Shared,
    cluster::{Job, Phase},
    limits,
    protocol::Role,
};
use futures_util::future::select_all;
use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
    sync::{Arc, atomic::Ordering},
};
use tokio::process::Command;
use ts_testkit::conformance::kill_marked;

/// How an attempt ended.
enum Ended {
    /// By its containers: exit code, and the instance that decided.
    Own(i32, Option<(String, u64)>),
    Stopped,
    /// By an accident of the platform, which begins the job again.
    Accident(i32),
}

/// Runs a job to its end.
#[expect(clippy::disallowed_methods, reason = "a cluster takes real time")]
pub(crate) async fn run(shared: Arc<Shared>, job: Arc<Job>) {
    let cluster = &shared.cluster;
    let step = cluster.setting.lag / 4;
    let mut attempt = 0;
    loop {
        // Wait for the scheduler, unless somebody stops it first.
        loop {
            let released = cluster.released.notified();
            let asked = job.bell.notified();
            if job.is_stopped.load(Ordering::SeqCst) {
                return complete(&job, -210, None);
            }
            if !cluster.is_held.load(Ordering::SeqCst) {
                break;
            }
            tokio::select! { () = released => {}, () = asked => {} }
        }
        job.change(|s| s.phase = Phase::AttemptPreparing);
        tokio::time::sleep(step).await;
        job.change(|s| {
            s.phase = Phase::AttemptRunning;
            s.launched = Some(limits::now().as_millis());
        });
        match attempt_once(&shared, &job, attempt).await {
            Ended::Own(code, trigger) => {
                // The pods of other instances go first; the state stays `RUNNING` meanwhile.
                job.change(|s| (s.phase, s.code) = (Phase::AttemptDeleting, Some(code)));
                tokio::time::sleep(step).await;
                return complete(&job, code, trigger);
            }
            Ended::Stopped => return complete(&job, -210, None),
            Ended::Accident(code) => {
                // Transient failures are repeated without end, whatever `jobRetryCount` says (`fancyRetryPolicy`).
                if code == -1200 {
                    return complete(&job, code, None);
                }
                attempt += 1;
                job.change(|s| {
                    (s.phase, s.code) = (Phase::AttemptCreationPending, None);
                    s.retries += 1;
                });
            }
        }
    }
}

fn complete(job: &Job, code: i32, trigger: Option<(String, u64)>) {
    job.change(|s| {
        (s.phase, s.code, s.trigger) = (Phase::Completed, Some(code), trigger);
        s.completed = Some(limits::now().as_millis());
    });
}

async fn attempt_once(shared: &Shared, job: &Arc<Job>, attempt: u32) -> Ended {
    let uid = format!("{}-{attempt}", job.protocol.name);
    let mark = format!("TEST_ATTEMPT={uid}");
    let mut running = Vec::new();
    for role in &job.protocol.roles {
        for index in 0..role.instances {
            running.push(Box::pin(container(shared, job, role.clone(), index, uid.clone())));
        }
    }
    let (mut n_failed, mut n_succeeded, n_all) = (0, 0, running.len());
    let deciding = async {
        loop {
            let ((role, index, code), _, rest) = select_all(std::mem::take(&mut running)).await;
            running = rest;
            if code == 0 {
                n_succeeded += 1;
            } else {
                n_failed += 1;
            }
            if code != 0 && role.min_failed != -1 && n_failed >= role.min_failed {
                return Ended::Own(code, Some((role.name, index)));
            }
            let is_enough = role.min_succeeded != -1 && n_succeeded >= role.min_succeeded && n_all == 1;
            if is_enough || running.is_empty() {
                return Ended::Own(0, None);
            }
        }
    };
    let disturbed = async {
        loop {
            let asked = job.bell.notified();
            if job.is_stopped.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(code) = job.accident.lock().expect("no panic").take() {
                return Some(code);
            }
            asked.await;
        }
    };
    tokio::pin!(deciding);
    let ended = tokio::select! {
        ended = &mut deciding => ended,
        accident = disturbed => if let Some(code) = accident {
            Ended::Accident(code)
        } else {
            job.change(|s| (s.phase, s.code) = (Phase::AttemptDeleting, Some(-210)));
            // Kubernetes' grace: the request reaches the first process of the container only, which ignores it.
            let _ = tokio::time::timeout(shared.cluster.setting.pod_grace, &mut deciding).await;
            Ended::Stopped
        },
    };
    kill_marked(&mark);
    ended
}

/// Runs one container; gives its exit code once nothing of it is left.
async fn container(shared: &Shared, job: &Job, role: Role, index: u64, attempt: String) -> (Role, u64, i32) {
    let uid = format!("{attempt}-{}-{index}", role.name);
    let dir = shared.setting.node_dir.join(&uid);
    fs::create_dir_all(&dir).expect("room");
    let script = dir.join("user.sh");
    let text = format!(
        "#!/bin/bash\n\nset -o errexit\nset -o nounset\nset -o pipefail\n\n{}\n",
        role.entrypoint
    );
    fs::write(&script, text).expect("room");
    let log = |name: &str| fs::File::create(dir.join(name)).expect("room");
    let mut command = Command::new("bash");
    command
        .arg(&script)
        .current_dir(&dir)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
        .envs(shared.setting.path.iter().map(|path| ("PATH", path)))
        .env("FC_POD_UID", &uid)
        .env("TEST_ATTEMPT", &attempt)
        .env("TEST_NODE", &shared.setting.node_dir)
        .env("PAI_JOB_NAME", format!("{}~{}", job.user, job.protocol.name))
        .env("PAI_USER_NAME", &job.user)
        // `convertName`: lower case, letters and digits only.
        .env("PAI_CURRENT_TASK_ROLE_NAME", role.name.to_lowercase().replace('_', ""))
        .env("PAI_CURRENT_TASK_ROLE_CURRENT_TASK_INDEX", index.to_string())
        .env("PAI_TASK_INDEX", index.to_string())
        .stdin(Stdio::null())
        .stdout(log("stdout"))
        .stderr(log("stderr"))
        .process_group(0);
    let status = command.spawn().expect("bash").wait().await.expect("waited for");
    // The first process of a container takes all others with it.
    kill_marked(&format!("FC_POD_UID={uid}"));
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .expect("ended");
    (role, index, code)
}
