//! Which GPUs a trial gets, decided from facts alone, and why it gets none.
//!
//! Placement on several machines is their platforms' choice among the machines; here is one machine.

use super::{Gpu, GpuCount, GpuInventory, GpuLedger, MigMode};
use crate::{Error, ErrorKind, Reason, ReasonCode, Timestamp};
use std::collections::BTreeSet;

/// What the configuration says about the use of a machine's GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuRules {
    /// The only GPUs that may be used. Default: all. An empty list allows none.
    pub indices: Option<Vec<u32>>,
    /// Most trials of ours on one GPU at a time. Default 1; with 0 nothing that needs a GPU ever runs.
    pub max_trials_per_gpu: u32,
    /// Whether GPUs with processes of others may be used. Default false.
    pub use_active_gpu: bool,
}

impl Default for GpuRules {
    fn default() -> Self {
        Self {
            indices: None,
            max_trials_per_gpu: 1,
            use_active_gpu: false,
        }
    }
}

impl GpuRules {
    /// The three rules.
    pub fn new(indices: Option<Vec<u32>>, max_trials_per_gpu: u32, use_active_gpu: bool) -> Self {
        Self {
            indices,
            max_trials_per_gpu,
            use_active_gpu,
        }
    }
    fn allow(&self, index: u32) -> bool {
        self.indices.as_ref().is_none_or(|indices| indices.contains(&index))
    }
}

/// Why a trial gets no GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// `GpuBusy`, `NoMachine` or `GpuUnknown`.
    pub code: ReasonCode,
    /// What is so.
    pub message: String,
    /// What would change it.
    pub unblock: String,
    /// The configuration key to look at.
    pub key: Option<&'static str>,
    /// Whether waiting is in vain: only another configuration or another machine helps.
    pub permanent: bool,
}

impl Refusal {
    /// A refusal that ends when a GPU becomes free.
    fn busy(message: String, unblock: String) -> Self {
        Self {
            code: ReasonCode::GpuBusy,
            message,
            unblock,
            key: None,
            permanent: false,
        }
    }
    /// A refusal for good.
    fn never(key: &'static str, message: String, unblock: impl Into<String>) -> Self {
        Self {
            code: ReasonCode::NoMachine,
            message,
            unblock: unblock.into(),
            key: Some(key),
            permanent: true,
        }
    }
    /// The GPUs cannot be asked now.
    pub fn unknown(message: impl Into<String>, unblock: impl Into<String>) -> Self {
        Self {
            code: ReasonCode::GpuUnknown,
            message: message.into(),
            unblock: unblock.into(),
            key: None,
            permanent: false,
        }
    }
    /// The refusal as the reason of a waiting trial.
    pub fn reason(&self, since: Timestamp) -> Reason {
        Reason::new(self.code, self.message.clone(), since).unblocked_by(self.unblock.clone())
    }
    /// The refusal as an error: `Config` if permanent, else `NoCapacity`.
    pub fn error(&self) -> Error {
        let kind = if self.permanent {
            ErrorKind::Config
        } else {
            ErrorKind::NoCapacity
        };
        let error = Error::new(kind, self.message.clone()).with_help(self.unblock.clone());
        match self.key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

/// Chooses the GPUs of one trial: exactly as many as it wants, ascending; none for an unset count and for 0.
///
/// Candidates are the allowed GPUs that hold fewer than `max_trials_per_gpu` trials of ours and, unless active GPUs may
/// be used, either hold a trial of ours or run no process but `our_pids`. The least used by us come first, then the
/// lowest index. Source: nni v1.9 to v2.10, `localTrainingService.ts`, `getAvailableGPUIndices`; unlike NNI a bad index
/// or too large a wish is an answer about this trial, not the end of the experiment.
///
/// # Errors
/// A [`Refusal`]: permanent if no end of any process could help, else `GpuBusy`.
pub fn place(
    count: GpuCount,
    inventory: &GpuInventory,
    rules: &GpuRules,
    ledger: &GpuLedger,
    our_pids: &BTreeSet<u32>,
) -> Result<Vec<u32>, Refusal> {
    let n_gpus = match count {
        GpuCount::Unset | GpuCount::Exactly(0) => return Ok(Vec::new()),
        GpuCount::Exactly(n) => n,
    };
    let fitting = fitting(n_gpus, inventory, rules)?;
    let blocked: Vec<(u32, Option<Blocked>)> = fitting
        .iter()
        .map(|gpu| (gpu.index, blocked(gpu, rules, ledger, our_pids)))
        .collect();
    let mut free: Vec<u32> = blocked
        .iter()
        .filter(|(_, why)| why.is_none())
        .map(|(i, _)| *i)
        .collect();
    let wanted = n_gpus as usize;
    if free.len() < wanted {
        return Err(busy(n_gpus, free.len(), &blocked));
    }
    free.sort_by_key(|index| (ledger.trials_on(*index), *index));
    free.truncate(wanted);
    free.sort_unstable();
    Ok(free)
}

/// The GPUs that could ever serve the trial, or the refusal for good.
fn fitting<'a>(n_gpus: u32, inventory: &'a GpuInventory, rules: &GpuRules) -> Result<Vec<&'a Gpu>, Refusal> {
    if rules.max_trials_per_gpu == 0 {
        return Err(Refusal::never(
            "maxTrialNumPerGpu",
            "`maxTrialNumPerGpu` is 0, so that no trial may use a GPU".into(),
            "set `maxTrialNumPerGpu` to 1 or more",
        ));
    }
    let gpus = inventory.gpus();
    let there = match gpus {
        [] => "the machine has no GPU".to_owned(),
        [one] => format!("the machine has only GPU {}", one.index),
        _ => format!("the machine has GPUs {}", list(gpus.iter().map(|gpu| gpu.index))),
    };
    let absent = |index: &&u32| inventory.get(**index).is_none();
    if let Some(index) = rules.indices.iter().flatten().find(absent) {
        return Err(Refusal::never(
            "gpuIndices",
            format!("`gpuIndices` names GPU {index}, but {there}"),
            "correct `gpuIndices`; `nvidia-smi -L` lists the GPUs with their indices",
        ));
    }
    let allowed: Vec<&Gpu> = gpus.iter().filter(|gpu| rules.allow(gpu.index)).collect();
    let fitting: Vec<&Gpu> = allowed.iter().copied().filter(|gpu| gpu.serves(n_gpus)).collect();
    if fitting.len() >= n_gpus as usize {
        return Ok(fitting);
    }
    let wish = format!("the trial needs {}", gpu_number(n_gpus as usize));
    if allowed.len() >= n_gpus as usize {
        let partitioned = allowed.iter().filter(|gpu| gpu.mig == MigMode::Enabled);
        return Err(Refusal::never(
            "trialGpuNumber",
            format!(
                "{wish}, but those in MIG mode ({}) serve only trials of one GPU, and only with a MIG device",
                list(partitioned.map(|gpu| gpu.index))
            ),
            "create MIG devices with `nvidia-smi mig -cgi`, or turn MIG mode off, or ask for one GPU",
        ));
    }
    if allowed.len() < gpus.len() {
        return Err(Refusal::never(
            "gpuIndices",
            format!("{wish}, but `gpuIndices` allows {}", allowed.len()),
            "add GPUs to `gpuIndices`, or ask for fewer with `trialGpuNumber` (v1: `trial.gpuNum`)",
        ));
    }
    Err(Refusal::never(
        "trialGpuNumber",
        format!("{wish}, but {there}"),
        "ask for fewer GPUs with `trialGpuNumber` (v1: `trial.gpuNum`), or use a bigger machine",
    ))
}

/// Why a fitting GPU cannot be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    /// As many trials of ours as may be.
    Full { n_trials: u32 },
    /// Processes of others: one pid, if the driver tells it.
    Foreign { pid: Option<u32> },
}

fn blocked(gpu: &Gpu, rules: &GpuRules, ledger: &GpuLedger, our_pids: &BTreeSet<u32>) -> Option<Blocked> {
    let n_trials = ledger.trials_on(gpu.index);
    if n_trials >= rules.max_trials_per_gpu {
        return Some(Blocked::Full { n_trials });
    }
    if rules.use_active_gpu || n_trials > 0 {
        return None;
    }
    let pid = gpu.processes.iter().copied().find(|pid| !our_pids.contains(pid));
    (pid.is_some() || gpu.n_hidden_processes > 0).then_some(Blocked::Foreign { pid })
}

fn busy(n_gpus: u32, n_free: usize, blocked: &[(u32, Option<Blocked>)]) -> Refusal {
    let said = |(index, why): &(u32, Option<Blocked>)| {
        Some(match (*why)? {
            Blocked::Full { n_trials: 1 } => format!("GPU {index} holds 1 trial"),
            Blocked::Full { n_trials } => format!("GPU {index} holds {n_trials} trials"),
            Blocked::Foreign { pid: Some(pid) } => format!("GPU {index} runs process {pid} of somebody else"),
            Blocked::Foreign { pid: None } => format!("GPU {index} runs a process of somebody else"),
        })
    };
    let facts: Vec<String> = blocked.iter().filter_map(said).collect();
    let any = |wanted: fn(&Blocked) -> bool| blocked.iter().filter_map(|(_, why)| why.as_ref()).any(wanted);
    let mut ways = Vec::new();
    if any(|why| matches!(why, Blocked::Full { .. })) {
        ways.push("a trial on these GPUs ends, or `maxTrialNumPerGpu` is raised");
    }
    if any(|why| matches!(why, Blocked::Foreign { .. })) {
        ways.push("the processes of others end, or `useActiveGpu` is set to true");
    }
    Refusal::busy(
        format!(
            "the trial needs {}, {n_free} free: {}",
            gpu_number(n_gpus as usize),
            facts.join("; ")
        ),
        ways.join("; "),
    )
}

fn gpu_number(n: usize) -> String {
    format!("{n} GPU{}", if n == 1 { "" } else { "s" })
}

fn list(indices: impl Iterator<Item = u32>) -> String {
    indices.map(|index| index.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
