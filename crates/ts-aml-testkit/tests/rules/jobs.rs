//! Command jobs: what is refused, states over time, cancel, lists, and the command for real.

use crate::client::{World, send};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_mins(2);

async fn reached(world: &World, name: &str, status: &str) {
    let wait = world.server.reached(name, status);
    let found = timeout(PATIENCE, wait).await;
    assert!(
        found.is_ok(),
        "{name} is {:?}, not {status}: {}",
        world.server.status(name),
        world.log(name).await
    );
}

#[tokio::test]
async fn what_is_refused() {
    let world = World::new().await;
    let good = world.job("true").await;
    let path = world.server.workspace_path();
    let many: Map<String, Value> = (0..51).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (field, value) in [
        ("jobType", Value::Null),
        ("command", json!("")),
        ("command", json!("...")),
        ("command", json!("echo ${{inputs.nothing}}")),
        ("environmentId", Value::Null),
        ("environmentId", json!(format!("{path}/environments/python/versions/2"))),
        ("environmentId", json!(format!("{path}/environments/Python/versions/1"))),
        ("environmentId", json!("python@latest")),
        ("codeId", json!(format!("{path}/codes/none/versions/1"))),
        ("computeId", json!(format!("{path}/computes/none"))),
        ("experimentName", json!("a b")),
        ("tags", json!(many)),
        ("tags", json!({"k": "v".repeat(1001)})),
        ("tags", json!({"k": ["list"]})),
        ("resources", json!({"shmSize": "2gb"})),
        ("resources", json!({"instanceCount": 0})),
        ("resources", json!({"gpus": 1})),
        ("resources", json!({"instanceType": "gpu-small"})),
        ("limits", json!({"jobLimitsType": "Command", "timeout": "1 hour"})),
        ("limits", json!({"timeout": "PT5S"})),
        ("distribution", json!({"distributionType": "Horovod"})),
        ("identity", json!({"identityType": "Nobody"})),
        ("identity", json!({"identityType": "UserIdentity"})),
        ("inputs", json!({"a": {"jobInputType": "number", "value": 1}})),
        (
            "inputs",
            json!({"a": {"jobInputType": "uri_file", "mode": "Mount", "uri": "azureml://x"}}),
        ),
        ("inputs", json!({"a": {"jobInputType": "uri_file", "mode": "Download"}})),
        (
            "outputs",
            json!({"a": {"jobOutputType": "uri_folder", "mode": "Download"}}),
        ),
        ("outputs", json!({"a": {"jobOutputType": "literal"}})),
        ("displayName", json!("n".repeat(257))),
        ("environmentVariables", json!({"A": true})),
        ("sequence", json!(1)),
    ] {
        let mut body = good.clone();
        body["properties"][field] = value.clone();
        let answer = world.arm("PUT", "/jobs/bad", &body).await;
        assert_eq!(answer.status, 400, "{field}: {value}: {}", answer.text());
        answer.refused(400, "UserError");
    }
    for name in ["-a", "a.b", "a%20b", &"a".repeat(256)] {
        world
            .arm("PUT", &format!("/jobs/{name}"), &good)
            .await
            .refused(400, "UserError");
    }
    assert_eq!(world.server.jobs(), Vec::<String>::new());
    let mut body = good;
    body["extra"] = json!(1);
    world.arm("PUT", "/jobs/bad", &body).await.refused(400, "UserError");
}

#[tokio::test]
async fn a_second_put_starts_nothing_and_changes_little() {
    let world = World::new().await;
    let mut body = world.job("sleep 600").await;
    body["properties"]["properties"] = json!({"a": "1"});
    world.arm("PUT", "/jobs/one", &body).await.expect(201);
    world.arm("PUT", "/jobs/one", &body).await.expect(200);
    body["properties"]["tags"] = json!({"t": "1"});
    body["properties"]["displayName"] = json!("new");
    body["properties"]["properties"] = json!({"b": "2"});
    let job = world.arm("PUT", "/jobs/one", &body).await.expect(200);
    assert_eq!(job["properties"]["tags"], json!({"t": "1"}));
    assert_eq!(job["properties"]["properties"], json!({"a": "1", "b": "2"}));
    for (field, value) in [
        ("command", json!("other")),
        ("environmentVariables", json!({"A": "1"})),
        ("properties", json!({"a": "2"})),
    ] {
        let mut changed = body.clone();
        changed["properties"][field] = value;
        world.arm("PUT", "/jobs/one", &changed).await.refused(400, "UserError");
    }
    assert_eq!(world.server.jobs(), ["one"]);
    // Names are told apart by case.
    world
        .arm("GET", "/jobs/ONE", &Value::Null)
        .await
        .refused(404, "UserError");
}

#[tokio::test]
async fn states_come_in_their_order() {
    let world = World::new().await;
    for status in [
        "NotStarted",
        "Starting",
        "Provisioning",
        "Preparing",
        "Queued",
        "Running",
        "Finalizing",
    ] {
        world.server.hold(status);
    }
    world.submit("one", "true").await;
    let states = [
        "NotStarted",
        "Starting",
        "Provisioning",
        "Preparing",
        "Queued",
        "Running",
        "Finalizing",
        "Completed",
    ];
    for status in states {
        reached(&world, "one", status).await;
        let job = world.arm("GET", "/jobs/one", &Value::Null).await.expect(200);
        assert_eq!(job["properties"]["status"], status);
        world.server.let_go(status);
    }
    assert_eq!(world.server.starts("one"), 1);
    let run = world.run("one").await;
    assert!(
        run["startTimeUtc"].is_string() && run["endTimeUtc"].is_string(),
        "{run}"
    );
}

#[tokio::test]
async fn the_command_runs_with_code_environment_and_data() {
    let world = World::new().await;
    let place = world
        .arm("POST", "/codes/c/versions/1/startPendingUpload", &json!({}))
        .await
        .expect(200);
    let place = &place["blobReferenceForConsumption"];
    let (address, sas) = place["credential"]["sasUri"]
        .as_str()
        .expect("a SAS")
        .split_once('?')
        .expect("a query");
    let put = async |name: &str, text: &str| {
        let url = format!("{address}/{name}?{sas}");
        let answer = send("PUT", &url, &[("x-ms-blob-type", "BlockBlob")], text.as_bytes())
            .await
            .expect("an answer");
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    put(
        "main.sh",
        "cat lib/text; echo $1 \"$GREETING\"; echo out > $2/file; echo kept > outputs/kept; env | grep ^AZUREML_RUN_ID",
    )
    .await;
    put("lib/text", "from the library\n").await;
    let body = json!({"properties": {"codeUri": place["blobUri"]}});
    let code = world.arm("PUT", "/codes/c/versions/1", &body).await.expect(201);

    let mut body = world.job("bash main.sh ${{ inputs.rate }} ${{outputs.result}}").await;
    let properties = &mut body["properties"];
    properties["codeId"] = code["id"].clone();
    properties["environmentVariables"] = json!({"GREETING": "good day"});
    properties["inputs"] = json!({"rate": {"jobInputType": "literal", "value": "0.5"}});
    let uri = "azureml://datastores/workspaceblobstore/paths/results/one";
    properties["outputs"] = json!({"result": {"jobOutputType": "uri_folder", "mode": "ReadWriteMount", "uri": uri}});
    world.arm("PUT", "/jobs/one", &body).await.expect(201);
    reached(&world, "one", "Completed").await;
    assert_eq!(
        world.log("one").await,
        "from the library\n0.5 good day\nAZUREML_RUN_ID=one\n"
    );
    assert_eq!(world.server.blob("results/one/file").as_deref(), Some(&b"out\n"[..]));
    let kept = world.server.blob_of("azureml", "ExperimentRun/dcid.one/outputs/kept");
    assert_eq!(kept.as_deref(), Some(&b"kept\n"[..]));
    let artifacts = world
        .region("GET", "history/v1.0", "/runs/one/artifacts", &Value::Null)
        .await
        .expect(200);
    let paths: Vec<&str> = artifacts["value"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["path"].as_str())
        .collect();
    assert_eq!(paths, ["outputs/kept", "user_logs/std_log.txt"]);
}

#[tokio::test]
async fn an_exit_code_is_told_in_words_only() {
    let world = World::new().await;
    world.submit("one", "echo broken >&2; exit 7").await;
    reached(&world, "one", "Failed").await;
    let run = world.run("one").await;
    let message = run["error"]["error"]["message"].as_str().expect("a message");
    assert!(message.contains("exited with status code 7"), "{message}");
    assert_eq!(world.log("one").await, "broken\n");
    assert_eq!(
        world.arm("GET", "/jobs/one", &Value::Null).await.expect(200)["properties"]["error"],
        Value::Null
    );
}

#[tokio::test]
async fn a_cancel_takes_its_time_and_ends_the_whole_tree() {
    let world = World::new().await;
    world.server.hold("CancelRequested");
    world
        .submit("one", "setsid sleep 600 & sleep 600 & echo ready; wait")
        .await;
    reached(&world, "one", "Running").await;
    let canceled = world.arm("POST", "/jobs/one/cancel", &Value::Null).await;
    canceled.expect(202);
    assert_eq!(canceled.header("retry-after"), Some("10"));
    let location = canceled.header("location").expect("where to ask").to_owned();
    assert_eq!(world.server.status("one").as_deref(), Some("CancelRequested"));
    world.ask("GET", &location, &Value::Null).await.expect(202);
    world.arm("POST", "/jobs/one/cancel", &Value::Null).await.expect(202);
    world.server.release();
    reached(&world, "one", "Canceled").await;
    world.ask("GET", &location, &Value::Null).await.expect(200);
    world
        .arm("POST", "/jobs/one/cancel", &Value::Null)
        .await
        .refused(400, "UserError");
    world
        .arm("POST", "/jobs/none/cancel", &Value::Null)
        .await
        .refused(404, "UserError");

    world.server.hold("NotStarted");
    world.submit("two", "true").await;
    world.arm("POST", "/jobs/two/cancel", &Value::Null).await.expect(200);
    assert_eq!(world.server.status("two").as_deref(), Some("Canceled"));
    assert_eq!(world.server.starts("two"), 0);
    world.server.release();
    world.server.hold("Finalizing");
    world.submit("three", "true").await;
    reached(&world, "three", "Finalizing").await;
    world
        .arm("POST", "/jobs/three/cancel", &Value::Null)
        .await
        .refused(400, "UserError");
    world
        .arm("DELETE", "/jobs/three", &Value::Null)
        .await
        .refused(400, "UserError");
    world.server.release();
    reached(&world, "three", "Completed").await;
    world.arm("DELETE", "/jobs/three", &Value::Null).await.expect(202);
    world.arm("DELETE", "/jobs/three", &Value::Null).await.expect(204);
}

#[tokio::test]
async fn lists_are_by_tag_and_in_pages() {
    let world = World::with(|setting| setting.page_size = 2).await;
    world.server.hold("NotStarted");
    for number in 0..5 {
        let mut body = world.job("true").await;
        body["properties"]["tags"] = json!({"exp_a": number.to_string()});
        body["properties"]["isArchived"] = json!(number == 1);
        world.arm("PUT", &format!("/jobs/j{number}"), &body).await.expect(201);
    }
    world.submit("other", "true").await;
    let names = |page: &Value| -> Vec<String> {
        let jobs = page["value"].as_array().expect("a list").iter();
        jobs.map(|job| job["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let first = world
        .arm("GET", "/jobs?tag=exp_a&jobType=Command", &Value::Null)
        .await
        .expect(200);
    assert_eq!(names(&first), ["j4", "j3"]);
    // A new job moves no page.
    world.submit("newer", "true").await;
    let next = first["nextLink"].as_str().expect("another page");
    let second = world.ask("GET", next, &Value::Null).await.expect(200);
    assert_eq!(names(&second), ["j2", "j0"]);
    assert!(second["nextLink"].is_null(), "{second}");
    let archived = world
        .arm("GET", "/jobs?tag=exp_a&listViewType=ArchivedOnly", &Value::Null)
        .await
        .expect(200);
    assert_eq!(names(&archived), ["j1"]);
    assert_eq!(
        names(&world.arm("GET", "/jobs?tag=exp_b", &Value::Null).await.expect(200)),
        Vec::<String>::new()
    );
    world
        .arm("GET", "/jobs?listViewType=Some", &Value::Null)
        .await
        .refused(400, "UserError");
}

#[tokio::test]
async fn what_befalls_jobs() {
    let world = World::with(|setting| setting.computes[0].max_nodes = 1).await;
    world
        .server
        .doom("Preparing", "UserError", "The image cannot be pulled.");
    world.submit("doomed", "true").await;
    reached(&world, "doomed", "Failed").await;
    let run = world.run("doomed").await;
    assert_eq!(run["error"]["error"]["message"], "The image cannot be pulled.");
    assert_eq!(world.server.starts("doomed"), 0);

    world.submit("one", "echo start; sleep 600").await;
    reached(&world, "one", "Running").await;
    world.submit("two", "true").await;
    reached(&world, "two", "Queued").await;
    let compute = world
        .arm("GET", "/computes/cpu-cluster", &Value::Null)
        .await
        .expect(200);
    assert_eq!(
        compute["properties"]["properties"]["nodeStateCounts"]["runningNodeCount"],
        1
    );
    world.server.silence("one", true);
    assert_eq!(world.server.status("one").as_deref(), Some("NotResponding"));
    world.server.silence("one", false);
    assert_eq!(world.server.status("one").as_deref(), Some("Running"));
    world.server.vanish("one");
    reached(&world, "two", "Completed").await;
    world
        .arm("GET", "/jobs/one", &Value::Null)
        .await
        .refused(404, "UserError");

    world.submit("three", "echo start; sleep 600").await;
    reached(&world, "three", "Running").await;
    world.server.preempt("three");
    let again = async {
        while world.server.starts("three") < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("a second start");
    world.server.cancel("three");
    reached(&world, "three", "Canceled").await;

    let mut body = world.job("sleep 600").await;
    body["properties"]["limits"] = json!({"jobLimitsType": "Command", "timeout": "PT1S"});
    world.arm("PUT", "/jobs/long", &body).await.expect(201);
    reached(&world, "long", "Canceled").await;
}
