//! What trials wrote, piece by piece and from the end.

use crate::{
    client::get,
    world::{config, stored, write},
};
use serde_json::json;

#[tokio::test]
async fn logs_come_piece_by_piece_and_say_where_the_next_one_begins() {
    let (world, at, _served) = stored(config()).await;
    write(&world.trial_directory(0).join("stdout"), b"hello\nworld\n");
    let piece = get(at, "/api/v2/trials/t0/logs/stdout?limit=6").await.is(200);
    assert_eq!(piece.text(), "hello\n");
    assert_eq!(
        (piece.headers["x-next-offset"].as_str(), piece.headers["x-end"].as_str()),
        ("6", "false")
    );
    let piece = get(at, "/api/v2/trials/t0/logs/stdout?offset=6").await.is(200);
    assert_eq!(piece.text(), "world\n");
    assert_eq!(
        (piece.headers["x-next-offset"].as_str(), piece.headers["x-end"].as_str()),
        ("12", "true")
    );
    assert_eq!(piece.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(piece.headers["x-content-type-options"], "nosniff");
    write(&world.trial_directory(2).join("stderr"), b"x");
    let running = get(at, "/api/v2/trials/t2/logs/stderr").await.is(200);
    assert_eq!(running.headers["x-end"], "false", "a trial that runs may write more");
    assert_eq!(
        get(at, "/api/v2/trials/t2/logs/trial").await.is(200).text(),
        "",
        "it has not written any yet"
    );
    assert_eq!(
        get(at, "/api/v2/trials/t4/logs/stdout").await.is(200).text(),
        "",
        "it has not begun"
    );
    get(at, "/api/v2/trials/t0/logs/parameter.cfg").await.is(404);
    get(at, "/api/v2/trials/t0/logs/..%2f..%2fexperiment.db").await.is(404);
    get(at, "/api/v2/trials/t0/logs/stdout?offset=99999999999999999999")
        .await
        .is(400);
    get(at, "/api/v2/trials/t0/logs/stdout?offset=18446744073709551615")
        .await
        .is(400);
    for offset in ["12", "100", "9223372036854775807"] {
        let piece = get(at, &format!("/api/v2/trials/t0/logs/stdout?offset={offset}"))
            .await
            .is(200);
        assert_eq!(
            (piece.text().as_str(), piece.headers["x-next-offset"].as_str()),
            ("", offset)
        );
    }
    let explained = get(at, "/api/v2/trials/t2/explain").await.is(200).json();
    assert_eq!(explained["summary"], "it runs");
    assert_eq!(explained["stderrTail"], json!(["x"]));
}

#[tokio::test]
async fn the_end_of_a_log_comes_at_once_from_a_line_on() {
    let (world, at, _served) = stored(config()).await;
    write(&world.trial_directory(0).join("stdout"), b"hello\nworld\nlast\n");
    write(&world.trial_directory(0).join("stderr"), "ö".repeat(100_000).as_bytes());
    let piece = |query: &'static str| async move {
        let reply = get(at, &format!("/api/v2/trials/t0/logs/{query}")).await.is(200);
        let number = |name: &str| reply.headers[name].parse::<u64>().unwrap();
        let at = (number("x-offset"), number("x-next-offset"));
        (reply.text(), at, reply.headers["x-end"] == "true")
    };
    for (query, text, place, is_end) in [
        ("stdout?tail=7", "last\n", (12, 17), true),
        ("stdout?tail=11", "world\nlast\n", (6, 17), true),
        ("stdout?tail=9", "last\n", (12, 17), true),
        ("stdout?tail=3", "st\n", (14, 17), true),
        ("stdout?tail=17", "hello\nworld\nlast\n", (0, 17), true),
        ("stdout?tail=99", "hello\nworld\nlast\n", (0, 17), true),
        ("stdout?tail=14&limit=8", "world", (6, 11), false),
        ("stdout?tail=99&offset=2", "llo\nworld\nlast\n", (2, 17), true),
        ("stdout?tail=1&offset=99", "", (99, 99), true),
        ("trial?tail=5", "", (0, 0), true),
    ] {
        let (found, at, ended) = piece(query).await;
        assert_eq!((found.as_str(), at, ended), (text, place, is_end), "{query}");
    }
    // One long line: from a letter on, and as much of it as a reply holds.
    let (text, at, is_end) = piece("stderr?tail=99999").await;
    assert_eq!((text.chars().count(), at, is_end), (49_999, (100_002, 200_000), true));
    assert!(text.chars().all(|letter| letter == 'ö'));
}

#[tokio::test]
async fn a_link_that_a_trial_made_is_not_followed() {
    let (world, at, _served) = stored(config()).await;
    let secret = world.dir.path().join("secret");
    write(&secret, b"hunter2");
    std::fs::create_dir_all(world.trial_directory(0)).unwrap();
    for name in ["stdout", "model.onnx"] {
        std::os::unix::fs::symlink(&secret, world.trial_directory(0).join(name)).unwrap();
    }
    for path in [
        "/api/v2/trials/t0/logs/stdout",
        "/api/v1/nni/trial-file/t0/stdout",
        "/api/v1/nni/trial-file/t0/model.onnx",
    ] {
        let reply = get(at, path).await.is(500);
        assert!(!reply.text().contains("hunter2"));
    }
}
