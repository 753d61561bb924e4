//! Requests made from the description, fitting ones and ones with one flaw: whatever comes is answered, as the description says,
//! and what is flawed is refused.

use crate::{
    client::{Reply, get, send},
    requests::{Operation, asked},
    schema::{resolved, wrong},
    world::{World, config, id, limits, stored, write},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{runtime::Runtime, task::LocalSet};
use ts_manager::rest::Listen;

/// Methods of HTTP, and one that is none.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FETCH",
];

/// Sends a request, and compares the answer with what the operation describes.
async fn answered(document: &Value, at: SocketAddr, operation: &Operation, path: &str, body: &[u8]) -> Reply {
    // A stream of events has no end; its head says as much.
    let method = if operation.is_stream() {
        "HEAD"
    } else {
        operation.method.as_str()
    };
    let json = [("Content-Type", "application/json")];
    let reply = send(at, method, path, &json, body).await;
    let described = &operation.described["responses"][reply.status.to_string()];
    assert!(
        described.is_object(),
        "{} is not described: {}",
        reply.status,
        reply.text()
    );
    let described = resolved(document, described);
    let content_type = reply.headers["content-type"].split(';').next().unwrap().to_owned();
    let schema = &described["content"][&content_type]["schema"];
    assert!(
        schema.is_object(),
        "{content_type} is not described for {}",
        reply.status
    );
    if content_type == "application/json" && method != "HEAD" {
        let problems = wrong(document, schema, &reply.json(), "");
        assert!(problems.is_empty(), "{problems:#?} in {}", reply.text());
    }
    for (name, header) in described["headers"].as_object().into_iter().flatten() {
        let text = &reply.headers[&name.to_lowercase()];
        let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let problems = wrong(document, &header["schema"], &value, name);
        assert!(problems.is_empty(), "{problems:#?}");
    }
    reply
}

/// Asks for everything that `narrowed` has of the description many times; `ids` are trials of the experiment.
fn ask_for_everything(stage: &Stage, document: &Value, narrowed: &Value, at: SocketAddr, ids: &[String]) {
    let operations = Operation::all(narrowed);
    let requests = operations
        .iter()
        .map(|operation| asked(document, narrowed, operation, ids));
    let requests = proptest::strategy::Union::new(requests);
    runner(256)
        .run(&requests, |asked| {
            let reply = stage.run(answered(document, at, &asked.operation, &asked.path, &asked.body));
            let expected: &[u16] = if asked.is_fitting {
                &[200, 201, 202, 404, 409, 501]
            } else {
                &[400, 404]
            };
            prop_assert!(expected.contains(&reply.status), "{} {}", reply.status, reply.text());
            Ok(())
        })
        .unwrap();
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

/// Where servers and managers run between the requests of a test that is no future itself.
struct Stage {
    runtime: Runtime,
    local: LocalSet,
}

impl Stage {
    fn new() -> Self {
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            local: LocalSet::new(),
        }
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.local.block_on(&self.runtime, work)
    }
}

async fn description(at: SocketAddr) -> Value {
    get(at, "/api/v2/openapi.json").await.is(200).json()
}

#[test]
fn an_experiment_that_can_only_be_read_answers_as_described() {
    let stage = Stage::new();
    let (world, at, _served) = stage.run(stored(config()));
    write(
        &world.trial_directory(0).join("stdout"),
        "größer\n".repeat(100).as_bytes(),
    );
    write(&world.trial_directory(1).join("stderr"), b"\xff\x00\xfe");
    let document = stage.run(description(at));
    let ids: Vec<String> = (0..5).map(|n| format!("t{n}")).collect();
    ask_for_everything(&stage, &document, &document, at, &ids);
}

#[test]
fn a_running_experiment_answers_as_described() {
    let stage = Stage::new();
    let world = World::new(config(), limits(2, 4));
    let _guard = stage.runtime.enter();
    let (manager, _cluster) = world.manager("wait");
    let (at, _served) = world.serve(manager.handle());
    stage.local.spawn_local(manager.run());
    let listed = stage.run(crate::writing::until(at, "/api/v2/trials?status=RUNNING", |now| {
        now["trials"][1].is_object()
    }));
    let ids = |listed: &Value| -> Vec<String> {
        let trials = listed["trials"].as_array().unwrap();
        trials
            .iter()
            .map(|trial| trial["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let document = stage.run(description(at));
    let mut narrowed = document.clone();
    // As many trials as the limits let there be would be made.
    let limits = &mut narrowed["components"]["schemas"]["LimitsPatch"]["properties"]["limits"]["properties"];
    limits["concurrency"]["maximum"] = json!(3);
    limits["maxTrials"] = json!({"type": "integer", "minimum": 30, "maximum": 40});
    limits["maxDurationMs"] = json!({"type": ["integer", "null"], "minimum": 3_600_000, "maximum": i64::MAX});
    let paths = narrowed["paths"].as_object_mut().unwrap();
    paths.remove("/api/v2/experiment/stop").unwrap();
    ask_for_everything(&stage, &document, &narrowed, at, &ids(&listed));
}

#[test]
fn noise_is_answered_as_described_too() {
    let stage = Stage::new();
    let (_world, at, _served) = stage.run(stored(config()));
    let document = stage.run(description(at));
    let trials: Vec<String> = (0..5).map(|n| id(n).to_string()).collect();
    let noise = (
        select(Operation::all(&document)),
        // What can stand in an address at all.
        "[!$-;=?-~]{0,30}",
        "[!$%&-.0-;=@-Z_a-z~]{0,20}",
        vec(any::<u8>(), 0..60),
    );
    runner(256)
        .run(&noise, |(operation, query, name, body)| {
            let path = operation.path.replace("{id}", &name).replace("{name}", "stdout");
            let path = format!("{path}?{query}");
            let is_there = !operation.path.contains("{id}") || trials.contains(&name);
            let reply = stage.run(answered(&document, at, &operation, &path, &body));
            prop_assert!(is_there || reply.status >= 400, "{} {}", reply.status, reply.text());
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_there_are() {
    let (_world, at, _served) = stored(config()).await;
    let document = description(at).await;
    let error = json!({"$ref": "#/components/schemas/Error"});
    for (path, methods) in document["paths"].as_object().unwrap() {
        let real = path.replace("{id}", "t0").replace("{name}", "stdout");
        let mut allowed: Vec<String> = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|name| name.to_uppercase())
            .collect();
        if allowed.contains(&"GET".to_owned()) {
            allowed.push("HEAD".into());
        }
        allowed.sort();
        for method in METHODS
            .iter()
            .filter(|method| !allowed.contains(&(**method).to_owned()))
        {
            let reply = send(at, method, &real, &[], b"").await.is(405);
            let mut told: Vec<&str> = reply.headers["allow"].split(',').map(str::trim).collect();
            told.sort_unstable();
            assert_eq!(told, allowed, "{method} {path}");
            if *method != "HEAD" {
                let problems = wrong(&document, &error, &reply.json(), "");
                assert!(problems.is_empty(), "{method} {path}: {problems:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_description_says_whether_a_token_is_needed_and_how_one_without_is_answered() {
    let (_world, at, _served) = stored(config()).await;
    assert_eq!(description(at).await["security"], json!([]));
    let world = World::new(config(), limits(1, 1));
    let file = world.dir.path().join("token");
    write(&file, b"0123456789abcdef\n");
    let listen = Listen {
        token_file: Some(file),
        ..Listen::on_port(0)
    };
    let (at, _served) = world.serve_stored(&listen);
    let token = [("Authorization", "Bearer 0123456789abcdef")];
    let document = send(at, "GET", "/api/v2/openapi.json", &token, b"")
        .await
        .is(200)
        .json();
    assert_eq!(document["security"], json!([{"token": []}]));
    for operation in Operation::all(&document) {
        let path = operation.path.replace("{id}", "t0").replace("{name}", "stdout");
        let reply = answered(&document, at, &operation, &path, b"{}").await.is(401);
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
}
