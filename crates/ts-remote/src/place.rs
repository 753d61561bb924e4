//! The task that places what waits: asks machines for their GPUs while a trial wants some, and never otherwise.
//!
//! Who goes where is the board's decision.

use crate::{core::Core, gpu_query};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};

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

/// Asks every machine that can be asked, at once.
async fn ask(core: &Core) {
    let now = core.ctx.clock.monotonic();
    let machines = core.board().stale_inventories(now);
    join_all(machines.into_iter().map(|index| async move {
        let machine = &core.machines[index];
        let Some(link) = machine.link() else { return };
        let answer = gpu_query::inspect(&link.shell, &machine.config().nvidia_smi, &*core.ctx.clock, TIMEOUT).await;
        core.board().set_inventory(index, core.ctx.clock.monotonic(), answer);
    }))
    .await;
}
