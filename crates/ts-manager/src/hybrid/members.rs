//! The platforms of one experiment, how full each is, and whether it answers.

use super::{
    places::Places,
    route::{self, Load},
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use ts_core::{Ctx, Error, ErrorKind, ExperimentSpec, Prepared, Result, Retry, TrainingService, TrialId, TrialRecord};

/// How long a platform that did not answer gets no new trials while another has room.
const DOWN: Duration = Duration::from_secs(30);

/// One platform of a hybrid experiment.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever builds one gives all of it")]
pub struct Member {
    /// Its name in this experiment; unique and stable, for it is written down with each trial.
    pub name: String,
    /// The platform.
    pub service: Arc<dyn TrainingService>,
    /// The experiment as this platform has it: its command, code and GPUs.
    pub spec: ExperimentSpec,
    /// Most trials at a time; `None`: as many as the experiment has.
    pub concurrency: Option<u32>,
    /// Its part of the trials beside the others'; without any weight the list's order counts.
    pub weight: Option<u32>,
}

/// All of them and what is known of them.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) ctx: Ctx,
    pub(super) list: Vec<Member>,
    pub(super) places: Places,
    states: Mutex<Vec<State>>,
}

#[derive(Debug, Default)]
struct State {
    live: HashSet<TrialId>,
    down_until: Duration,
    /// The code's receipt, if it came later than that of the others.
    receipt: Option<Prepared>,
    /// Trials that it has not been asked about since we began.
    unasked: Vec<TrialRecord>,
}

impl Members {
    pub(super) fn new(ctx: Ctx, list: Vec<Member>) -> Self {
        Self {
            places: Places::new(ctx.work_dir.join("places")),
            states: Mutex::new(list.iter().map(|_| State::default()).collect()),
            ctx,
            list,
        }
    }

    /// The platform that has the trial.
    pub(super) fn of(&self, trial: &TrialId) -> Result<Option<usize>> {
        let Some(name) = self.places.of(trial)? else {
            return Ok(None);
        };
        let at = self.list.iter().position(|member| member.name == name);
        at.map(Some).ok_or_else(|| {
            let message = format!("trial `{trial}` is on the platform `{name}`, which the experiment has no more");
            Error::new(ErrorKind::Conflict, message).with_help("put the platform back into the list")
        })
    }

    /// Platforms with room, in the order in which to try them.
    pub(super) fn order(&self) -> Vec<usize> {
        let now = self.ctx.clock.monotonic();
        let loads: Vec<Load> = {
            let states = self.states();
            let pairs = self.list.iter().zip(&*states);
            let load = |(member, state): (&Member, &State)| Load {
                live: u32::try_from(state.live.len()).unwrap_or(u32::MAX - 1),
                most: member.concurrency,
                weight: member.weight,
                is_down: now < state.down_until,
            };
            pairs.map(load).collect()
        };
        route::order(&loads)
    }

    /// Takes a slot, if there is one.
    pub(super) fn take(&self, at: usize, trial: &TrialId) -> bool {
        let most = self.list[at].concurrency;
        let live = &mut self.states()[at].live;
        if most.is_some_and(|most| live.len() >= most as usize) && !live.contains(trial) {
            return false;
        }
        live.insert(trial.clone());
        true
    }

    /// Gives the slot back: the trial has ended, or never came there.
    pub(super) fn release(&self, at: usize, trial: &TrialId) {
        self.states()[at].live.remove(trial);
    }

    /// Notes that the platform did not answer.
    pub(super) fn note_down(&self, at: usize, error: &Error) {
        tracing::warn!(platform = self.list[at].name, %error, "a platform does not answer; others get its trials");
        self.states()[at].down_until = self.ctx.clock.monotonic() + DOWN;
    }

    /// Notes that it answered.
    pub(super) fn note_up(&self, at: usize) {
        self.states()[at].down_until = Duration::ZERO;
    }

    pub(super) fn receipt(&self, at: usize) -> Option<Prepared> {
        self.states()[at].receipt.clone()
    }

    pub(super) fn keep_receipt(&self, at: usize, receipt: Prepared) {
        self.states()[at].receipt = Some(receipt);
    }

    /// Keeps trials that the platform is to be asked about once it answers.
    pub(super) fn ask_later(&self, at: usize, trials: Vec<TrialRecord>) {
        self.states()[at].unasked = trials;
    }

    /// Trials that it has not been asked about.
    pub(super) fn unasked(&self, at: usize) -> Vec<TrialRecord> {
        self.states()[at].unasked.clone()
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the platform certainly did not get the request and another may be asked.
pub(super) fn moves_on(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::NoCapacity | ErrorKind::RateLimited => {
            matches!(error.retry(), Retry::NotApplied { .. })
        }
        ErrorKind::Auth | ErrorKind::Denied => !matches!(error.retry(), Retry::MaybeApplied { .. }),
        _ => false,
    }
}
