//! The variables of a container: from its image, from `envFrom`, from `env`, with what they refer to.
//!
//! Sources: kubernetes v1.20, `pkg/kubelet/kubelet_pods.go`, `makeEnvironmentVariables`; the messages were observed on v1.20.2.
//! Addresses of services are not given; nothing here has any.

use super::{
    expand::expand,
    shared::{NODE, Shared},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret},
};
use kube::Api;
use std::collections::{BTreeMap, HashMap};

/// The variables in the order in which they are set. A later one of the same name counts.
///
/// # Errors
/// The message of `CreateContainerConfigError`.
pub(super) async fn variables(
    shared: &Shared,
    pod: &Pod,
    container: &Container,
    ip: &str,
) -> Result<Vec<(String, String)>, String> {
    let sources = Sources {
        shared,
        namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut all: Vec<(String, String)> = shared.settings().image_env.into_iter().collect();
    all.push(("HOSTNAME".to_owned(), name));
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let mut pairs = BTreeMap::new();
        if let Some(source) = &from.config_map_ref {
            pairs.extend(sources.config_map(&source.name, source.optional).await?);
        }
        if let Some(source) = &from.secret_ref {
            let bytes = sources.secret(&source.name, source.optional).await?;
            pairs.extend(bytes.into_iter().map(|(key, value)| (key, text(&value))));
        }
        all.extend(pairs.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    // Only what `env` has set so far can be referred to, and what `envFrom` has.
    let mut known: HashMap<String, String> = all.iter().cloned().collect();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, |name| known.get(name).map(String::as_str))),
            (None, Some(source)) => sources.value(pod, source, ip).await?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value.clone());
            all.push((variable.name.clone(), value));
        }
    }
    Ok(all)
}

fn text(value: &ByteString) -> String {
    String::from_utf8_lossy(&value.0).into_owned()
}

/// What a field of the pod says. Source: kubernetes v1.20, `pkg/fieldpath/fieldpath.go`.
pub(super) fn field(pod: &Pod, path: &str, ip: &str) -> Option<String> {
    let metadata = &pod.metadata;
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return None,
        };
        return Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let account = || pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    Some(match path {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => NODE.to_owned(),
        "spec.serviceAccountName" => account().unwrap_or_default(),
        "status.hostIP" => "127.0.0.1".to_owned(),
        "status.podIP" | "status.podIPs" => ip.to_owned(),
        _ => return None,
    })
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    lines.join("\n")
}

struct Sources<'a> {
    shared: &'a Shared,
    namespace: &'a str,
}

impl Sources<'_> {
    async fn value(&self, pod: &Pod, source: &EnvVarSource, ip: &str) -> Result<Option<String>, String> {
        let namespace = self.namespace;
        if let Some(from) = &source.field_ref {
            let value = field(pod, &from.field_path, ip);
            return value
                .map(Some)
                .ok_or_else(|| format!("unsupported fieldPath: {}", from.field_path));
        }
        let (found, optional, missing) = if let Some(from) = &source.config_map_key_ref {
            let map = self.config_map(&from.name, from.optional).await?;
            let missing = format!("couldn't find key {} in ConfigMap {namespace}/{}", from.key, from.name);
            (map.get(&from.key).cloned(), from.optional, missing)
        } else if let Some(from) = &source.secret_key_ref {
            let map = self.secret(&from.name, from.optional).await?;
            let missing = format!("couldn't find key {} in Secret {namespace}/{}", from.key, from.name);
            (map.get(&from.key).map(text), from.optional, missing)
        } else {
            return Err("this node knows no such source of a variable".to_owned());
        };
        match (found, optional) {
            (None, Some(true)) => Ok(None),
            (found, _) => found.map(Some).ok_or(missing),
        }
    }

    async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, String>, String> {
        match config_map(self.shared, self.namespace, name).await? {
            Some(map) => Ok(map.data.unwrap_or_default()),
            None if optional == Some(true) => Ok(BTreeMap::new()),
            None => Err(format!("configmap \"{name}\" not found")),
        }
    }

    async fn secret(&self, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, ByteString>, String> {
        match secret(self.shared, self.namespace, name).await? {
            Some(secret) => Ok(secret.data.unwrap_or_default()),
            None if optional == Some(true) => Ok(BTreeMap::new()),
            None => Err(format!("secret \"{name}\" not found")),
        }
    }
}

/// A ConfigMap, if there is one.
pub(super) async fn config_map(shared: &Shared, namespace: &str, name: &str) -> Result<Option<ConfigMap>, String> {
    let api = Api::<ConfigMap>::namespaced(shared.client.clone(), namespace);
    api.get_opt(name).await.map_err(|error| error.to_string())
}

/// A Secret, if there is one.
pub(super) async fn secret(shared: &Shared, namespace: &str, name: &str) -> Result<Option<Secret>, String> {
    let api = Api::<Secret>::namespaced(shared.client.clone(), namespace);
    api.get_opt(name).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::field;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    #[test]
    fn fields() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "1", "c": "2"}},
            "spec": {"containers": [], "serviceAccountName": "s"},
        }))
        .expect("a pod");
        for (path, expected) in [
            ("metadata.name", Some("p")),
            ("metadata.namespace", Some("n")),
            ("metadata.uid", Some("u")),
            ("metadata.labels['a/b']", Some("1")),
            ("metadata.labels['z']", Some("")),
            ("metadata.labels", Some("a/b=\"1\"\nc=\"2\"")),
            ("spec.nodeName", Some("n1")),
            ("spec.serviceAccountName", Some("s")),
            ("status.podIP", Some("127.9.9.9")),
            ("status.phase", None),
            ("spec.x['y']", None),
        ] {
            assert_eq!(field(&pod, path, "127.9.9.9").as_deref(), expected, "{path}");
        }
    }
}
