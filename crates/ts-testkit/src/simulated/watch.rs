//! The stream of the simulated platform: it tells what happened, and when there is nothing to tell, lets time pass.

use super::SimulatedCluster;
use futures_util::{StreamExt, stream, stream::BoxStream};
use ts_core::{Error, ErrorKind, Event, Result, WatchRequest};

pub(super) fn watch(cluster: SimulatedCluster, request: &WatchRequest) -> BoxStream<'static, Result<Event>> {
    let generation = cluster.lock().begin_watch(request, &cluster.clock);
    stream::unfold(Some((cluster, generation)), |watcher| async move {
        let (cluster, generation) = watcher?;
        match next(&cluster, generation).await {
            Ok(event) => Some((Ok(event), Some((cluster, generation)))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

async fn next(cluster: &SimulatedCluster, generation: u64) -> Result<Event> {
    let mut idle = false;
    loop {
        let at = {
            let mut state = cluster.lock();
            if state.generation != generation {
                let message = "a newer watch drives the simulation";
                return Err(Error::new(ErrorKind::Conflict, message).with_help("keep one watch at a time"));
            }
            state.settle(&cluster.clock);
            if let Some(event) = state.news.pop_front() {
                return Ok(event);
            }
            state.next_at()
        };
        match at {
            None => cluster.changed.notified().await,
            // Everybody else gets a turn before time moves: what they do now happens now.
            Some(_) if !idle => {
                idle = true;
                tokio::task::yield_now().await;
            }
            // A sleeper that wakes earlier comes first.
            Some(at) => {
                let sleeper = cluster.clock.next_deadline().filter(|deadline| *deadline < at);
                cluster.clock.advance_to(sleeper.unwrap_or(at));
                idle = sleeper.is_none();
            }
        }
    }
}
