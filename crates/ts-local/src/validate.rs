//! Could this experiment run here? Looks, and leaves no trace.

use crate::{LocalConfig, gpus, prepare};
use rustix::fs::{Access, access};
use std::{collections::BTreeSet, path::Path};
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentSpec, GpuCount, Result, Warning, Warnings,
    gpu::{GpuLedger, place},
};

pub(crate) async fn validate(ctx: &Ctx, config: &LocalConfig, spec: &ExperimentSpec) -> Result<Warnings> {
    if spec.command.trim().is_empty() {
        return Err(Error::new(ErrorKind::Config, "the command of a trial is empty")
            .with_key("trialCommand")
            .with_help("write the command that runs one trial, such as `python3 train.py`"));
    }
    prepare::exists(&spec.code.path)?;
    writable(&ctx.work_dir)?;
    std::fs::read_dir("/proc/self").map_err(|e| {
        Error::io("read", Path::new("/proc"), e).with_help("mount `/proc`; processes of trials are found there")
    })?;
    let mut warnings = Warnings::new();
    if let GpuCount::Exactly(1..) = spec.gpus {
        match gpus::inspect(&config.nvidia_smi, &*ctx.clock).await {
            // Only what waiting cannot mend is an error: with an empty ledger and active GPUs allowed, could it ever run?
            Ok(inventory) => {
                let mut rules = gpus::rules(config);
                rules.use_active_gpu = true;
                place(spec.gpus, &inventory, &rules, &GpuLedger::new(), &BTreeSet::new()).map_err(|r| r.error())?;
            }
            Err(refusal) => warnings.push(Warning::new(refusal.message).with_help(refusal.unblock)),
        }
    }
    Ok(warnings)
}

/// Checks that `dir`, or the nearest directory above it that exists, can be written.
fn writable(dir: &Path) -> Result<()> {
    let nearest = dir.ancestors().find(|d| d.exists()).unwrap_or(dir);
    access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        Error::io("write to the working directory", nearest, e.into()).with_key("experimentWorkingDirectory")
    })
}
