//! Watches: the stream of changes of a kind, with replay, bookmarks, time-outs and every way such a stream breaks.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apiserver/pkg/storage/cacher/cacher.go` (what a selector makes of a change,
//! bookmarks), `endpoints/handlers/watch.go` (frames); kube-apiserver v1.20.2, observed.

use super::call::Call;
use super::failure::Failure;
use super::read;
use super::select::Selector;
use super::shared::{EndOfWatches, Shared};
use super::store::Change;
use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{self, Instant};

/// How long a watch lasts that says nothing of it; the real server takes half an hour to an hour.
const LONGEST: Duration = Duration::from_mins(30);

/// Something to send.
enum Piece {
    Bytes(Bytes),
    /// What has been written leaves before more is.
    Pause,
    Break,
}

struct Watch {
    shared: Arc<Shared>,
    call: Call,
    selector: Selector,
    cursor: u64,
    changed: watch::Receiver<u64>,
    ends: watch::Receiver<(u64, EndOfWatches)>,
    queue: VecDeque<Piece>,
    deadline: Instant,
    bookmark: Option<Instant>,
    over: bool,
}

/// Answers a watch.
pub(crate) fn start(shared: &Arc<Shared>, call: Call) -> Result<Response, Failure> {
    let selector = call.selector()?;
    let version = read::version_of(&call)?;
    let seconds = call
        .query
        .number("timeoutSeconds")?
        .and_then(|seconds| u64::try_from(seconds).ok());
    let lasting = seconds
        .filter(|seconds| *seconds > 0)
        .map_or(LONGEST, Duration::from_secs);
    let now = Instant::now();
    let bookmark = call
        .query
        .flag("allowWatchBookmarks")
        .then(|| now + shared.setting.bookmarks);
    let (cursor, first, changed) = {
        let world = shared.world();
        // Without a version, a watch begins with what is there.
        let first = if version == 0 {
            world.store.list(&call.kind.id(), call.namespace())
        } else {
            Vec::new()
        };
        let cursor = if version == 0 { world.store.version() } else { version };
        (cursor, first, world.store.subscribe())
    };
    let mut watch = Watch {
        ends: shared.watches.subscribe(),
        shared: Arc::clone(shared),
        call,
        selector,
        cursor,
        changed,
        queue: VecDeque::new(),
        deadline: now + lasting,
        bookmark,
        over: false,
    };
    for (_, object) in first {
        if watch.selector.matches(&object) {
            watch.event("ADDED", &watch.call.shown(&object));
        }
    }
    let body = Body::from_stream(stream::unfold(watch, Watch::next));
    let mut response = Response::new(body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        "application/json".parse().expect("a header value"),
    );
    Ok(response)
}

impl Watch {
    async fn next(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        loop {
            match self.queue.pop_front() {
                Some(Piece::Bytes(bytes)) => return Some((Ok(bytes), self)),
                Some(Piece::Pause) => time::sleep_until(Instant::now() + Duration::from_millis(2)).await,
                Some(Piece::Break) => {
                    self.over = true;
                    return Some((Err(std::io::Error::other("the watch was cut")), self));
                }
                None if self.over => return None,
                None => self.fill().await,
            }
        }
    }

    /// Waits until there is something to send, or nothing any more.
    async fn fill(&mut self) {
        // What a test ends does not tell what happened afterwards.
        if self.ends.has_changed().unwrap_or(true) {
            return self.end();
        }
        self.changed.borrow_and_update();
        let changes = self
            .shared
            .world()
            .store
            .since(self.cursor, &self.call.kind.id(), self.call.namespace());
        match changes {
            None => return self.expire(),
            Some(changes) if !changes.is_empty() => {
                for change in changes {
                    self.change(&change);
                }
                return;
            }
            Some(_) => {}
        }
        let far = self.deadline + LONGEST;
        tokio::select! {
            biased;
            _ = self.ends.changed() => self.end(),
            _ = self.changed.changed() => {}
            () = self.shared.stop.cancelled() => self.over = true,
            () = time::sleep_until(self.deadline) => self.over = true,
            () = time::sleep_until(self.bookmark.unwrap_or(far)) => self.send_bookmark(),
        }
    }

    fn end(&mut self) {
        if self.ends.borrow_and_update().1 == EndOfWatches::Cut {
            self.queue.push_back(Piece::Bytes(Bytes::from_static(
                b"{\"type\":\"MODIFIED\",\"object\":{\"ki",
            )));
            self.queue.push_back(Piece::Pause);
            self.queue.push_back(Piece::Break);
        }
        self.over = true;
    }

    /// What the selector makes of a change: what stops to match is as good as deleted.
    fn change(&mut self, change: &Change) {
        self.cursor = change.version;
        let was = change.old.as_ref().is_some_and(|object| self.selector.matches(object));
        let is = change.new.as_ref().is_some_and(|object| self.selector.matches(object));
        let kind = match (was, is) {
            (false, false) => return,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let mut object = self.call.shown(&change.last);
        if let (true, Some(old), true) = (kind == "DELETED", &change.old, change.new.is_some()) {
            // The last state that matched, at the version in which it no longer did.
            object = self.call.shown(old);
            object["metadata"]["resourceVersion"] = change.version.to_string().into();
        }
        self.event(kind, &object);
    }

    fn send_bookmark(&mut self) {
        self.bookmark = Some(Instant::now() + self.shared.setting.bookmarks);
        let version = self.shared.world().store.version().max(self.cursor);
        // What is not of interest has been seen too.
        let newest = self
            .shared
            .world()
            .store
            .since(self.cursor, &self.call.kind.id(), self.call.namespace());
        if newest.is_some_and(|changes| changes.is_empty()) {
            self.cursor = version;
            let object = json!({"kind": self.call.kind.kind, "apiVersion": self.call.api_version(),
                "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}});
            self.event("BOOKMARK", &object);
        }
    }

    fn expire(&mut self) {
        let oldest = self.shared.world().store.compacted();
        let failure = Failure::expired(format!("too old resource version: {} ({oldest})", self.cursor));
        self.event("ERROR", &failure.status());
        self.over = true;
    }

    fn event(&mut self, kind: &str, object: &Value) {
        let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
        line.push(b'\n');
        let mut line = Bytes::from(line);
        if self.shared.setting.split_frames {
            for at in split_points(&line) {
                self.queue.push_back(Piece::Bytes(line.split_to(at)));
                self.queue.push_back(Piece::Pause);
            }
        }
        self.queue.push_back(Piece::Bytes(line));
    }
}

/// Lengths of two first parts of a frame: up to within a character of several bytes, or half of it; then all but the line's end.
fn split_points(line: &[u8]) -> [usize; 2] {
    let first = line
        .iter()
        .position(|byte| *byte >= 0x80)
        .map_or(line.len() / 2, |at| at + 1);
    [first, line.len() - first - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_split_within_its_first_long_character_and_before_its_end() {
        let line = "{\"a\":\"é\"}\n".as_bytes();
        let [first, second] = split_points(line);
        assert!(std::str::from_utf8(&line[..first]).is_err());
        assert_eq!(&line[first + second..], b"\n");
        assert_eq!(split_points(b"abcd\n"), [2, 2]);
    }
}
