//! What all operations of one service share, and the task that turns sightings of the kernel into ends of trials.
//!
//! Ends of own and of adopted trials are seen in the same one way: the pidfd of the trial's shell. Tasks hold this weakly, so
//! that dropping the service and its streams ends our side, and never a trial.

use crate::{
    LocalConfig,
    cancel::{self, Endings},
    error,
    gpus::Gpus,
    last_sweep::LastSweep,
    observe::{Observer, Sighting},
    status,
};
use futures_util::FutureExt as _;
use rustix::process::{Pid, test_kill_process_group};
use std::{
    path::PathBuf,
    sync::{Arc, Weak},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use ts_core::{
    Ctx, Result, TrialId,
    follow::{self, End},
    launch::TrialPaths,
};

/// The trials of one experiment; of each the shell, which leads its process group, while that is known to be its.
pub(crate) type Registry = follow::Registry<Option<Pid>>;
/// What is known of one of them.
pub(crate) type Known = follow::Known<Option<Pid>>;

/// The running side of a service; made when it is first needed.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) ctx: Ctx,
    pub(crate) config: LocalConfig,
    pub(crate) registry: Arc<Registry>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) endings: Arc<Endings>,
    pub(crate) gpus: Arc<Gpus>,
    _stop: DropGuard,
}

impl Core {
    /// Starts the tasks on `ctx.tasks`.
    pub(crate) fn start(ctx: Ctx, config: LocalConfig) -> Result<Arc<Self>> {
        let observer = Arc::new(Observer::new().map_err(error::of_observer)?);
        let stop = CancellationToken::new();
        let core = Arc::new(Self {
            gpus: Arc::new(Gpus::new(&config)),
            ctx,
            config,
            registry: Arc::default(),
            observer,
            endings: Arc::default(),
            _stop: stop.clone().drop_guard(),
        });
        for task in [
            supervise(Arc::downgrade(&core), Arc::clone(&core.observer)).boxed(),
            cancel::serve(Arc::downgrade(&core), LastSweep::new(&core)).boxed(),
            crate::gpus::serve(Arc::downgrade(&core)).boxed(),
        ] {
            let stopped = stop.clone().cancelled_owned();
            core.ctx.tasks.spawn(async move {
                tokio::select! {
                    () = stopped => {}
                    () = task => {}
                }
            });
        }
        Ok(core)
    }

    /// Where the trials' directories are.
    pub(crate) fn trials_dir(&self) -> PathBuf {
        self.ctx.work_dir.join("trials")
    }

    pub(crate) fn paths(&self, trial: &TrialId) -> TrialPaths {
        TrialPaths::new(self.ctx.work_dir.join("trials").join(trial.as_str()))
    }

    /// The shell of `trial` has ended, by `signal` if it was a child of ours and one did.
    fn shell_ended(&self, trial: &TrialId, signal: Option<i32>) {
        let Some(known) = self.registry.get(trial) else { return };
        if known.cancel.is_some() {
            self.endings.process_ended();
            return;
        }
        let end = status::of_ended(&self.paths(trial), signal, self.ctx.clock.now());
        self.conclude(trial, end);
        // The end of the command ends the trial: nothing that it started stays behind. See docs/decisions.
        let group = known.extra.filter(|group| test_kill_process_group(*group).is_ok());
        if group.is_some() || self.gpus.holds(trial) {
            self.endings.sweep_now(trial, group);
        } else {
            self.endings.sweep(trial);
        }
    }

    /// No process of `trial` is left but those of `leaked`.
    pub(crate) fn tree_ended(&self, trial: &TrialId, leaked: &[Pid]) {
        if self.registry.get(trial).is_some_and(|known| known.cancel.is_some()) {
            self.conclude_cancel(trial, leaked);
        }
        // Processes that survive SIGKILL still hold the memory of their GPUs.
        if leaked.is_empty() {
            self.gpus.release(trial);
        }
    }

    /// Says that a trial which was asked to end has ended.
    pub(crate) fn conclude_cancel(&self, trial: &TrialId, leaked: &[Pid]) {
        if let Some(why) = self.registry.get(trial).and_then(|known| known.cancel) {
            self.conclude(trial, follow::of_canceled(why, &pids(leaked), self.ctx.clock.now()));
        }
    }

    /// Makes the end of a trial known, unless it is known already.
    pub(crate) fn conclude(&self, trial: &TrialId, end: End) {
        self.observer.forget_files(trial);
        self.registry.update(trial, |known| {
            known.status = end.status;
            known.at = end.at;
            known.why = end.why;
        });
    }
}

fn pids(processes: &[Pid]) -> Vec<u32> {
    processes
        .iter()
        .map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
        .collect()
}

/// Acts on sightings until the service is gone.
async fn supervise(core: Weak<Core>, observer: Arc<Observer>) {
    let mut sightings = Vec::new();
    loop {
        let result = observer.next(&mut sightings).await;
        let Some(core) = core.upgrade() else { return };
        if let Err(error) = result {
            tracing::error!(%error, "the kernel's notifications cannot be read; trying again");
            core.ctx.clock.sleep(std::time::Duration::from_secs(1)).await;
        }
        for sighting in sightings.drain(..) {
            match sighting {
                Sighting::ShellEnded(trial, signal) => core.shell_ended(&trial, signal),
                Sighting::ProcessEnded => core.endings.process_ended(),
                Sighting::FileChanged(trial) => core.registry.tell(&trial),
                Sighting::Overflow => core.registry.tell_all(),
            }
        }
    }
}
