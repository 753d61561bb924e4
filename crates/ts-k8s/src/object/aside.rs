//! Pods beside those of trials: they go where the user's templates send the trials, and run as these do.
//!
//! What they mount and run is `volume`'s business.

use super::merge;
use crate::KubernetesConfig;
use serde_json::{Map, Value, json};

/// What of a pod's specification says where it may run, as whom, and from where its image comes. Not how far from other trials: a
/// pod beside them would take the place of one.
const TAKEN: &[&str] = &[
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "hostNetwork",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
];

/// Has a pod of one container be like those of trials, as far as templates of the user's say something of them.
pub(crate) fn like_trials(pod: &mut Value, config: &KubernetesConfig) {
    let of_framework = config
        .framework_template
        .as_ref()
        .and_then(|framework| framework.pointer("/spec/taskRoles/0/task/pod"));
    for template in of_framework.into_iter().chain(config.pods.template.as_ref()) {
        let own = template["spec"]["containers"].as_array().and_then(|containers| {
            let named = containers.iter().find(|one| one["name"] == config.kind.container());
            // The one container of a Framework's pod has a name of the user's.
            named.or(containers.first().filter(|_| Some(template) == of_framework))
        });
        let mut spec = taken(template, "spec", TAKEN);
        if let Some(affinity) = template["spec"]["affinity"].get("nodeAffinity") {
            spec.insert("affinity".to_owned(), json!({"nodeAffinity": affinity}));
        }
        if let Some(context) = own.and_then(|own| own.get("securityContext")) {
            let container = json!([{"name": pod["spec"]["containers"][0]["name"], "securityContext": context}]);
            spec.insert("containers".to_owned(), container);
        }
        let metadata = taken(template, "metadata", &["annotations", "labels"]);
        let ours = json!({"metadata": {"labels": pod["metadata"]["labels"]}});
        merge::strategic(pod, &json!({"metadata": metadata, "spec": spec}));
        // What it is found by stays ours.
        merge::strategic(pod, &ours);
    }
}

fn taken(template: &Value, part: &str, keys: &[&str]) -> Map<String, Value> {
    let fields = template[part].as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| keys.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobKind, Role};

    fn stager() -> Value {
        json!({
            "metadata": {"name": "a", "labels": {"app": "ours"}},
            "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "stager", "image": "i"}]},
        })
    }

    #[test]
    fn a_cluster_that_asks_something_of_pods_asks_it_of_all() {
        let mut config = KubernetesConfig::new(JobKind::TfJob, vec![Role::new("worker", "i")]);
        config.pods.template = Some(json!({
            "metadata": {"labels": {"app": "theirs", "team": "a"}, "annotations": {"sidecar.istio.io/inject": "false"}},
            "spec": {
                "securityContext": {"runAsNonRoot": true},
                "nodeSelector": {"zone": "z"},
                "affinity": {"nodeAffinity": {"x": 1}, "podAntiAffinity": {"y": 1}},
                "schedulerName": "gangs",
                "containers": [
                    {"name": "side", "securityContext": {"privileged": true}},
                    {"name": "tensorflow", "securityContext": {"allowPrivilegeEscalation": false}, "workingDir": "/x"},
                ],
            },
        }));
        let mut pod = stager();
        like_trials(&mut pod, &config);
        let expected = json!({
            "metadata": {
                "name": "a", "labels": {"app": "ours", "team": "a"}, "annotations": {"sidecar.istio.io/inject": "false"},
            },
            "spec": {
                "nodeSelector": {"disk": "ssd", "zone": "z"},
                "securityContext": {"runAsNonRoot": true},
                "affinity": {"nodeAffinity": {"x": 1}},
                "containers": [{"name": "stager", "image": "i", "securityContext": {"allowPrivilegeEscalation": false}}],
            },
        });
        assert_eq!(pod, expected);
    }

    #[test]
    fn a_framework_of_the_users_says_it_too() {
        let mut config = KubernetesConfig::new(JobKind::Framework, vec![Role::new("worker", "i")]);
        config.framework_template = Some(json!({"spec": {"taskRoles": [{"task": {"pod": {"spec": {
            "imagePullSecrets": [{"name": "s"}], "restartPolicy": "Never",
            "containers": [{"name": "mine", "securityContext": {"runAsUser": 7}}],
        }}}}]}}));
        let mut pod = stager();
        like_trials(&mut pod, &config);
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "s"}]));
        assert_eq!(pod["spec"]["containers"][0]["securityContext"]["runAsUser"], 7);
        assert_eq!(pod["spec"].get("restartPolicy"), None);
    }
}
