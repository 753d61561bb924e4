//! A node with an API server for one test, and ways to wait for what happens there.

use futures_util::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Event, Pod},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, wait, watcher},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::HashMap, fmt::Debug, fs, sync::Arc, time::Duration};
use tokio::time::timeout;
use ts_k8s_testkit::{ApiServer, Kubelet, PodRef, Setting};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) kubelet: Arc<Kubelet>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) server: ApiServer,
}

impl World {
    pub(crate) async fn new() -> Self {
        let server = ApiServer::start(Setting::default()).await.expect("a server");
        let client = server.client("admin");
        let dir = tempfile::tempdir().expect("a directory");
        let kubelet = Kubelet::start(client.clone(), dir.path());
        server.set_node(kubelet.clone());
        Self {
            client,
            kubelet,
            dir,
            server,
        }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates an object.
    pub(crate) async fn put<K>(&self, object: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .expect("created");
    }

    /// Creates a pod.
    pub(crate) async fn create(&self, name: &str, spec: Value) {
        self.put::<Pod>(json!({"metadata": {"name": name, "labels": {"l": "v"}}, "spec": spec}))
            .await;
    }

    /// Waits until the pod is as wanted, or gone as `Null`, and returns it.
    pub(crate) async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let json = |pod: Option<&Pod>| serde_json::to_value(pod).expect("a pod");
        let found = wait::await_condition(self.api(), name, |pod: Option<&Pod>| wanted(&json(pod)));
        if let Ok(pod) = timeout(PATIENCE, found).await {
            return json(pod.expect("an answer").as_ref());
        }
        panic!("{name} is not {what}: {:#?}", self.api::<Pod>().get(name).await);
    }

    pub(crate) async fn phase(&self, name: &str, phase: &str) -> Value {
        self.until(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    /// Waits until the container waits for that reason.
    pub(crate) async fn waits(&self, name: &str, reason: &str) -> Value {
        self.until(name, reason, |pod| state(pod)["waiting"]["reason"] == reason)
            .await
    }

    pub(crate) async fn gone(&self, name: &str) {
        self.until(name, "gone", Value::is_null).await;
    }

    pub(crate) async fn delete(&self, name: &str, grace: Option<u32>) {
        let how = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::default()
        };
        self.api::<Pod>().delete(name, &how).await.expect("deleted");
    }

    pub(crate) async fn reference(&self, name: &str) -> PodRef {
        let pod = self.api::<Pod>().get(name).await.expect("a pod");
        PodRef {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            uid: pod.metadata.uid.expect("a uid"),
        }
    }

    /// The log of a container as the API server answers it, or code and message.
    pub(crate) async fn log(&self, name: &str, query: &[(&str, &str)]) -> Result<String, (u16, String)> {
        let value = |key: &str| {
            query
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, value)| (*value).to_owned())
        };
        let options = kube::api::LogParams {
            container: value("container"),
            previous: value("previous").is_some(),
            ..kube::api::LogParams::default()
        };
        match self.api::<Pod>().logs(name, &options).await {
            Ok(text) => Ok(text),
            Err(kube::Error::Api(status)) => Err((status.code, status.message)),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Waits for an event about a pod.
    pub(crate) async fn event(&self, pod: &str, reason: &str) -> Event {
        let about = watcher::Config::default().fields(&format!("involvedObject.name={pod}"));
        let events = watcher(self.api::<Event>(), about).applied_objects();
        let mut wanted = Box::pin(events.filter_map(async |event| {
            let event = event.expect("an event");
            (event.reason.as_deref() == Some(reason)).then_some(event)
        }));
        let found = timeout(PATIENCE, wanted.next()).await;
        found.unwrap_or_else(|_| panic!("no event {reason}")).expect("an event")
    }
}

/// A query.
pub(crate) fn query(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Waits for something that nobody tells about.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("{what}, at last"));
}

/// The processes of a pod.
pub(crate) fn processes(uid: &str) -> usize {
    let mark = format!("TS_CONTAINER={uid}/");
    let all = fs::read_dir("/proc").expect("processes").flatten();
    all.filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment)
            .split('\0')
            .any(|one| one.starts_with(&mark))
    })
    .count()
}

/// A container that runs a script.
pub(crate) fn shell(script: &str) -> Value {
    json!({"name": "main", "image": "i:1", "command": ["sh", "-c", script]})
}

/// A pod with one container that is not started again.
pub(crate) fn never(container: impl Into<Value>) -> Value {
    let container = container.into();
    json!({"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 2})
}

/// How the first container stands.
pub(crate) fn state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}
