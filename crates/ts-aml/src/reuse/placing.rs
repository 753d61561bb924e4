//! Whether a trial fits on a node beside those that run there, and what of it the trial may use. Pure.
//!
//! Which GPUs a trial gets is decided by `ts_core::gpu::place`. A trial without a wish for GPUs sees all of them, so it never runs
//! beside one that has some to itself.

use super::gpus::Gpus;
use std::collections::{BTreeMap, BTreeSet};
use ts_core::{
    GpuCount, ReasonCode, TrialId,
    gpu::{GpuInventory, GpuLedger, GpuRules, Refusal, place},
};

/// What a trial may use of its node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Share {
    /// All GPUs that there are.
    #[default]
    Open,
    /// No GPU.
    Blind,
    /// These GPUs.
    Gpus(Vec<u32>),
}

impl Share {
    /// As it stands in the name of a file, behind the trial; empty for [`Share::Open`].
    pub(super) fn suffix(&self) -> String {
        match self {
            Self::Open => String::new(),
            Self::Blind => ".none".to_owned(),
            Self::Gpus(indices) => {
                let indices: Vec<String> = indices.iter().map(u32::to_string).collect();
                format!(".{}", indices.join("-"))
            }
        }
    }

    /// What a name has behind the trial, without the dot.
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "" => Self::Open,
            "none" => Self::Blind,
            // A part that is no number was not written by us.
            _ => Self::Gpus(text.split('-').filter_map(|index| index.parse().ok()).collect()),
        }
    }
}

/// How many trials may share what.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// For trials with GPUs.
    pub(super) gpus: GpuRules,
    /// Most trials without GPUs on a node at a time.
    pub(super) per_node: u32,
}

/// A node and who uses it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node<'a> {
    /// `None`: not told yet.
    pub(super) gpus: Option<&'a Gpus>,
    pub(super) shares: BTreeMap<TrialId, Share>,
}

/// Why a trial does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Full {
    /// Nobody knows what the node has, yet.
    Untold,
    /// What is there is in use, or not known.
    Gpus(Refusal),
    /// The node has as many trials without GPUs as it may.
    Node,
    /// Some run there that see all GPUs, or have some to themselves.
    Mixed,
}

impl Full {
    /// Whether waiting for a node like this one is in vain.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Gpus(refusal) if refusal.permanent)
    }
    /// Whether another node of the kind would not help.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Gpus(refusal) if refusal.code == ReasonCode::GpuUnknown)
    }
}

/// Whether this wish is for GPUs.
pub(super) fn wants_gpus(wish: GpuCount) -> bool {
    matches!(wish, GpuCount::Exactly(n) if n > 0)
}

/// What a trial with this wish may use of a node.
pub(super) fn fit(wish: GpuCount, node: &Node<'_>, limits: &Limits) -> Result<Share, Full> {
    let has = |of: fn(&Share) -> bool| node.shares.values().any(of);
    if !wants_gpus(wish) {
        let is_blind = wish == GpuCount::Exactly(0);
        if !is_blind && has(|share| matches!(share, Share::Gpus(_))) {
            return Err(Full::Mixed);
        }
        let without = node.shares.values().filter(|share| !matches!(share, Share::Gpus(_)));
        if without.count() >= limits.per_node as usize {
            return Err(Full::Node);
        }
        return Ok(if is_blind { Share::Blind } else { Share::Open });
    }
    if has(|share| *share == Share::Open) {
        return Err(Full::Mixed);
    }
    let inventory = match node.gpus {
        None => return Err(Full::Untold),
        Some(Err(refusal)) => return Err(Full::Gpus(refusal.clone())),
        Some(Ok(inventory)) => inventory,
    };
    let mut ledger = GpuLedger::new();
    for (trial, share) in &node.shares {
        if let Share::Gpus(indices) = share {
            ledger.restore(trial, indices);
        }
    }
    place(wish, inventory, &limits.gpus, &ledger, &BTreeSet::new())
        .map(Share::Gpus)
        .map_err(Full::Gpus)
}

/// The same node with nobody on it.
pub(super) fn emptied(gpus: &Gpus) -> Gpus {
    let alone = |gpu: &ts_core::gpu::Gpu| {
        let mut gpu = gpu.clone().with_processes([]);
        gpu.n_hidden_processes = 0;
        gpu
    };
    let inventory = gpus.as_ref().map_err(Clone::clone)?;
    Ok(GpuInventory::new(inventory.gpus().iter().map(alone).collect()))
}

#[cfg(test)]
#[path = "placing_tests.rs"]
mod tests;
