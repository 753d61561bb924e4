//! The task that places what waits: asks machines for their GPUs while a trial wants some, and never otherwise.
//!
//! Who goes where is the board's decision.

use crate::{core::Core, gpu_query, link};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;
use ts_core::gpu::{GpuInventory, Refusal};

/// First and longest wait between two questions while nothing of ours changes.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// Least time from one question to the next, whatever happens in between: each wakes the driver.
const SPACING: Duration = Duration::from_secs(1);
/// How long nvidia-smi may take; a lost GPU makes it hang.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the queue until it is dropped.
pub(crate) async fn serve(core: Arc<Core>) {
    let clock = Arc::clone(&core.ctx.clock);
    let mut interval = INTERVAL.0;
    loop {
        let asks = core.board().wants_gpus();
        if asks {
            ask(&core).await;
        }
        core.place();
        let now = clock.monotonic();
        let returns = core.board().next_return().map(|at| at.saturating_sub(now));
        let asks_again = core.board().wants_gpus().then_some(interval);
        let wait = returns.into_iter().chain(asks_again).min();
        if asks {
            clock.sleep(SPACING).await;
        }
        tokio::select! {
            () = core.rung() => interval = INTERVAL.0,
            () = async {
                match wait {
                    Some(wait) => clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            } => interval = (interval * 2).min(INTERVAL.1),
        }
    }
}

/// Asks every machine that can be asked, at once, each by a shell of its own: a driver may take seconds, or for ever.
async fn ask(core: &Arc<Core>) {
    let now = core.ctx.clock.monotonic();
    let machines = core.board().stale_inventories(now);
    join_all(machines.into_iter().map(|index| async move {
        let program = &core.machines[index].config().nvidia_smi;
        let answer = match begin(core, index) {
            Some(answer) => {
                let answer = async { answer.await.unwrap_or_else(|_| Err(unanswered(program))) };
                gpu_query::limited(answer, program, &*core.ctx.clock, TIMEOUT).await
            }
            None => Err(unanswered(program)),
        };
        core.board().set_inventory(index, core.ctx.clock.monotonic(), answer);
    }))
    .await;
}

/// Asks a machine; `None` while it has not answered the last time.
fn begin(core: &Arc<Core>, index: usize) -> Option<oneshot::Receiver<Result<GpuInventory, Refusal>>> {
    let asking = core.machines[index].begin_asking()?;
    let (reply, answer) = oneshot::channel();
    let core = Arc::clone(core);
    let tasks = core.ctx.tasks.clone();
    tasks.spawn(async move {
        let machine = &core.machines[index];
        let inspected = match link::gpu_shell(&core, index).await {
            Ok(shell) => {
                let inspected = gpu_query::inspect(&shell.0, &machine.config().nvidia_smi).await;
                machine.keep_gpu_shell(shell);
                inspected
            }
            Err(error) => Err(Refusal::unknown(error.to_string(), "wait until the machine is back")),
        };
        drop(asking);
        // Late, it is better than none.
        if let Err(inspected) = reply.send(inspected) {
            let now = core.ctx.clock.monotonic();
            core.board().set_inventory(index, now, inspected);
            core.changed();
        }
    });
    Some(answer)
}

fn unanswered(program: &str) -> Refusal {
    Refusal::unknown(
        format!("`{program}` has not answered since it was last asked"),
        "look at the driver: `dmesg` names lost GPUs by `Xid`",
    )
}
