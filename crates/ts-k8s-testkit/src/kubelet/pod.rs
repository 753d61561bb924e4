//! One pod on the node: what is known of it, what it is to do, and telling the API server how it stands.
//!
//! The containers change the state here while `container` and `life` run them; one task per pod sends what came of it, so that a
//! slow API server delays no container and several changes become one request.

use super::{
    clock,
    events::Report,
    log_file::Log,
    mounts::Mounts,
    process::Launch,
    shared::{Shared, answer, lock, next_number},
    status::{self, Ended, Since, State, Told, Verdict, View},
};
use crate::PodRef;
use k8s_openapi::{
    api::core::v1::{Container, Pod},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::watch;

/// A pod that was bound to the node.
#[derive(Debug)]
pub(super) struct PodRun {
    /// Which one.
    pub(super) id: PodRef,
    /// Its volumes and logs.
    pub(super) dir: PathBuf,
    /// Its address, on which its processes can listen.
    pub(super) ip: String,
    /// When it came.
    pub(super) started: Timestamp,
    /// What is wanted of it.
    pub(super) orders: watch::Sender<Orders>,
    state: Mutex<PodState>,
    /// Counts changes of the state.
    changed: watch::Sender<u64>,
    /// The change that the API server knows.
    reported: watch::Sender<u64>,
}

/// What is wanted of a pod.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    /// End, within so much time.
    pub(super) stop: Option<Duration>,
    /// Remove the object once it has ended.
    pub(super) delete: bool,
    /// The object is gone already.
    pub(super) gone: bool,
}

/// How a pod stands.
#[derive(Debug)]
pub(super) struct PodState {
    /// The object as it was last seen.
    pub(super) pod: Pod,
    /// Its init containers, in order.
    pub(super) init: Vec<Cell>,
    /// The others.
    pub(super) main: Vec<Cell>,
    /// Set once the node has ended the pod.
    pub(super) verdict: Option<Verdict>,
    /// Conditions of others.
    pub(super) foreign: Vec<Value>,
    /// That it makes room, if it does.
    pub(super) disruption: Option<Value>,
    /// Its network is there.
    pub(super) has_address: bool,
    since: Since,
}

/// A container of the pod.
#[derive(Debug)]
pub(super) struct Cell {
    /// What the API server is told of it.
    pub(super) told: Told,
    /// What runs.
    pub(super) live: Option<Live>,
    /// The log of the current run or the last, and that of the one before, by id.
    pub(super) logs: Vec<(String, Arc<Log>)>,
}

/// A container that runs.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// Its first process.
    pub(super) pid: u32,
    /// How to start another one in it.
    pub(super) launch: Launch,
    /// Where its volumes are.
    pub(super) mounts: Mounts,
    /// Its end will be the fault of its memory.
    pub(super) out_of_memory: bool,
}

/// Which container of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// It is an init container.
    pub(super) init: bool,
    /// Its place among those.
    pub(super) index: usize,
}

impl PodRun {
    /// A pod that was just bound.
    pub(super) fn new(id: PodRef, pod: Pod, dir: PathBuf) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let init = spec.init_containers.unwrap_or_default();
        let reason = if init.is_empty() {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        let cells = |containers: &[Container]| containers.iter().map(|one| Cell::new(one, reason)).collect();
        let state = PodState {
            init: cells(&init),
            main: cells(&spec.containers),
            foreign: foreign(&pod),
            pod,
            verdict: None,
            disruption: None,
            has_address: false,
            since: Since::new(),
        };
        let number = next_number();
        Self {
            id,
            dir,
            // All of 127.0.0.0/8 is the machine itself, so that each pod can have an address of its own. Programs that run at the
            // same time differ in the second byte, mostly.
            ip: format!(
                "127.{}.{}.{}",
                1 + std::process::id() % 250,
                number / 250 % 250,
                2 + number % 250
            ),
            started: clock::now(),
            orders: watch::Sender::new(Orders::default()),
            state: Mutex::new(state),
            changed: watch::Sender::new(1),
            reported: watch::Sender::new(0),
        }
    }

    /// The state, to read.
    pub(super) fn state(&self) -> MutexGuard<'_, PodState> {
        lock(&self.state)
    }

    /// Changes the state. The API server will hear of it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut PodState) -> T) -> T {
        let result = change(&mut lock(&self.state));
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Changes one container.
    pub(super) fn change_cell<T>(&self, slot: Slot, change: impl FnOnce(&mut Cell) -> T) -> T {
        self.change(|state| change(state.cell(slot)))
    }

    /// The container waits, and why. One that has ended keeps how as its last state.
    pub(super) fn wait(&self, slot: Slot, reason: &str, message: Option<String>) {
        self.change_cell(slot, |cell| {
            if let State::Ended(ended) = &cell.told.state {
                cell.told.last = Some(ended.clone());
            }
            cell.told.state = State::Waiting {
                reason: reason.to_owned(),
                message,
            };
        });
    }

    /// The object is no longer there.
    pub(super) fn is_gone(&self) -> bool {
        self.orders.borrow().gone
    }

    /// Orders the pod to end. A second order can only shorten the time.
    pub(super) fn stop(&self, grace: Duration) {
        self.orders.send_if_modified(|orders| {
            let sooner = orders.stop.is_none_or(|known| grace < known);
            if sooner {
                orders.stop = Some(grace);
            }
            sooner
        });
    }

    /// Whether the pod was ordered to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.orders.borrow().stop.is_some()
    }

    /// The result, unless the pod is ordered to end before it is there.
    pub(super) async fn unless_stopped<T>(&self, wanted: impl Future<Output = T>) -> Option<T> {
        let mut orders = self.orders.subscribe();
        tokio::select! {
            biased;
            _ = orders.wait_for(|orders| orders.stop.is_some()) => None,
            result = wanted => Some(result),
        }
    }

    /// The time between asking to end and killing. Source: kubernetes v1.20, `pkg/kubelet/kuberuntime/kuberuntime_container.go`,
    /// `killContainer` and `minimumGracePeriodInSeconds`.
    pub(super) fn grace(&self) -> Duration {
        let state = self.state();
        let spec = state.pod.spec.as_ref();
        let seconds = state.pod.metadata.deletion_grace_period_seconds;
        let seconds = seconds
            .or_else(|| spec.and_then(|spec| spec.termination_grace_period_seconds))
            .unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(2))
    }

    /// An event about the pod.
    pub(super) fn report(&self, shared: &Shared, warning: bool, reason: &'static str, message: impl Into<String>) {
        self.report_at(shared, None, warning, reason, message);
    }

    /// An event about a container.
    pub(super) fn report_of(
        &self,
        shared: &Shared,
        slot: Slot,
        warning: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let list = if slot.init { "initContainers" } else { "containers" };
        let name = self.state().cell(slot).told.name.clone();
        self.report_at(shared, Some(format!("spec.{list}{{{name}}}")), warning, reason, message);
    }

    fn report_at(
        &self,
        shared: &Shared,
        field: Option<String>,
        warning: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        // The receiver is gone only when the whole node is.
        let _ = shared.events.send(Report {
            pod: self.id.clone(),
            field,
            warning,
            reason,
            message: message.into(),
            scheduler: false,
        });
    }

    /// Waits until the API server knows all that has happened so far, or has no such pod any more.
    pub(super) async fn settled(&self) {
        let now = *self.changed.borrow();
        let mut reported = self.reported.subscribe();
        let mut orders = self.orders.subscribe();
        tokio::select! {
            _ = reported.wait_for(|known| *known >= now) => {}
            _ = orders.wait_for(|orders| orders.gone) => {}
        }
    }

    /// Asks whether there is still such a pod, after a refusal. Another one of the same name is not it.
    pub(super) async fn look_if_gone(&self, shared: &Shared) -> bool {
        let api: Api<Pod> = Api::namespaced(shared.client.clone(), &self.id.namespace);
        let is_gone = match answer(api.get(&self.id.name)).await {
            Some(Ok(pod)) => pod.metadata.uid.as_ref() != Some(&self.id.uid),
            Some(Err(refusal)) => refusal.code == 404,
            None => false,
        };
        if is_gone {
            self.orders.send_modify(|orders| orders.gone = true);
        }
        is_gone
    }

    /// Sends the status whenever it changes, until the object is gone.
    pub(super) async fn keep_reporting(self: Arc<Self>, shared: Arc<Shared>) {
        let mut changed = self.changed.subscribe();
        let api: Api<Pod> = Api::namespaced(shared.client.clone(), &self.id.namespace);
        let mut sent = Value::Null;
        loop {
            let now = *changed.borrow_and_update();
            let status = self.state().status(&self);
            if status != sent && !shared.is_lost() {
                // With its uid, so that another pod of the same name is left alone.
                let patch = json!({"metadata": {"uid": self.id.uid}, "status": status});
                let patch = Patch::Merge(patch);
                if let Some(Ok(_)) = answer(api.patch_status(&self.id.name, &PatchParams::default(), &patch)).await {
                    sent = status;
                } else if self.look_if_gone(&shared).await {
                    return;
                } else {
                    // Refused or unanswered: the pod goes on, and the API server will hear of it.
                    clock::sleep(shared.settings().back_off).await;
                    continue;
                }
            }
            self.reported.send_replace(now);
            if self.is_gone() || changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl PodState {
    /// One of the containers.
    pub(super) fn cell(&mut self, slot: Slot) -> &mut Cell {
        let cells = if slot.init { &mut self.init } else { &mut self.main };
        &mut cells[slot.index]
    }

    /// All containers with their places.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.init.iter().chain(&self.main)
    }

    fn status(&mut self, pod: &PodRun) -> Value {
        let told = |cells: &[Cell]| cells.iter().map(|cell| cell.told.clone()).collect::<Vec<_>>();
        let (init, main) = (told(&self.init), told(&self.main));
        let spec = self.pod.spec.as_ref();
        let known = |one: &&Value| self.foreign.iter().any(|known| known["type"] == one["type"]);
        let mut foreign = self.foreign.clone();
        foreign.extend(self.disruption.iter().filter(|one| !known(one)).cloned());
        let view = View {
            restart_policy: spec.and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always"),
            init: &init,
            main: &main,
            verdict: self.verdict.as_ref(),
            started: pod.started,
            ip: self.has_address.then_some(pod.ip.as_str()),
            foreign: &foreign,
        };
        status::status(&view, &mut self.since)
    }
}

/// Conditions that a kubelet does not set. Source: kubernetes v1.20, `pkg/kubelet/types/pod_status.go`.
pub(super) fn foreign(pod: &Pod) -> Vec<Value> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let others = conditions.filter(|one| {
        !matches!(
            one.type_.as_str(),
            "PodScheduled" | "Ready" | "Initialized" | "Unschedulable" | "ContainersReady"
        )
    });
    others.filter_map(|one| serde_json::to_value(one).ok()).collect()
}

impl Cell {
    fn new(container: &Container, reason: &str) -> Self {
        Self {
            told: Told {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                state: State::Waiting {
                    reason: reason.to_owned(),
                    message: None,
                },
                last: None,
                id: None,
                restarts: 0,
            },
            live: None,
            logs: Vec::new(),
        }
    }

    /// The log of a run of this container.
    pub(super) fn log(&self, id: &str) -> Option<Arc<Log>> {
        self.logs
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, log)| log.clone())
    }

    /// How the last run ended, if none has begun since.
    pub(super) fn ended(&self) -> Option<&Ended> {
        match &self.told.state {
            State::Ended(ended) => Some(ended),
            _ => None,
        }
    }
}
