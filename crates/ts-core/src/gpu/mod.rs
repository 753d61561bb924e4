//! GPUs: the wish of a trial, the inventory of a machine, what nvidia-smi prints, and placement as a pure function.
//!
//! Running nvidia-smi is each platform's own work, locally or through SSH; so is waiting for a GPU to become free.

mod inventory;
mod ledger;
pub mod nvidia_smi;
mod place;

pub use inventory::{Gpu, GpuInventory, MigDevice, MigMode};
pub use ledger::GpuLedger;
pub use place::{GpuRules, Refusal, place};

/// How many GPUs a trial gets. Unset and 0 differ: unset leaves `CUDA_VISIBLE_DEVICES` alone, 0 hides every GPU.
///
/// Source: nni v1.9 to v2.10, `localTrainingService.ts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::exhaustive_enums,
    reason = "unset or a number; nothing else can be written in a configuration"
)]
pub enum GpuCount {
    /// The key is absent.
    #[default]
    Unset,
    /// This many, 0 included.
    Exactly(u32),
}

#[cfg(test)]
mod properties;
