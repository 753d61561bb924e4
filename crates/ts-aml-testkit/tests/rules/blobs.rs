//! Blob storage, by SAS. `cargo xtask e2e azure` compares more of it with Azurite.

use crate::client::{Answer, World, send};
use serde_json::json;

async fn storage() -> (World, String) {
    let world = World::new().await;
    let place = world
        .arm("POST", "/codes/c/versions/1/startPendingUpload", &json!({}))
        .await
        .expect(200);
    let sas = place["blobReferenceForConsumption"]["credential"]["sasUri"]
        .as_str()
        .expect("a SAS")
        .to_owned();
    (world, sas)
}

async fn ask(method: &str, sas: &str, blob: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let (container, sas) = sas.split_once('?').expect("a query");
    send(method, &format!("{container}{blob}?{sas}{query}"), headers, body)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn block_blobs_and_their_conditions() {
    let (_world, sas) = storage().await;
    let kind = ("x-ms-blob-type", "BlockBlob");
    ask("PUT", &sas, "/a", "", &[], b"x")
        .await
        .blob(400, "MissingRequiredHeader");
    let put = ask("PUT", &sas, "/a", "", &[kind, ("x-ms-meta-name", "n")], b"text").await;
    assert_eq!(put.status, 201);
    let etag = put.header("etag").expect("an etag").to_owned();
    let got = ask("GET", &sas, "/a", "", &[], b"").await;
    assert_eq!(
        (got.status, got.text().as_str(), got.header("x-ms-meta-name")),
        (200, "text", Some("n"))
    );
    let head = ask("HEAD", &sas, "/a", "", &[], b"").await;
    assert_eq!(
        (
            head.status,
            head.header("content-length"),
            head.header("x-ms-blob-type")
        ),
        (200, Some("4"), Some("BlockBlob"))
    );
    ask("GET", &sas, "/a", "", &[("If-None-Match", &etag)], b"")
        .await
        .blob(304, "ConditionNotMet");
    ask("PUT", &sas, "/a", "", &[kind, ("If-None-Match", "*")], b"y")
        .await
        .blob(409, "BlobAlreadyExists");
    ask("PUT", &sas, "/a", "", &[kind, ("If-Match", "\"0x1\"")], b"y")
        .await
        .blob(412, "ConditionNotMet");
    ask("PUT", &sas, "/b", "", &[kind, ("If-Match", "*")], b"y")
        .await
        .blob(412, "ConditionNotMet");
    ask("GET", &sas, "/none", "", &[], b"").await.blob(404, "BlobNotFound");
    let list = "<BlockList><Latest>QQ==</Latest></BlockList>";
    ask("PUT", &sas, "/c", "&comp=blocklist", &[], list.as_bytes())
        .await
        .blob(400, "InvalidBlockList");
    ask("PUT", &sas, "/c", "&comp=block&blockid=QQ%3D%3D", &[], b"block").await;
    ask("PUT", &sas, "/c", "&comp=block&blockid=QUFBQQ%3D%3D", &[], b"block")
        .await
        .blob(400, "InvalidBlobOrBlock");
    assert_eq!(
        ask("PUT", &sas, "/c", "&comp=blocklist", &[], list.as_bytes())
            .await
            .status,
        201
    );
    assert_eq!(ask("GET", &sas, "/c", "", &[], b"").await.text(), "block");
}

#[tokio::test]
async fn append_blobs() {
    let (_world, sas) = storage().await;
    ask("PUT", &sas, "/log", "&comp=appendblock", &[], b"x")
        .await
        .blob(404, "BlobNotFound");
    assert_eq!(
        ask("PUT", &sas, "/log", "", &[("x-ms-blob-type", "AppendBlob")], b"")
            .await
            .status,
        201
    );
    let first = ask(
        "PUT",
        &sas,
        "/log",
        "&comp=appendblock",
        &[("x-ms-blob-condition-appendpos", "0")],
        b"one\n",
    )
    .await;
    assert_eq!(
        (first.status, first.header("x-ms-blob-append-offset")),
        (201, Some("0"))
    );
    ask(
        "PUT",
        &sas,
        "/log",
        "&comp=appendblock",
        &[("x-ms-blob-condition-appendpos", "0")],
        b"two\n",
    )
    .await
    .blob(412, "AppendPositionConditionNotMet");
    ask(
        "PUT",
        &sas,
        "/log",
        "&comp=appendblock",
        &[("x-ms-blob-condition-maxsize", "5")],
        b"two\n",
    )
    .await
    .blob(412, "MaxBlobSizeConditionNotMet");
    ask("PUT", &sas, "/log", "&comp=appendblock", &[], b"")
        .await
        .blob(400, "InvalidHeaderValue");
    let tail = ask("GET", &sas, "/log", "", &[("Range", "bytes=1-2")], b"").await;
    assert_eq!(
        (tail.status, tail.text().as_str(), tail.header("content-range")),
        (206, "ne", Some("bytes 1-2/4"))
    );
    ask("PUT", &sas, "/log", "", &[("x-ms-blob-type", "BlockBlob")], b"x")
        .await
        .blob(409, "InvalidBlobType");
}

#[tokio::test]
async fn a_sas_allows_what_it_says() {
    let (_world, sas) = storage().await;
    let kind = ("x-ms-blob-type", "BlockBlob");
    assert_eq!(ask("PUT", &sas, "/a", "", &[kind], b"x").await.status, 201);
    // This one may not delete.
    ask("DELETE", &sas, "/a", "", &[], b"")
        .await
        .blob(403, "AuthorizationPermissionMismatch");
    let wider = sas.replace("sp=racwl", "sp=racwdl");
    ask("DELETE", &wider, "/a", "", &[], b"")
        .await
        .blob(403, "AuthenticationFailed");
    let later = sas.replace("se=20", "se=21");
    ask("GET", &later, "/a", "", &[], b"")
        .await
        .blob(403, "AuthenticationFailed");
    let (container, query) = sas.split_once('?').expect("a query");
    let other = format!("{}x?{query}", &container[..container.len() - 1]);
    ask("GET", &other, "/a", "", &[], b"")
        .await
        .blob(403, "AuthenticationFailed");
    send("GET", &format!("{container}/a"), &[], b"")
        .await
        .expect("an answer")
        .blob(401, "NoAuthenticationInformation");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let (_world, sas) = storage().await;
    for name in ["/a", "/d/one", "/d/two", "/z%26"] {
        assert_eq!(
            ask("PUT", &sas, name, "", &[("x-ms-blob-type", "BlockBlob")], b"x")
                .await
                .status,
            201
        );
    }
    let names = async |query: &str| -> (Vec<String>, String) {
        let text = ask(
            "GET",
            &sas,
            "",
            &format!("&restype=container&comp=list{query}"),
            &[],
            b"",
        )
        .await
        .text();
        let between = |part: &str, end: &str| part.split(end).next().unwrap_or_default().to_owned();
        let names = text
            .split("<Name>")
            .skip(1)
            .map(|part| between(part, "</Name>"))
            .collect();
        let marker = text
            .split("<NextMarker>")
            .nth(1)
            .map(|part| between(part, "</NextMarker>"));
        (names, marker.unwrap_or_default())
    };
    assert_eq!(
        names("&maxresults=3").await,
        (vec!["a".into(), "d/one".into(), "d/two".into()], "z&amp;".to_owned())
    );
    assert_eq!(names("&marker=z%26").await.0, ["z&amp;"]);
    assert_eq!(names("&prefix=d%2F").await.0, ["d/one", "d/two"]);
    assert_eq!(names("&delimiter=%2F").await.0, ["a", "d/", "z&amp;"]);
}
