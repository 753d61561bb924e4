//! The board: which trials wait, what each machine has and holds, and who goes where. Pure: no clock, no network, no disk.
//!
//! First come, first served, but none is held up by one that cannot be placed. Trials without a wish for GPUs go to the
//! machine with the fewest trials per core; the others to the least loaded of those machines that have free GPUs.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    time::Duration,
};
use ts_core::{
    GpuCount, Reason, ReasonCode, Timestamp, TrialId,
    gpu::{GpuInventory, GpuLedger, GpuRules, Refusal, place},
};

/// Waiting trials and machines.
#[derive(Debug, Default)]
pub(crate) struct Board {
    queue: VecDeque<Waiting>,
    slots: Vec<Slot>,
}

/// A trial that waits for a machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) trial: TrialId,
    pub(crate) gpus: GpuCount,
    /// Digest of its code, which the machine must have.
    pub(crate) package: String,
}

/// Whether a machine can be given trials.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// The first contact is still being made.
    Connecting,
    Up,
    /// Connected, but it failed to start a trial: put aside until this time on the monotonic clock.
    Aside {
        why: Reason,
        until: Duration,
    },
    Down {
        why: Reason,
    },
}

/// What is known of one machine.
#[derive(Debug)]
pub(crate) struct Slot {
    name: String,
    condition: Condition,
    n_cores: u32,
    rules: GpuRules,
    ledger: GpuLedger,
    /// The driver's last answer and when it was asked.
    inventory: Option<(Duration, Result<GpuInventory, Refusal>)>,
    packages: HashSet<String>,
    /// Trials that were given to it and have not ended.
    live: HashSet<TrialId>,
}

/// A trial's way.
#[derive(Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) waiting: Waiting,
    pub(crate) machine: usize,
    pub(crate) devices: Vec<u32>,
    pub(crate) visible_devices: Option<String>,
}

impl Slot {
    pub(crate) fn new(name: impl Into<String>, rules: GpuRules) -> Self {
        Self {
            name: name.into(),
            condition: Condition::Connecting,
            n_cores: 1,
            rules,
            ledger: GpuLedger::new(),
            inventory: None,
            packages: HashSet::new(),
            live: HashSet::new(),
        }
    }

    fn load(&self) -> (u64, usize) {
        // Trials per core in thousandths, then the bare count.
        let n = self.live.len();
        (n as u64 * 1000 / u64::from(self.n_cores.max(1)), n)
    }

    /// The GPUs for a trial, or why not here.
    fn devices(&self, waiting: &Waiting) -> Result<(Vec<u32>, Option<String>), Refusal> {
        if matches!(waiting.gpus, GpuCount::Unset | GpuCount::Exactly(0)) {
            return Ok((Vec::new(), ts_core::launch::visible_devices(waiting.gpus, &[])));
        }
        let Some((_, inspected)) = &self.inventory else {
            return Err(Refusal::unknown(
                "its GPUs have not been asked yet",
                "wait for the answer of nvidia-smi",
            ));
        };
        let inventory = inspected.as_ref().map_err(Clone::clone)?;
        let devices = place(waiting.gpus, inventory, &self.rules, &self.ledger, &BTreeSet::new())?;
        let visible = inventory.visible_devices(&devices);
        Ok((devices, Some(visible)))
    }
}

impl Board {
    pub(crate) fn new(slots: Vec<Slot>) -> Self {
        Self {
            queue: VecDeque::new(),
            slots,
        }
    }

    /// Appends a trial to the queue, unless it is in it.
    pub(crate) fn enqueue(&mut self, waiting: Waiting) {
        if !self.queue.iter().any(|w| w.trial == waiting.trial) {
            self.queue.push_back(waiting);
        }
    }

    /// Takes a trial out of the queue; `false` if it is not in it.
    pub(crate) fn withdraw(&mut self, trial: &TrialId) -> bool {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.trial != *trial);
        self.queue.len() < before
    }

    /// Whether a trial waits that wishes for GPUs.
    pub(crate) fn wants_gpus(&self) -> bool {
        self.queue.iter().any(|w| matches!(w.gpus, GpuCount::Exactly(1..)))
    }

    /// The soonest time at which a machine that was put aside is tried again.
    pub(crate) fn next_return(&self) -> Option<Duration> {
        let until = |slot: &Slot| match slot.condition {
            Condition::Aside { until, .. } => Some(until),
            _ => None,
        };
        self.slots.iter().filter_map(until).min()
    }

    pub(crate) fn set_condition(&mut self, machine: usize, condition: Condition) {
        self.slots[machine].condition = condition;
    }

    pub(crate) fn condition(&self, machine: usize) -> &Condition {
        &self.slots[machine].condition
    }

    pub(crate) fn set_cores(&mut self, machine: usize, n_cores: u32) {
        self.slots[machine].n_cores = n_cores;
    }

    /// The machine has the code of this digest, or has it no longer.
    pub(crate) fn set_package(&mut self, machine: usize, package: &str, is_there: bool) {
        let packages = &mut self.slots[machine].packages;
        if is_there {
            packages.insert(package.to_owned());
        } else {
            packages.remove(package);
        }
    }

    /// Nobody knows what code the machine has.
    pub(crate) fn forget_packages(&mut self, machine: usize) {
        self.slots[machine].packages.clear();
    }

    pub(crate) fn has_package(&self, machine: usize, package: &str) -> bool {
        self.slots[machine].packages.contains(package)
    }

    pub(crate) fn set_inventory(&mut self, machine: usize, at: Duration, inventory: Result<GpuInventory, Refusal>) {
        self.slots[machine].inventory = Some((at, inventory));
    }

    /// Machines that can be asked for their GPUs and were not since `since`.
    pub(crate) fn stale_inventories(&self, since: Duration) -> Vec<usize> {
        let is_stale =
            |slot: &Slot| slot.condition == Condition::Up && slot.inventory.as_ref().is_none_or(|(at, _)| *at < since);
        (0..self.slots.len()).filter(|i| is_stale(&self.slots[*i])).collect()
    }

    /// Enters a trial that is on a machine already.
    pub(crate) fn restore(&mut self, machine: usize, trial: &TrialId, devices: &[u32]) {
        let slot = &mut self.slots[machine];
        slot.live.insert(trial.clone());
        if !devices.is_empty() {
            slot.ledger.restore(trial, devices);
        }
    }

    /// A trial is no longer on its machine; `true` if that freed anything.
    pub(crate) fn release(&mut self, machine: usize, trial: &TrialId) -> bool {
        let slot = &mut self.slots[machine];
        let held = slot.ledger.release(trial).is_some();
        if held {
            // Whose processes use the GPUs has changed.
            slot.inventory = None;
        }
        slot.live.remove(trial) || held
    }

    /// Places every trial that wishes for no GPU and can be placed. The others need fresh answers of the drivers first.
    pub(crate) fn place_simple(&mut self, now: Duration, at: Timestamp) -> (Vec<Placed>, Vec<(TrialId, Reason)>) {
        self.place_those(now, at, |waiting| !matches!(waiting.gpus, GpuCount::Exactly(1..)))
    }

    /// Places every trial that can be placed, and says of the others why they wait.
    pub(crate) fn place_all(&mut self, now: Duration, at: Timestamp) -> (Vec<Placed>, Vec<(TrialId, Reason)>) {
        self.place_those(now, at, |_| true)
    }

    fn place_those(
        &mut self,
        now: Duration,
        at: Timestamp,
        may_go: impl Fn(&Waiting) -> bool,
    ) -> (Vec<Placed>, Vec<(TrialId, Reason)>) {
        for slot in &mut self.slots {
            if matches!(slot.condition, Condition::Aside { until, .. } if until <= now) {
                slot.condition = Condition::Up;
            }
        }
        let (mut placed, mut refused) = (Vec::new(), Vec::new());
        for waiting in std::mem::take(&mut self.queue) {
            if !may_go(&waiting) {
                self.queue.push_back(waiting);
                continue;
            }
            if let Some((machine, devices, visible_devices)) = self.choose(&waiting) {
                self.restore(machine, &waiting.trial, &devices);
                placed.push(Placed {
                    waiting,
                    machine,
                    devices,
                    visible_devices,
                });
            } else {
                refused.push((waiting.trial.clone(), self.reason(&waiting, at)));
                self.queue.push_back(waiting);
            }
        }
        (placed, refused)
    }

    fn choose(&self, waiting: &Waiting) -> Option<(usize, Vec<u32>, Option<String>)> {
        let usable = |slot: &Slot| slot.condition == Condition::Up && slot.packages.contains(&waiting.package);
        let mut candidates: Vec<usize> = (0..self.slots.len()).filter(|i| usable(&self.slots[*i])).collect();
        candidates.sort_by_key(|i| self.slots[*i].load());
        candidates.into_iter().find_map(|i| {
            let (devices, visible) = self.slots[i].devices(waiting).ok()?;
            Some((i, devices, visible))
        })
    }

    /// Why a trial that cannot be placed waits: every machine in its own words.
    fn reason(&self, waiting: &Waiting, at: Timestamp) -> Reason {
        let mut whys = self.slots.iter().map(|slot| (slot, why_not(slot, waiting, at)));
        if self.slots.len() == 1
            && let Some((slot, why)) = whys.next()
        {
            let message = format!("`{}`: {}", slot.name, why.message);
            let reason = Reason::new(why.code, message, why.since);
            return why.unblock.into_iter().fold(reason, Reason::unblocked_by);
        }
        let whys: Vec<(&Slot, Reason)> = whys.collect();
        // The nearest hope gives the code: a busy GPU frees itself, an unreachable machine may not.
        let order = [
            ReasonCode::Starting,
            ReasonCode::GpuBusy,
            ReasonCode::GpuUnknown,
            ReasonCode::DiskFull,
            ReasonCode::StartFailed,
            ReasonCode::Unreachable,
        ];
        let nearest = order
            .into_iter()
            .find_map(|code| whys.iter().find(|(_, why)| why.code == code));
        let nearest = nearest.or(whys.first());
        let message = whys
            .iter()
            .map(|(slot, why)| format!("`{}`: {}", slot.name, why.message))
            .collect::<Vec<_>>()
            .join("; ");
        let code = nearest.map_or(ReasonCode::NoMachine, |(_, why)| why.code);
        let reason = Reason::new(code, message, at);
        nearest
            .and_then(|(_, why)| why.unblock.clone())
            .into_iter()
            .fold(reason, Reason::unblocked_by)
    }
}

fn why_not(slot: &Slot, waiting: &Waiting, at: Timestamp) -> Reason {
    match &slot.condition {
        Condition::Connecting => Reason::new(ReasonCode::Starting, "being connected", at),
        Condition::Aside { why, .. } | Condition::Down { why } => why.clone(),
        Condition::Up if !slot.packages.contains(&waiting.package) => {
            Reason::new(ReasonCode::Starting, "the code is on its way", at)
        }
        Condition::Up => match slot.devices(waiting) {
            Ok(_) => Reason::new(ReasonCode::Queued, "waits for its turn", at),
            Err(refusal) => refusal.reason(at),
        },
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
