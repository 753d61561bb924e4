//! What happens, as server-sent events: at once where the manager runs in this process, else by looking at the store.
//!
//! A client that cannot keep up is told to read anew (`reset`); nothing is kept for it.

use super::{error::Failure, state::State};
use crate::{
    notice::{Notice, Snapshot},
    store::StoreReader,
    view::{JsonText, Why},
};
use axum::{
    body::Body,
    extract,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};
use tokio::sync::{
    OwnedSemaphorePermit,
    broadcast::{self, error::TryRecvError},
    watch,
};
use ts_core::{Clock, Error, ErrorKind, Result};

/// Clients at a time.
pub(super) const LISTENERS: u32 = 64;
/// Longest silence; then a comment keeps the connection.
const SILENCE: Duration = Duration::from_secs(15);
/// How often the store is looked at where the manager is another process.
const PACE: Duration = Duration::from_millis(500);
/// Most notices that go out in one piece.
const AT_ONCE: usize = 256;

pub(super) async fn events(extract::State(state): extract::State<State>) -> Result<Response, Failure> {
    let listeners = Arc::clone(&state.listeners);
    let full = |_| {
        Error::new(ErrorKind::NoCapacity, format!("{LISTENERS} clients listen already"))
            .with_help("ask for `/api/v2/experiment` from time to time instead")
    };
    let permit = listeners.try_acquire_owned().map_err(full)?;
    let body = if let Some(manager) = state.commands.manager() {
        let live = Live {
            // In this order: what comes between the two is told twice, and not missed.
            notices: manager.notices(),
            snapshots: manager.snapshot(),
            begun: false,
            ended: false,
            clock: Arc::clone(&state.ctx.clock),
            _permit: permit,
        };
        Body::from_stream(stream::unfold(live, |mut live| async move {
            live.next().await.map(|piece| (Ok::<_, Infallible>(piece), live))
        }))
    } else {
        let stored = Stored {
            seen: None,
            state: state.clone(),
            _permit: permit,
        };
        Body::from_stream(stream::unfold(stored, |mut stored| async move {
            stored.next().await.map(|piece| (Ok::<_, Infallible>(piece), stored))
        }))
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// Events of the manager in this process.
struct Live {
    notices: broadcast::Receiver<Notice>,
    snapshots: watch::Receiver<Snapshot>,
    begun: bool,
    ended: bool,
    clock: Arc<dyn Clock>,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    async fn next(&mut self) -> Option<Bytes> {
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            text.push_str("retry: 1000\n\n");
            self.add_snapshot(&mut text);
            return Some(text.into());
        }
        if self.ended {
            return None;
        }
        tokio::select! {
            biased;
            notice = self.notices.recv() => match notice {
                Ok(notice) => self.add_notice(&mut text, &notice),
                Err(broadcast::error::RecvError::Lagged(_)) => self.add(&mut text, "reset", &json!({})),
                Err(broadcast::error::RecvError::Closed) => self.ended = true,
            },
            changed = self.snapshots.changed() => match changed {
                Ok(()) => {}
                Err(_) => self.ended = true,
            },
            () = self.clock.sleep(SILENCE) => return Some(Bytes::from_static(b": nothing new\n\n")),
        }
        self.ended |= self.snapshots.borrow().status.is_ended();
        for _ in 0..AT_ONCE {
            match self.notices.try_recv() {
                Ok(notice) => self.add_notice(&mut text, &notice),
                Err(TryRecvError::Lagged(_)) => self.add(&mut text, "reset", &json!({})),
                Err(_) => break,
            }
        }
        self.add_snapshot(&mut text);
        Some(text.into())
    }

    fn add_snapshot(&mut self, text: &mut String) {
        let mut now = self.snapshots.borrow_and_update().clone();
        now.elapsed = now.elapsed_at(self.clock.monotonic());
        let document = snapshot(&now);
        self.add(text, "snapshot", &document);
    }

    fn add_notice(&self, text: &mut String, notice: &Notice) {
        match notice {
            Notice::Trial {
                trial,
                sequence_id,
                status,
                why,
                result,
            } => self.add(
                text,
                "trial",
                &json!({
                    "id": trial,
                    "sequenceId": sequence_id,
                    "status": status,
                    "reason": why.as_ref().map(Why::from),
                    "result": result.as_deref().map(JsonText),
                }),
            ),
            Notice::Intermediate {
                trial,
                sequence_id,
                value,
            } => {
                let document = json!({ "id": trial, "sequenceId": sequence_id, "value": JsonText(value) });
                self.add(text, "metric", &document);
            }
            Notice::Parameters {
                trial,
                sequence_id,
                index,
            } => {
                let document = json!({ "id": trial, "sequenceId": sequence_id, "index": index });
                self.add(text, "parameters", &document);
            }
            Notice::Warning(message) => self.add(text, "warning", &json!({ "message": message })),
        }
    }

    fn add(&self, text: &mut String, name: &str, document: &serde_json::Value) {
        add(text, self.snapshots.borrow().revision, name, document);
    }
}

/// What can be seen from outside: that something has changed.
struct Stored {
    /// Newest revision that was told.
    seen: Option<u64>,
    state: State,
    _permit: OwnedSemaphorePermit,
}

impl Stored {
    async fn next(&mut self) -> Option<Bytes> {
        let mut silence = Duration::ZERO;
        while let Some(seen) = self.seen {
            let revision = self.state.readers.read(StoreReader::revision).await.ok()?;
            if revision != seen {
                break;
            }
            if silence >= SILENCE {
                return Some(Bytes::from_static(b": nothing new\n\n"));
            }
            self.state.ctx.clock.sleep(PACE).await;
            silence += PACE;
        }
        let state = self.state.clone();
        let read = move |reader: &StoreReader| reader.snapshot(|reader| stored(reader, &state));
        let now = self.state.readers.read(read).await.ok()?;
        let mut text = String::new();
        if self.seen.replace(now.revision).is_some() {
            add(&mut text, now.revision, "reset", &json!({}));
        } else {
            text.push_str("retry: 1000\n\n");
        }
        add(&mut text, now.revision, "snapshot", &snapshot(&now));
        Some(text.into())
    }
}

/// The state in a few numbers, from the store.
fn stored(reader: &StoreReader, state: &State) -> Result<Snapshot> {
    let row = reader.experiment()?;
    let mut now = Snapshot::new(row.status);
    for (status, n) in reader.counts_by_status()?.iter() {
        now.add(status, n);
    }
    let best = reader.best(state.optimize)?;
    now.best = best.and_then(|best| Some((best.final_number?, best.spec.id)));
    now.elapsed = state.duration(&row);
    now.created = u64::from(row.next_sequence_id);
    now.revision = row.revision;
    Ok(now)
}

fn snapshot(now: &Snapshot) -> serde_json::Value {
    let best = now.best.as_ref();
    json!({
        "status": now.status,
        "counts": {
            "waiting": now.waiting,
            "running": now.running,
            "succeeded": now.succeeded,
            "failed": now.failed,
            "canceled": now.canceled,
        },
        "created": now.created,
        "ended": now.ended(),
        "best": best.map(|(number, id)| json!({ "trialId": id, "number": number })),
        "elapsedMs": u64::try_from(now.elapsed.as_millis()).unwrap_or(u64::MAX),
        "stalled": now.stalled,
        "revision": now.revision,
    })
}

/// A document has no line break, as `Value` writes it.
fn add(text: &mut String, revision: u64, name: &str, document: &serde_json::Value) {
    // Writing to a string does not fail.
    let _ = write!(text, "id: {revision}\nevent: {name}\ndata: {document}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ExperimentStatus;
    use tokio::sync::Semaphore;

    fn names(piece: &Bytes) -> Vec<&str> {
        let text = std::str::from_utf8(piece).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
    }

    /// One of each kind; another kind does not compile until it is here too.
    fn notices() -> Vec<Notice> {
        let (trial, sequence_id) = (ts_core::TrialId::new("t0").unwrap(), 0);
        let all = vec![
            Notice::Trial {
                trial: trial.clone(),
                sequence_id,
                status: ts_core::TrialStatus::Running,
                why: None,
                result: None,
            },
            Notice::Intermediate {
                trial: trial.clone(),
                sequence_id,
                value: "1".into(),
            },
            Notice::Parameters {
                trial,
                sequence_id,
                index: 1,
            },
            Notice::Warning("x".into()),
        ];
        for notice in &all {
            match notice {
                Notice::Trial { .. } | Notice::Intermediate { .. } | Notice::Parameters { .. } | Notice::Warning(_) => {
                }
            }
        }
        all
    }

    #[tokio::test]
    async fn every_event_is_described() {
        let (sender, received) = broadcast::channel(8);
        let (_snapshots, seen) = watch::channel(Snapshot::new(ExperimentStatus::Running));
        let mut live = Live {
            notices: received,
            snapshots: seen,
            begun: true,
            ended: false,
            clock: Arc::new(ts_core::SystemClock::new()),
            _permit: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        };
        for notice in notices() {
            sender.send(notice).unwrap();
        }
        let piece = live.next().await.unwrap();
        let mut told = names(&piece);
        told.push("reset");
        let document: serde_json::Value = serde_json::from_slice(include_bytes!("v2/openapi.json")).unwrap();
        let content = &document["paths"]["/api/v2/events"]["get"]["responses"]["200"]["content"];
        let described = &content["text/event-stream"]["schema"]["properties"]["event"]["enum"];
        told.sort_unstable();
        let mut described: Vec<&str> = described
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|name| name.as_str())
            .collect();
        described.sort_unstable();
        assert_eq!(told, described);
    }

    #[tokio::test]
    async fn who_cannot_keep_up_is_told_to_read_anew_and_nothing_is_kept_for_it() {
        let (notices, received) = broadcast::channel(4);
        let (snapshots, seen) = watch::channel(Snapshot::new(ExperimentStatus::Running));
        let mut live = Live {
            notices: received,
            snapshots: seen,
            begun: false,
            ended: false,
            clock: Arc::new(ts_core::SystemClock::new()),
            _permit: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        };
        assert_eq!(names(&live.next().await.unwrap()), ["snapshot"]);
        let send = |n: u32| notices.send(Notice::Warning(n.to_string())).unwrap();
        assert_eq!((0..4).map(send).sum::<usize>(), 4);
        let piece = live.next().await.unwrap();
        assert_eq!(names(&piece), ["warning", "warning", "warning", "warning", "snapshot"]);
        assert_eq!((0..9).map(send).sum::<usize>(), 9);
        let piece = live.next().await.unwrap();
        assert_eq!(
            names(&piece),
            ["reset", "warning", "warning", "warning", "warning", "snapshot"]
        );
        snapshots.send_modify(|now| now.status = ExperimentStatus::Done);
        assert_eq!(names(&live.next().await.unwrap()), ["snapshot"]);
        assert!(live.next().await.is_none());
    }
}
