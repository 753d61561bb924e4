//! What is refused, with the bodies of the real server. Source of the texts: kube-apiserver v1.20.2, observed.

use super::*;
use ts_k8s_testkit::CustomKind;

/// Posts an object and gives the status and, of each cause, `field: message`.
async fn causes(client: &Client, path: &str, object: &Value) -> (u16, Vec<String>) {
    let (status, body) = post(client, path, object).await;
    let causes = body["details"]["causes"].as_array().into_iter().flatten();
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    (
        status,
        causes
            .map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message")))
            .collect(),
    )
}

macro_rules! refused {
    ($($test:ident: $path:expr, $object:expr => [$($cause:expr),* $(,)?];)*) => { $(
        #[tokio::test]
        async fn $test() {
            let server = server().await;
            let (status, found) = causes(&server.client("admin"), $path, &$object).await;
            let found: Vec<String> = found.iter().map(|cause| cause.split(" must consist of").next().unwrap().to_owned()).collect();
            assert_eq!((status, found), (422, vec![$($cause.to_owned()),*]));
        }
    )* };
}

fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, field) = path.rsplit_once('/').expect("a path");
    object.pointer_mut(parent).expect("the parent")[field] = value;
    object
}

fn container(field: &str, value: Value) -> Value {
    with(pod("p"), &format!("/spec/containers/0/{field}"), value)
}

refused! {
    a_name_in_capitals: PODS, pod("P") => ["metadata.name: Invalid value: \"P\": a lowercase RFC 1123 subdomain"];
    no_name: PODS, json!({"spec": pod("p")["spec"]}) => ["metadata.name: Required value: name or generateName is required"];
    no_containers: PODS, with(pod("p"), "/spec/containers", json!([])) => ["spec.containers: Required value"];
    no_image: PODS, container("image", json!("")) => ["spec.containers[0].image: Required value"];
    a_container_name_with_a_bar: PODS, container("name", json!("a_b"))
        => ["spec.containers[0].name: Invalid value: \"a_b\": a lowercase RFC 1123 label"];
    two_containers_of_a_name: PODS, with(pod("p"), "/spec/initContainers", json!([{"name": "c", "image": "i"}]))
        => ["spec.initContainers[0].name: Duplicate value: \"c\""];
    a_mount_without_its_volume: PODS, container("volumeMounts", json!([{"name": "v", "mountPath": "/a"}]))
        => ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""];
    two_mounts_at_a_place: PODS, {
        let mounts = json!([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]);
        with(container("volumeMounts", mounts), "/spec/volumes", json!([{"name": "v"}]))
    } => ["spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique"];
    two_sources_of_a_volume: PODS, with(pod("p"), "/spec/volumes", json!([
        {"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}}]))
        => ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"];
    an_export_without_a_path: PODS, with(pod("p"), "/spec/volumes", json!([{"name": "v", "nfs": {"server": "s", "path": ""}}]))
        => ["spec.volumes[0].nfs.path: Required value"];
    a_policy_of_another_kind: PODS, with(pod("p"), "/spec/restartPolicy", json!("ExitCode"))
        => ["spec.restartPolicy: Unsupported value: \"ExitCode\": supported values: \"Always\", \"OnFailure\", \"Never\""];
    an_environment_name_with_a_digit_first: PODS, container("env", json!([{"name": "1a", "value": "x"}]))
        => ["spec.containers[0].env[0].name: Invalid value: \"1a\": a valid environment variable name"];
    more_requested_than_allowed: PODS, container("resources", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}))
        => ["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit"];
    gpus_without_a_limit: PODS, container("resources", json!({"requests": {"nvidia.com/gpu": "1"}}))
        => ["spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"];
    fewer_gpus_requested: PODS,
        container("resources", json!({"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "2"}}))
        => ["spec.containers[0].resources.requests: Invalid value: \"1\": must be equal to nvidia.com/gpu limit"];
    half_a_gpu: PODS, container("resources", json!({"limits": {"nvidia.com/gpu": "500m"}})) => [
        "spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: \"500m\": must be an integer",
        "spec.containers[0].resources.requests[nvidia.com/gpu]: Invalid value: \"500m\": must be an integer"];
    a_resource_without_a_prefix: PODS, container("resources", json!({"limits": {"gpu": "1"}, "requests": {"gpu": "1"}})) => [
        "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
        "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
        "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
        "spec.containers[0].resources.requests[gpu]: Invalid value: \"gpu\": must be a standard resource for containers"];
    a_label_with_a_blank: PODS, with(pod("p"), "/metadata/labels", json!({"a b": "c", "d": "-e"})) => [
        "metadata.labels: Invalid value: \"a b\": name part",
        "metadata.labels: Invalid value: \"-e\": a valid label must be an empty string or consist of alphanumeric characters, '-', \
         '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
         used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"];
    a_finalizer_without_a_domain: CONFIG_MAPS, with(config_map("m"), "/metadata/finalizers", json!(["xy"])) => [
        "metadata.finalizers[0]: Invalid value: \"xy\": name is neither a standard finalizer name nor is it fully qualified"];
    an_owner_without_a_uid: CONFIG_MAPS,
        with(config_map("m"), "/metadata/ownerReferences", json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}]))
        => ["metadata.ownerReferences.uid: Invalid value: \"\": uid must not be empty"];
    a_key_with_a_slash: CONFIG_MAPS, with(config_map("m"), "/data", json!({"a/b": "c"}))
        => ["data[a/b]: Invalid value: \"a/b\": a valid config key"];
    more_than_a_mebibyte: CONFIG_MAPS, with(config_map("m"), "/data", json!({"a": "x".repeat(1_100_000)}))
        => ["[]: Too long: must have at most 1048576 bytes"];
    too_many_annotations: CONFIG_MAPS, with(config_map("m"), "/metadata/annotations", json!({"a": "x".repeat(300_000)}))
        => ["metadata.annotations: Too long: must have at most 262144 bytes"];
    a_registry_secret_without_its_key: "/api/v1/namespaces/default/secrets",
        json!({"metadata": {"name": "s"}, "type": "kubernetes.io/dockerconfigjson", "data": {}})
        => ["data[.dockerconfigjson]: Required value"];
    a_service_without_ports: "/api/v1/namespaces/default/services", json!({"metadata": {"name": "s"}, "spec": {}})
        => ["spec.ports: Required value"];
    a_service_name_with_a_dot: "/api/v1/namespaces/default/services",
        json!({"metadata": {"name": "1a.b"}, "spec": {"ports": [{"port": 80}]}})
        => ["metadata.name: Invalid value: \"1a.b\": a DNS-1035 label"];
    a_job_that_restarts_always: JOBS, with(job("j"), "/spec/template/spec/restartPolicy", json!("Always"))
        => ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""];
    a_job_with_a_long_name: JOBS, job(&"a".repeat(64)) => [format!(
        "spec.template.labels: Invalid value: \"{}\": must be no more than 63 characters", "a".repeat(64))];
    a_claim_without_anything: "/api/v1/namespaces/default/persistentvolumeclaims", json!({"metadata": {"name": "v"}, "spec": {}})
        => ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"];
}

#[tokio::test]
async fn several_problems_come_together_in_one_message() {
    let server = server().await;
    let object =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}, {"name": "c", "image": "i"}]}});
    let (status, body) = post(&server.client("admin"), PODS, &object).await;
    let message = "Pod \"p\" is invalid: [spec.containers[0].image: Required value, spec.containers[1].name: Duplicate value: \
                   \"c\"]";
    assert_eq!(
        (status, &body["message"], &body["reason"]),
        (422, &json!(message), &json!("Invalid"))
    );
    assert_eq!(
        (&body["details"]["name"], &body["details"]["kind"]),
        (&json!("p"), &json!("Pod"))
    );
}

#[tokio::test]
async fn frameworks_are_held_to_their_schema() {
    let server = server().await;
    server.install_crds(&[CustomKind::framework()]);
    let client = server.client("admin");
    let mut bad = framework("bad-name");
    bad["spec"]["executionType"] = json!("Go");
    bad["spec"]["taskRoles"][0]["taskNumber"] = json!(10001);
    let (status, found) = causes(&client, FRAMEWORKS, &bad).await;
    let expected = [
        "metadata.name: Invalid value: \"bad-name\": metadata.name in body should match '^[a-z0-9]{1,63}$'",
        "spec.executionType: Unsupported value: \"Go\": supported values: \"Create\", \"Start\", \"Stop\"",
        "spec.taskRoles.taskNumber: Invalid value: 10001: spec.taskRoles.taskNumber in body should be less than or equal to \
         10000",
    ];
    assert_eq!((status, found), (422, expected.map(str::to_owned).to_vec()));
    let mut typed = framework("x");
    typed["spec"]["taskRoles"][0]["taskNumber"] = json!("1");
    let wrong = "spec.taskRoles.taskNumber: Invalid value: \"string\": spec.taskRoles.taskNumber in body must be of type integer: \
                 \"string\"";
    assert_eq!(causes(&client, FRAMEWORKS, &typed).await, (422, vec![wrong.to_owned()]));
    let mut other = framework("x");
    other["kind"] = json!("Foo");
    assert_eq!(post(&client, FRAMEWORKS, &other).await.0, 422);
    let nameless = json!({"metadata": {"name": "x"}, "spec": {}});
    assert_eq!(post(&client, FRAMEWORKS, &nameless).await.1["reason"], "BadRequest");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_request() {
    let server = server().await;
    let client = server.client("admin");
    let memory = container("resources", json!({"limits": {"memory": "12Q"}}));
    let elsewhere = with(pod("p"), "/metadata/namespace", json!("other"));
    let secret = json!({"metadata": {"name": "s"}, "data": {"a": "%%%"}});
    for (path, object) in [
        (PODS, memory),
        (PODS, elsewhere),
        (PODS, with(pod("p"), "/spec/containers", json!("x"))),
        (
            PODS,
            json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "p"}}),
        ),
        (
            PODS,
            json!({"kind": "Pod", "apiVersion": "v2", "metadata": {"name": "p"}}),
        ),
        ("/api/v1/namespaces/default/secrets", secret),
    ] {
        let (status, body) = post(&client, path, &object).await;
        assert_eq!((status, &body["reason"]), (400, &json!("BadRequest")), "{object}");
    }
    assert_eq!(send(&client, "POST", PODS, "text/html", &json!({})).await.0, 415);
    assert_eq!(post(&client, &format!("{PODS}/p"), &pod("p")).await.0, 405);
    assert_eq!(put(&client, PODS, &pod("p")).await.0, 405);
    let (status, body) = post(&client, "/api/v1/namespaces/nope/pods", &pod("p")).await;
    assert_eq!(
        (status, &body["message"]),
        (404, &json!("namespaces \"nope\" not found"))
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_the_server_or_by_its_store() {
    let server = server().await;
    server.install_crds(&[CustomKind::framework()]);
    let client = server.client("admin");
    let mut large = framework("x");
    large["spec"]["description"] = json!("x".repeat(1_600_000));
    let (status, body) = post(&client, FRAMEWORKS, &large).await;
    assert_eq!(
        (status, &body["message"]),
        (500, &json!("etcdserver: request is too large"))
    );
    large["spec"]["description"] = json!("x".repeat(3_200_000));
    let (status, body) = post(&client, FRAMEWORKS, &large).await;
    assert_eq!(
        (status, &body["message"]),
        (413, &json!("Request entity too large: limit is 3145728"))
    );
}

#[tokio::test]
async fn quotas_refuse_what_does_not_fit_and_tell_what_is_used() {
    let server = server().await;
    let client = server.client("admin");
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let hard = json!({"pods": "1", "requests.nvidia.com/gpu": "1"});
    assert_eq!(
        post(
            &client,
            quotas,
            &json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})
        )
        .await
        .0,
        201
    );
    let gpus = container("resources", json!({"limits": {"nvidia.com/gpu": "2"}}));
    let (status, body) = post(&client, PODS, &gpus).await;
    assert_eq!(status, 403);
    assert_eq!(
        body["message"],
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=0, \
         limited: requests.nvidia.com/gpu=1"
    );
    assert_eq!(post(&client, PODS, &pod("a")).await.0, 201);
    let (status, body) = post(&client, PODS, &pod("b")).await;
    assert_eq!(status, 403);
    assert_eq!(
        body["message"],
        "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    );
    until("the quota tells what is used", async || {
        get(&client, &format!("{quotas}/q")).await.1["status"]["used"]["pods"] == "1"
    })
    .await;
    assert_eq!(
        merge(
            &client,
            &format!("{PODS}/a/status"),
            &json!({"status": {"phase": "Succeeded"}})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        post(&client, PODS, &pod("b")).await.0,
        201,
        "a pod that has ended uses nothing"
    );
    let cpu = json!({"metadata": {"name": "c"}, "spec": {"hard": {"limits.cpu": "4", "count/jobs.batch": "0"}}});
    assert_eq!(delete(&client, &format!("{quotas}/q")).await.0, 200);
    assert_eq!(post(&client, quotas, &cpu).await.0, 201);
    let (_, body) = post(&client, PODS, &pod("d")).await;
    assert_eq!(
        body["message"],
        "pods \"d\" is forbidden: failed quota: c: must specify limits.cpu"
    );
    let (_, body) = post(&client, JOBS, &job("j")).await;
    let message = "jobs.batch \"j\" is forbidden: exceeded quota: c, requested: count/jobs.batch=1, used: count/jobs.batch=0, \
                   limited: count/jobs.batch=0";
    assert_eq!(body["message"], message);
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse() {
    let server = server().await;
    let client = server.client("admin");
    let limits = json!([{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}}]);
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": limits}});
    assert_eq!(
        post(&client, "/api/v1/namespaces/default/limitranges", &range).await.0,
        201
    );
    let (status, body) = post(&client, PODS, &container("resources", json!({"limits": {"cpu": "2"}}))).await;
    let message = "pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
    assert_eq!((status, &body["message"]), (403, &json!(message)));
    let (_, made) = post(&client, PODS, &pod("p")).await;
    let half = json!({"cpu": "500m"});
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": half, "requests": half})
    );
}
