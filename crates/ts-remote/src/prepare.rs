//! Delivers the code: packed once here, brought to every machine once, to those that come later as well.
//!
//! The first machine that has it is enough to go on; the others get trials when they have it.

use crate::{
    board::Condition,
    core::{Core, is_disk_full},
    link::Link,
    worker::{self, Progress},
};
use std::{sync::Arc, time::Duration};
use ts_codedir::Spool;
use ts_core::{CodeDirectory, Error, Prepared, Reason, ReasonCode, Result};

/// How long a machine to which the code could not be brought is put aside.
const ASIDE: Duration = Duration::from_secs(20);

/// When the code is packed that no machine has asked for. The first trials come first.
const PACK_AFTER: Duration = Duration::from_secs(2);

/// Packs the code and waits until a machine has it.
pub(crate) async fn prepare(core: &Arc<Core>, directory: &CodeDirectory) -> Result<Prepared> {
    let spool = Spool::new(&core.ctx, directory).await?;
    let (digest, is_old) = (spool.digest().to_owned(), spool.is_old());
    let spool = core.add_spool(spool);
    pack_soon(core, &spool);
    if is_old {
        // An earlier manager prepared it. Machines that lost it, or cannot be reached now, get it before their next trial.
        return Ok(receipt(digest));
    }
    let mut changes = core.changes();
    loop {
        match outcome(core, &digest) {
            Some(Ok(())) => return Ok(receipt(digest)),
            Some(Err(error)) => return Err(error),
            None => {}
        }
        if changes.changed().await.is_err() {
            return Err(Error::new(ts_core::ErrorKind::Internal, "the service was dropped"));
        }
    }
}

/// Has the code packed even if every machine has it: one that comes later needs it as it is now.
fn pack_soon(core: &Arc<Core>, spool: &Arc<Spool>) {
    let (core, spool) = (Arc::clone(core), Arc::clone(spool));
    let tasks = core.ctx.tasks.clone();
    tasks.spawn(async move {
        core.ctx.clock.sleep(PACK_AFTER).await;
        drop(spool.pack(&core.ctx.tasks));
    });
}

fn receipt(digest: String) -> Prepared {
    let location = format!("{}/{digest}", ts_codedir::PACKAGES);
    Prepared::new(Some(digest), location)
}

/// `None` while a machine may still get the code.
fn outcome(core: &Core, digest: &str) -> Option<Result<()>> {
    let board = core.board();
    let machines = 0..core.machines.len();
    if machines.clone().any(|i| board.has_package(i, digest)) {
        return Some(Ok(()));
    }
    let failed = |i: usize| matches!(board.condition(i), Condition::Down { .. } | Condition::Aside { .. });
    if !machines.clone().all(failed) {
        return None;
    }
    drop(board);
    Some(Err(crate::machine::all_failed(&core.machines)))
}

/// Brings what is missing over one link until it is lost.
pub(crate) async fn serve(core: &Core, index: usize, link: &Arc<Link>) -> Error {
    let machine = &core.machines[index];
    loop {
        let mut is_complete = true;
        for spool in core.spools() {
            if core.board().has_package(index, spool.digest()) {
                continue;
            }
            if let Err(error) = bring(core, index, link, &spool).await {
                tracing::warn!(machine = machine.name(), %error, "trying again");
                is_complete = false;
                put_aside(core, index, &error);
            } else {
                core.board().set_package(index, spool.digest(), true);
                core.changed();
            }
        }
        if is_complete {
            if core.has_all_code(index) {
                link.drop_spare();
            }
            machine.has_deliveries().await;
        } else {
            core.ctx.clock.sleep(ASIDE).await;
        }
    }
}

async fn bring(core: &Core, index: usize, link: &Link, spool: &Spool) -> Result<()> {
    let machine = &core.machines[index];
    // On shared storage the first one brings it for all of them.
    let _turn = match core.config.shared_storage {
        Some(_) => core.shared_turn.acquire().await.ok(),
        None => None,
    };
    if worker::is_there(&link.shell, spool.digest()).await? {
        tracing::info!(machine = machine.name(), "the code is there already");
        return Ok(());
    }
    tracing::info!(machine = machine.name(), "sending the code");
    let (process, _second) = link.delivery_shell(core, index).await?;
    let progress = Progress::new(machine.name(), &*core.ctx.clock);
    worker::deliver(process, &link.shell, &link.facts, spool, &core.ctx.tasks, progress).await?;
    tracing::info!(machine = machine.name(), "the code is there");
    Ok(())
}

fn put_aside(core: &Core, index: usize, error: &Error) {
    core.machines[index].note_failure(error);
    let now = core.ctx.clock.now();
    let reason_code = if is_disk_full(&error.to_string()) {
        ReasonCode::DiskFull
    } else {
        ReasonCode::StartFailed
    };
    let why = Reason::new(reason_code, error.to_string(), now);
    let why = error.help().into_iter().fold(why, Reason::unblocked_by);
    let until = core.ctx.clock.monotonic() + ASIDE;
    core.board().set_condition(index, Condition::Aside { why, until });
    core.changed();
}
