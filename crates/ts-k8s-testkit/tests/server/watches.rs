//! Watches, as streams and through `kube::runtime::watcher`.

use super::*;
use futures_util::{StreamExt as _, TryStreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event};

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::default_namespaced(client.clone())
}

/// `ADDED a`, `BOOKMARK`, … as a test compares them.
fn shown(event: &WatchEvent<ConfigMap>) -> String {
    let name = |map: &ConfigMap| map.metadata.name.clone().unwrap_or_default();
    match event {
        WatchEvent::Added(map) => format!("ADDED {}", name(map)),
        WatchEvent::Modified(map) => format!("MODIFIED {}", name(map)),
        WatchEvent::Deleted(map) => format!("DELETED {}", name(map)),
        WatchEvent::Bookmark(_) => "BOOKMARK".to_owned(),
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.reason),
    }
}

async fn next(stream: &mut (impl futures_util::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin)) -> String {
    let next = tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("something comes");
    shown(&next.expect("the stream goes on").expect("an event"))
}

#[tokio::test]
async fn a_watch_replays_and_then_tells_each_change() {
    let server = server().await;
    let client = server.client("admin");
    post(&client, CONFIG_MAPS, &config_map("a")).await;
    let quiet = WatchParams::default().disable_bookmarks();
    let stream = maps(&client).watch(&quiet, "0").await.expect("a watch");
    pin_mut!(stream);
    assert_eq!(next(&mut stream).await, "ADDED a");
    let (_, made) = post(&client, CONFIG_MAPS, &config_map("b")).await;
    merge(&client, &format!("{CONFIG_MAPS}/b"), &json!({"data": {"a": "c"}})).await;
    delete(&client, &format!("{CONFIG_MAPS}/b")).await;
    for expected in ["ADDED b", "MODIFIED b", "DELETED b"] {
        assert_eq!(next(&mut stream).await, expected);
    }
    let version = made["metadata"]["resourceVersion"].as_str().expect("a version");
    let later = maps(&client).watch(&quiet, version).await.expect("a watch");
    pin_mut!(later);
    assert_eq!(
        next(&mut later).await,
        "MODIFIED b",
        "a watch from a version replays nothing before it"
    );
}

#[tokio::test]
async fn what_stops_to_match_counts_as_deleted() {
    let server = server().await;
    let client = server.client("admin");
    let quiet = WatchParams::default().disable_bookmarks().labels("l=1");
    let stream = maps(&client).watch(&quiet, "0").await.expect("a watch");
    pin_mut!(stream);
    post(&client, CONFIG_MAPS, &config_map("unlabelled")).await;
    post(&client, CONFIG_MAPS, &config_map("a")).await;
    let path = format!("{CONFIG_MAPS}/a");
    for label in ["1", "1", "2", "2", "1"] {
        merge(
            &client,
            &path,
            &json!({"metadata": {"labels": {"l": label}, "annotations": {"at": label}}}),
        )
        .await;
    }
    merge(&client, &path, &json!({"data": {"x": "y"}})).await;
    for expected in ["ADDED a", "DELETED a", "ADDED a", "MODIFIED a"] {
        assert_eq!(next(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn bookmarks_come_and_a_watch_ends_in_time() {
    let setting = Setting {
        bookmarks: Duration::from_millis(20),
        ..Setting::default()
    };
    let server = ApiServer::start(setting).await.expect("a port");
    let client = server.client("admin");
    post(&client, CONFIG_MAPS, &config_map("a")).await;
    let stream = maps(&client)
        .watch(&WatchParams::default(), "0")
        .await
        .expect("a watch");
    pin_mut!(stream);
    for expected in ["ADDED a", "BOOKMARK", "BOOKMARK"] {
        assert_eq!(next(&mut stream).await, expected);
    }
    let stream = maps(&client)
        .watch(&WatchParams::default().timeout(1), "0")
        .await
        .expect("a watch");
    let events: Vec<_> = tokio::time::timeout(PATIENCE, stream.try_collect())
        .await
        .expect("an end")
        .expect("events");
    let events: Vec<String> = events.iter().map(shown).collect();
    assert_eq!(events.first().map(String::as_str), Some("ADDED a"));
    assert!(events[1..].iter().all(|event| event == "BOOKMARK"), "{events:?}");
}

#[tokio::test]
async fn a_version_that_was_compacted_is_an_error_in_the_stream() {
    let server = server().await;
    let client = server.client("admin");
    let (_, made) = post(&client, CONFIG_MAPS, &config_map("a")).await;
    server.compact();
    let version = made["metadata"]["resourceVersion"].as_str().expect("a version");
    let stream = maps(&client)
        .watch(&WatchParams::default(), version)
        .await
        .expect("a watch");
    pin_mut!(stream);
    assert_eq!(next(&mut stream).await, "ERROR 410 Expired");
    assert!(stream.next().await.is_none());
}

/// Everything that the watcher has told, until the objects are these.
async fn follow(
    stream: &mut (impl futures_util::Stream<Item = Result<Event<ConfigMap>, watcher::Error>> + Unpin),
    names: &[&str],
) -> Vec<String> {
    let mut told = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let all = async {
        while known.iter().map(String::as_str).collect::<Vec<_>>() != names
            || told.last().is_none_or(|last| last == "Init")
        {
            let name = |map: ConfigMap| map.metadata.name.unwrap_or_default();
            match stream.next().await.expect("a watcher goes on for ever") {
                Ok(Event::Init) => {
                    known.clear();
                    told.push("Init".to_owned());
                }
                Ok(Event::InitApply(map) | Event::Apply(map)) => {
                    known.insert(name(map));
                    told.push("Apply".to_owned());
                }
                Ok(Event::Delete(map)) => {
                    known.remove(&name(map));
                    told.push("Delete".to_owned());
                }
                Ok(Event::InitDone) => told.push("InitDone".to_owned()),
                Err(error) => told.push(format!("{error:?}").chars().take(40).collect()),
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, all).await.is_ok();
    assert!(in_time, "never {names:?}: {told:?}");
    told
}

#[tokio::test]
async fn the_watcher_of_kube_survives_cuts_ends_compaction_and_restarts() {
    let setting = Setting {
        split_frames: true,
        bookmarks: Duration::from_millis(50),
        ..Setting::default()
    };
    let server = ApiServer::start(setting).await.expect("a port");
    let client = server.client("admin");
    let stream = watcher::watcher(maps(&client), watcher::Config::default());
    pin_mut!(stream);
    let mut map = config_map("a");
    map["data"]["text"] = json!("größer als ein Byte: 模型");
    post(&client, CONFIG_MAPS, &map).await;
    assert_eq!(follow(&mut stream, &["a"]).await, ["Init", "Apply"]);
    // What comes next comes by the watch, so that there is one to break.
    post(&client, CONFIG_MAPS, &config_map("b")).await;
    assert_eq!(follow(&mut stream, &["b"]).await, ["InitDone", "Apply"]);
    server.cut_watches();
    post(&client, CONFIG_MAPS, &config_map("c")).await;
    assert_eq!(
        follow(&mut stream, &["c"]).await,
        ["Apply"],
        "kube takes a broken stream for an ended one"
    );
    server.end_watches();
    post(&client, CONFIG_MAPS, &config_map("d")).await;
    assert_eq!(
        follow(&mut stream, &["d"]).await,
        ["Apply"],
        "an end in time is no error"
    );
    server.cut_watches();
    server.compact();
    delete(&client, &format!("{CONFIG_MAPS}/a")).await;
    let told = follow(&mut stream, &["b", "c", "d"]).await;
    assert!(
        told.iter().any(|event| event == "Init"),
        "after compaction it lists again: {told:?}"
    );
    post(&client, CONFIG_MAPS, &config_map("e")).await;
    follow(&mut stream, &["e"]).await;
    server.pause().await;
    server.resume().await;
    post(&client, CONFIG_MAPS, &config_map("f")).await;
    follow(&mut stream, &["f"]).await;
    let watches = server
        .requests()
        .into_iter()
        .filter(|request| request.verb == "watch")
        .count();
    assert_eq!(watches, 6, "each break makes it watch again, compaction once in vain");
}

#[tokio::test]
async fn the_watcher_reads_lists_in_parts() {
    let server = server().await;
    let client = server.client("admin");
    for name in ["a", "b", "c"] {
        post(&client, CONFIG_MAPS, &config_map(name)).await;
    }
    let stream = watcher::watcher(maps(&client), watcher::Config::default().page_size(1));
    pin_mut!(stream);
    follow(&mut stream, &["a", "b", "c"]).await;
    let lists = server
        .requests()
        .into_iter()
        .filter(|request| request.verb == "list")
        .count();
    assert_eq!(lists, 3);
}

#[tokio::test]
async fn a_cut_breaks_the_body_within_a_frame() {
    let server = server().await;
    let client = server.client("admin");
    post(&client, CONFIG_MAPS, &config_map("a")).await;
    let request = Request::get(format!("{CONFIG_MAPS}?watch=1"))
        .body(kube::client::Body::empty())
        .expect("a request");
    let mut body = Body::new(client.send(request).await.expect("a watch").into_body()).into_data_stream();
    let first = body.next().await.expect("a frame").expect("bytes");
    assert!(
        first.starts_with(b"{\"type\":\"ADDED\"") && first.ends_with(b"\n"),
        "{first:?}"
    );
    server.cut_watches();
    let mut rest = Vec::new();
    let error = loop {
        match body.next().await.expect("an error before the end") {
            Ok(bytes) => rest.extend_from_slice(&bytes),
            Err(error) => break error,
        }
    };
    assert!(
        rest.starts_with(b"{\"type\"") && !rest.contains(&b'\n'),
        "{rest:?} {error}"
    );
}

#[tokio::test]
async fn frames_are_split_within_characters() {
    let server = ApiServer::start(Setting {
        split_frames: true,
        ..Setting::default()
    })
    .await
    .expect("a port");
    let client = server.client("admin");
    let mut map = config_map("a");
    map["data"]["text"] = json!("größer");
    post(&client, CONFIG_MAPS, &map).await;
    let request = Request::get(format!("{CONFIG_MAPS}?watch=1"))
        .body(kube::client::Body::empty())
        .expect("a request");
    let mut body = Body::new(client.send(request).await.expect("a watch").into_body()).into_data_stream();
    let first = body.next().await.expect("a part").expect("bytes");
    assert!(
        std::str::from_utf8(&first).is_err_and(|error| error.error_len().is_none()),
        "{first:?}"
    );
    let second = body.next().await.expect("a part").expect("bytes");
    assert!(!second.contains(&b'\n'), "{second:?}");
    assert_eq!(body.next().await.expect("a part").expect("bytes"), "\n");
}
