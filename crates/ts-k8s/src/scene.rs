//! All that is seen of the cluster, put together: what each trial is, by its object, its pods, their logs and events.
//!
//! Pure: `observe` brings what happens and carries out what follows.

use crate::{
    core::Place,
    pods::{HeldUp, Main, PodView, Wait, reason_of},
    relay::{Exit, Phase, Spoken},
    status::JobState,
    verdict,
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};
use tokio::sync::watch;
use ts_core::{
    Reason, ReasonCode, Timestamp, TrialId, TrialStatus,
    follow::{End, Known, of_canceled},
};

/// How long what is left of an ended job may take to end, too, beside the grace that pods have.
const LEFTOVER: Duration = Duration::from_mins(1);

/// How long a warning of a node counts. What goes on is told again, of one pod at least every 5 min.
///
/// Source: client-go v0.20, `tools/record/events_cache.go`, `defaultSpamQPS`.
const WARNING: Duration = Duration::from_mins(6);

/// How long the pods of an ended job may be unseen before it counts as one that never had any.
const UNSEEN_PODS: Duration = Duration::from_secs(5);

/// A pod of a trial, also after it is gone, until the trial has ended.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) view: PodView,
    pub(crate) phase: watch::Sender<Phase>,
    /// Whether its log is read, and then whether into files that are kept apart.
    pub(crate) heard: Option<bool>,
    pub(crate) spoken: Option<Spoken>,
    pub(crate) is_served: bool,
    pub(crate) is_gone: bool,
    /// Whether it is in the place of one that had begun, and so is neither served nor heard.
    pub(crate) is_second_run: bool,
}

impl Pod {
    /// Whether all it will ever say is here.
    pub(crate) fn is_done(&self) -> bool {
        if self.is_second_run {
            return true;
        }
        match self.view.main {
            Main::Waiting => self.is_gone || self.view.is_over,
            _ if !self.view.has_begun() => true,
            _ => self.spoken.is_some(),
        }
    }

    /// Whether every line of its journal is here, or it has never begun to write one.
    fn has_told_all(&self) -> bool {
        if self.is_second_run {
            return false;
        }
        let is_refused = matches!(&self.view.main, Main::Ended(end) if end.code == verdict::NOT_BEGUN);
        is_refused || matches!(self.spoken, Some(Spoken::Ended(_)))
    }

    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.spoken {
            Some(Spoken::Ended(exit) | Spoken::Holed(exit)) => Some(exit),
            _ => None,
        }
    }
}

/// The object of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// As it was seen last.
    There(JobState),
    /// It was there, and is not any more.
    Gone,
}

/// How the objects and pods of trials are called: events name them so.
#[derive(Debug, Default)]
struct Names {
    of_name: HashMap<String, TrialId>,
    of_trial: HashMap<TrialId, Vec<String>>,
}

impl Names {
    fn enter(&mut self, trial: &TrialId, name: String) {
        if self.of_name.get(&name) != Some(trial) {
            self.of_trial.entry(trial.clone()).or_default().push(name.clone());
            self.of_name.insert(name, trial.clone());
        }
    }

    fn forget(&mut self, trial: &TrialId) {
        for name in self.of_trial.remove(trial).into_iter().flatten() {
            self.of_name.remove(&name);
        }
    }
}

/// What a trial is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// There is nothing new to say.
    Unclear,
    Waiting(Wait),
    Running(Timestamp),
    Over(End),
}

/// A warning about the object of a trial or one of its pods.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) event: HeldUp,
    /// When the cluster told it last, in whole seconds as it counts the ages of pods.
    pub(crate) at: Option<Timestamp>,
    /// When it was seen; monotonic.
    pub(crate) seen: Duration,
    /// Whether it was told just then, and not found among older ones.
    pub(crate) is_live: bool,
}

/// What a trial has left on the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It is being read, as this request of all asks for it.
    Wanted(u64),
    /// It is here; how the command ended, if that was there.
    Here(Option<Exit>),
}

/// All that is seen.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    pub(crate) objects: HashMap<TrialId, Object>,
    pub(crate) pods: HashMap<String, Pod>,
    of_trial: HashMap<TrialId, BTreeSet<String>>,
    names: Names,
    events: HashMap<TrialId, Told>,
    /// What is known of the rests of trials on the storage, and whether it is kept apart.
    rests: HashMap<TrialId, (bool, Rest)>,
    /// Requests for rests so far.
    n_wanted: u64,
    /// When the object of a trial was first seen to have ended.
    ended: HashMap<TrialId, Duration>,
    /// When all commands of a trial were first seen to have ended, while its pods go on.
    ended_beside: HashMap<TrialId, Duration>,
}

impl Scene {
    /// Enters how the object of a trial is called.
    pub(crate) fn enter_name(&mut self, trial: &TrialId, name: String) {
        self.names.enter(trial, name);
    }

    /// Enters a pod as it is now.
    pub(crate) fn enter_pod(&mut self, view: PodView) -> &mut Pod {
        self.names.enter(&view.trial, view.name.clone());
        self.of_trial
            .entry(view.trial.clone())
            .or_default()
            .insert(view.uid.clone());
        let phase = phase_of(&view);
        let pod = self.pods.entry(view.uid.clone()).or_insert_with(|| Pod {
            view: view.clone(),
            phase: watch::Sender::new(phase),
            heard: None,
            spoken: None,
            is_served: false,
            is_gone: false,
            is_second_run: false,
        });
        let before = std::mem::replace(&mut pod.view, view);
        if let (Main::Ended(known), Main::Ended(end)) = (&before.main, &pod.view.main)
            && end.is_unknown()
            && !known.is_unknown()
        {
            // A node that removes a pod may have lost what it said of it before.
            pod.view.main = before.main;
        }
        pod.phase
            .send_if_modified(|present| std::mem::replace(present, phase) != phase);
        pod
    }

    /// Enters that a pod is gone.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> Option<TrialId> {
        let pod = self.pods.get_mut(uid)?;
        pod.is_gone = true;
        pod.phase.send_replace(Phase::Gone);
        Some(pod.view.trial.clone())
    }

    /// Uids of pods that are not in this list any more.
    pub(crate) fn pods_but(&self, seen: &HashSet<String>) -> Vec<String> {
        let missing = self
            .pods
            .iter()
            .filter(|(uid, pod)| !pod.is_gone && !seen.contains(*uid));
        missing.map(|(uid, _)| uid.clone()).collect()
    }

    /// Trials whose object is not in this list any more.
    pub(crate) fn objects_but(&self, seen: &HashSet<TrialId>) -> Vec<TrialId> {
        let missing = self
            .objects
            .iter()
            .filter(|(trial, object)| **object != Object::Gone && !seen.contains(*trial));
        missing.map(|(trial, _)| trial.clone()).collect()
    }

    /// Enters a warning, unless a later one is known. Lists have them in no order, and bring again what is known.
    pub(crate) fn enter_event(&mut self, trial: &TrialId, told: Told) {
        let is_old = self.events.get(trial).is_some_and(|known| {
            let is_same = (&known.event, known.at) == (&told.event, told.at);
            (is_same && !told.is_live) || told.at < known.at
        });
        if !is_old {
            self.events.insert(trial.clone(), told);
        }
    }

    /// The trial whose object or pod has this name.
    pub(crate) fn trial_named(&self, name: &str) -> Option<&TrialId> {
        self.names.of_name.get(name)
    }

    pub(crate) fn pods_of(&self, trial: &TrialId) -> impl Iterator<Item = &Pod> {
        let uids = self.of_trial.get(trial).into_iter().flatten();
        uids.filter_map(|uid| self.pods.get(uid))
    }

    /// The pod in which the trial ran, if that is known still.
    pub(crate) fn first_run(&self, trial: &TrialId) -> Option<&Pod> {
        self.pods_of(trial)
            .find(|pod| !pod.is_second_run && pod.view.has_begun())
    }

    /// Marks the pods of a trial of one pod that are in the place of one that had begun; whether there are any. `heard` are the
    /// uids of those that have ever said something.
    pub(crate) fn mark_second_run(&mut self, trial: &TrialId, heard: &[String]) -> bool {
        let is_first = |first: &Pod, pod: &Pod| {
            let ended = |pod: &Pod| pod.is_gone || pod.view.is_over || pod.view.is_going;
            let order = first.view.created.cmp(&pod.view.created);
            let is_earlier = order.is_lt() || (order.is_eq() && !ended(pod));
            first.view.uid != pod.view.uid && first.view.has_begun() && ended(first) && is_earlier
        };
        let was_heard = |pod: &Pod| {
            let others = || heard.iter().filter(|uid| **uid != pod.view.uid);
            pod.heard.is_none() && !heard.contains(&pod.view.uid) && others().any(|uid| !self.pods.contains_key(uid))
        };
        let second: Vec<String> = self
            .pods_of(trial)
            .filter(|pod| was_heard(pod) || self.pods_of(trial).any(|first| is_first(first, pod)))
            .map(|pod| pod.view.uid.clone())
            .collect();
        for uid in &second {
            if let Some(pod) = self.pods.get_mut(uid) {
                pod.is_second_run = true;
            }
        }
        self.pods_of(trial).any(|pod| pod.is_second_run)
    }

    /// Whether something that a trial wrote may be on the storage only. `n_pods` is how many it has.
    pub(crate) fn lacks_rest(&self, trial: &TrialId, known: &Known<Place>, n_pods: usize) -> bool {
        let has_begun = known.extra.was_created || self.pods_of(trial).any(|pod| pod.view.has_begun());
        let told: HashSet<_> = self
            .pods_of(trial)
            .filter(|pod| pod.has_told_all())
            .map(|pod| (&pod.view.role, &pod.view.index))
            .collect();
        has_begun && told.len() < n_pods
    }

    /// Whether the log of one of its pods is being read still.
    pub(crate) fn is_being_read(&self, trial: &TrialId) -> bool {
        self.pods_of(trial)
            .any(|pod| pod.heard.is_some() && pod.spoken.is_none())
    }

    /// Has nobody wait any longer for what the logs of its pods may still bring.
    pub(crate) fn stop_reading(&self, trial: &TrialId) {
        for pod in self.pods_of(trial) {
            pod.phase.send_replace(Phase::GivenUp);
        }
    }

    /// What is known of a trial's rest; `is_apart` says in whose files it is wanted.
    pub(crate) fn rest(&self, trial: &TrialId, is_apart: bool) -> Option<Rest> {
        let (apart, rest) = self.rests.get(trial)?;
        (*apart == is_apart).then_some(*rest)
    }

    /// Has a trial's rest count as wanted; the number of the request.
    pub(crate) fn want_rest(&mut self, trial: &TrialId, is_apart: bool) -> u64 {
        self.n_wanted += 1;
        self.enter_rest(trial, is_apart, Rest::Wanted(self.n_wanted));
        self.n_wanted
    }

    pub(crate) fn enter_rest(&mut self, trial: &TrialId, is_apart: bool, rest: Rest) {
        self.rests.insert(trial.clone(), (is_apart, rest));
    }

    /// What is on the storage is to be read anew when it is wanted: what was read before is not all.
    pub(crate) fn forget_rest(&mut self, trial: &TrialId) {
        self.rests.remove(trial);
    }

    /// Forgets a trial that has ended.
    pub(crate) fn forget(&mut self, trial: &TrialId) {
        self.objects.remove(trial);
        self.events.remove(trial);
        self.ended.remove(trial);
        self.ended_beside.remove(trial);
        self.names.forget(trial);
        self.rests.remove(trial);
        for uid in self.of_trial.remove(trial).into_iter().flatten() {
            self.pods.remove(&uid);
        }
    }

    /// What `trial` is, of which `known` is known. `tail` gives the last of its standard error, `elapsed` is monotonic.
    pub(crate) fn look(
        &mut self,
        trial: &TrialId,
        known: &Known<Place>,
        grace: Duration,
        now: Timestamp,
        elapsed: Duration,
        tail: impl Fn() -> String,
    ) -> Finding {
        let is_over = match self.object(trial, known) {
            Some(Object::There(state)) => state.is_end(),
            Some(Object::Gone) => true,
            None => false,
        };
        if is_over {
            let since = *self.ended.entry(trial.clone()).or_insert(elapsed);
            let is_late = elapsed.saturating_sub(since) > grace + LEFTOVER;
            let is_gone = self.object(trial, known) == Some(&Object::Gone);
            // What was removed has ended once nothing of it is left; what ended by itself, once all it said is here.
            let has_ended = self
                .pods_of(trial)
                .all(|pod| pod.is_done() && (pod.is_gone || !is_gone));
            // Objects and pods come by different watches: a job may be seen to have ended before its pod is seen at all.
            let is_unseen = !is_gone && self.pods_of(trial).next().is_none();
            let is_early = elapsed.saturating_sub(since) < UNSEEN_PODS;
            if is_unseen && is_early {
                return Finding::Unclear;
            }
            if !has_ended && !is_late {
                return self.running(trial).map_or(Finding::Unclear, Finding::Running);
            }
            return Finding::Over(self.end(trial, known, now, &tail()));
        }
        self.ended.remove(trial);
        if let Some(at) = self.running(trial) {
            return Finding::Running(at);
        }
        match self.object(trial, known) {
            Some(Object::There(JobState::Running)) => Finding::Running(now),
            Some(Object::There(JobState::Waiting(why))) => {
                Finding::Waiting(self.wait(trial, why.as_deref(), now, elapsed))
            }
            _ => Finding::Unclear,
        }
    }

    /// The object of a trial, once all are listed: one that an earlier service created and that is not there is gone.
    pub(crate) fn object(&self, trial: &TrialId, known: &Known<Place>) -> Option<&Object> {
        let gone = known.extra.was_created.then_some(&Object::Gone);
        self.objects.get(trial).or(gone)
    }

    /// When the first of a trial's containers was started.
    pub(crate) fn running(&self, trial: &TrialId) -> Option<Timestamp> {
        let begun = self.pods_of(trial).filter(|pod| pod.view.has_begun());
        begun.filter_map(|pod| pod.view.started()).min()
    }

    /// How the commands of a trial ended, and since when, if all of its `n_pods` have and a pod goes on with other containers.
    pub(crate) fn ended_beside(
        &mut self,
        trial: &TrialId,
        n_pods: usize,
        elapsed: Duration,
    ) -> Option<(Exit, Duration)> {
        let pods: Vec<&Pod> = self.pods_of(trial).filter(|pod| !pod.is_gone).collect();
        let ended = pods.iter().filter(|pod| matches!(pod.view.main, Main::Ended(_)));
        let exits: Vec<Exit> = ended.filter_map(|pod| pod.exit()).collect();
        let is_so = exits.len() >= n_pods && exits.len() == pods.len() && pods.iter().any(|pod| !pod.view.is_over);
        // The first that failed, else the last that did not.
        let failed = exits.iter().filter(|exit| exit.code != 0).min_by_key(|exit| exit.at);
        let exit = failed.or(exits.iter().max_by_key(|exit| exit.at)).copied();
        let Some(exit) = exit.filter(|_| is_so) else {
            self.ended_beside.remove(trial);
            return None;
        };
        let since = *self.ended_beside.entry(trial.clone()).or_insert(elapsed);
        Some((exit, since))
    }

    /// Pods of an ended job that its operator leaves running.
    ///
    /// kubeflow/pytorch-operator does, whatever its policy says, and tf-operator leaves pods that have not begun yet
    /// (`pkg/controller.v1/pytorch/job.go`, `pkg/controller.v1/tensorflow/job.go`, `deletePodsAndServices`).
    pub(crate) fn left_running(&self, trial: &TrialId, elapsed: Duration) -> Vec<String> {
        let is_there = matches!(self.objects.get(trial), Some(Object::There(state)) if state.is_end());
        let since = self.ended.get(trial).filter(|_| is_there);
        if since.is_none_or(|since| elapsed.saturating_sub(*since) < UNSEEN_PODS) {
            return Vec::new();
        }
        let left = self
            .pods_of(trial)
            .filter(|pod| !(pod.is_gone || pod.view.is_over || pod.view.is_going));
        left.map(|pod| pod.view.name.clone()).collect()
    }

    fn wait(&self, trial: &TrialId, why: Option<&str>, now: Timestamp, elapsed: Duration) -> Wait {
        if let Some(why) = why {
            let reason = Reason::new(ReasonCode::Queued, format!("the job is suspended: {why}"), now)
                .unblocked_by("its queue lets it go, or whoever suspended it resumes it");
            return Wait {
                reason,
                is_hopeless: false,
            };
        }
        let pods = || self.pods_of(trial).filter(|pod| !pod.is_gone);
        let held_up = || pods().filter_map(|pod| pod.view.held_up.as_ref());
        let is_told = |h: &&HeldUp| !matches!(h.word.as_str(), "" | "ContainerCreating" | "PodInitializing");
        if let Some(held_up) = held_up().find(is_told) {
            return reason_of(held_up, now);
        }
        if let Some(told) = self.current_event(trial, elapsed) {
            let mut wait = reason_of(&told.event, now);
            // Nobody knows whether what was found among older ones is so still.
            wait.is_hopeless &= told.is_live || is_of_creation(&told.event);
            return wait;
        }
        match held_up().next() {
            Some(held_up) => reason_of(held_up, now),
            None => Wait {
                reason: Reason::new(ReasonCode::Starting, "the job has no pod yet", now)
                    .unblocked_by("its operator makes one"),
                is_hopeless: false,
            },
        }
    }

    /// The last warning about a trial, if what it tells of is not past.
    fn current_event(&self, trial: &TrialId, elapsed: Duration) -> Option<&Told> {
        let told = self.events.get(trial)?;
        let pods = || self.pods_of(trial).filter(|pod| !pod.is_gone);
        let is_past = match told.event.word.as_str() {
            // What could not be done is past once it is done.
            "FailedScheduling" => pods().next().is_some() && pods().all(|pod| pod.view.node.is_some()),
            _ if is_of_creation(&told.event) => pods().any(|pod| pod.view.created >= told.at),
            _ => elapsed.saturating_sub(told.seen) > WARNING,
        };
        (!is_past).then_some(told)
    }

    /// How the command ended, by its only pod or by what it left.
    fn exit_of(&self, trial: &TrialId, known: &Known<Place>) -> Option<Exit> {
        if let Some(Rest::Here(Some(exit))) = self.rest(trial, known.extra.is_apart) {
            return Some(exit);
        }
        let mut pods = self.pods_of(trial).filter(|pod| !pod.is_second_run);
        let only = pods.next().filter(|_| pods.next().is_none());
        only.and_then(Pod::exit)
    }

    fn end(&self, trial: &TrialId, known: &Known<Place>, now: Timestamp, tail: &str) -> End {
        let pods: Vec<&Pod> = self.pods_of(trial).filter(|pod| !pod.is_second_run).collect();
        match self.object(trial, known) {
            Some(Object::There(JobState::Succeeded(at))) => verdict::succeeded(&pods, *at, now),
            Some(Object::There(JobState::Failed(failure))) => {
                let end = verdict::failed(&pods, self.exit_of(trial, known), failure, now, tail);
                match known.cancel {
                    // A job whose pods we had removed may be seen to have failed before it is seen to be gone.
                    Some(why) if end.status == TrialStatus::SysCanceled => of_canceled(why, &[], end.at),
                    _ => end,
                }
            }
            _ => verdict::gone(&pods, self.exit_of(trial, known), known, now, tail),
        }
    }
}

/// Whether a pod could not be made.
fn is_of_creation(event: &HeldUp) -> bool {
    matches!(event.word.as_str(), "FailedCreate" | "FailedCreatePod")
}

fn phase_of(view: &PodView) -> Phase {
    match view.main {
        Main::Ended(_) => Phase::Ended,
        _ => Phase::Running,
    }
}

#[cfg(test)]
#[path = "scene_tests.rs"]
mod tests;
