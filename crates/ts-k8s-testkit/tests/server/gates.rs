//! Requests that a test holds back.

use super::*;
use ts_k8s_testkit::Matcher;

#[tokio::test]
async fn a_gate_holds_what_matches_until_it_is_opened() {
    let server = server().await;
    let client = server.client("admin");
    let gate = server.hold(Matcher::any().verb("create").resource("configmaps"));
    let map = config_map("a");
    let held = async {
        gate.until_held(1).await;
        assert_eq!(get(&client, CONFIG_MAPS).await.0, 200, "another request is not held");
        assert_eq!(server.objects("configmaps"), Vec::<Value>::new(), "nothing is done yet");
        gate.open();
    };
    let (made, ()) = tokio::join!(post(&client, CONFIG_MAPS, &map), held);
    assert_eq!(made.0, 201);
    assert_eq!(
        post(&client, CONFIG_MAPS, &config_map("b")).await.0,
        201,
        "it stays open"
    );
    drop(server.hold(Matcher::any()));
    assert_eq!(get(&client, CONFIG_MAPS).await.0, 200, "nobody can open it any more");
}
