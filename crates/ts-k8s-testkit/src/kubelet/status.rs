//! The status of a pod, from the states of its containers. Pure; `pod` keeps the states and sends what comes out of here.
//!
//! Sources: kubernetes v1.20, `pkg/kubelet/kubelet_pods.go`, `getPhase` and `generateAPIPodStatus`; `pkg/kubelet/status/generate.go`.
//! The whole was compared with what a kubelet v1.20.2 sends.

use super::{clock, image};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// How a container stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// It does not run, and why.
    Waiting {
        /// One word.
        reason: String,
        /// More, where there is more.
        message: Option<String>,
    },
    /// It runs.
    Running {
        /// Since then.
        since: Timestamp,
    },
    /// It has ended.
    Ended(Ended),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    /// Which one; each start makes a new one.
    pub(super) id: String,
    /// Exit code.
    pub(super) code: i32,
    /// One word.
    pub(super) reason: &'static str,
    /// More, where there is more.
    pub(super) message: Option<String>,
    /// When it began. Nothing: it never ran.
    pub(super) started: Option<Timestamp>,
    /// When it ended.
    pub(super) finished: Timestamp,
}

/// What there is to tell of a container.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Its name.
    pub(super) name: String,
    /// Its image, as the pod names it.
    pub(super) image: String,
    /// How it stands.
    pub(super) state: State,
    /// How the one before ended.
    pub(super) last: Option<Ended>,
    /// The current one, or the last where none runs.
    pub(super) id: Option<String>,
    /// How often it was started again.
    pub(super) restarts: u32,
}

/// Why the node has ended a pod that would have gone on.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// One word, such as `Evicted`.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) message: String,
    /// Nothing is told of the containers any more.
    pub(super) silent: bool,
}

/// When conditions took the status that they have.
pub(super) type Since = BTreeMap<&'static str, (bool, Timestamp)>;

/// All that the status is made from.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// `Never`, `OnFailure` or `Always`.
    pub(super) restart_policy: &'a str,
    /// Init containers in order.
    pub(super) init: &'a [Told],
    /// The others.
    pub(super) main: &'a [Told],
    /// Set where the node has ended the pod.
    pub(super) verdict: Option<&'a Verdict>,
    /// When the node saw the pod first.
    pub(super) started: Timestamp,
    /// The pod's address, once it has one.
    pub(super) ip: Option<&'a str>,
    /// Conditions of others, which stay.
    pub(super) foreign: &'a [Value],
}

/// The phase.
pub(super) fn phase(view: &View<'_>) -> &'static str {
    if view.verdict.is_some() {
        return "Failed";
    }
    let failed = |one: &Told| match (&one.state, &one.last) {
        (State::Ended(ended), _) | (State::Waiting { .. }, Some(ended)) => ended.code != 0,
        _ => false,
    };
    if view.restart_policy == "Never" && view.init.iter().any(failed) {
        return "Failed";
    }
    let not_begun = |one: &Told| matches!(one.state, State::Waiting { .. }) && one.last.is_none();
    let runs = |one: &Told| matches!(one.state, State::Running { .. });
    if view.init.iter().any(|one| runs(one) || not_begun(one)) || view.main.iter().any(not_begun) {
        return "Pending";
    }
    let succeeded = |one: &Told| matches!(&one.state, State::Ended(ended) if ended.code == 0);
    match view.restart_policy {
        _ if view.main.iter().any(runs) => "Running",
        "Never" | "OnFailure" if view.main.iter().all(succeeded) => "Succeeded",
        "Never" => "Failed",
        _ => "Running",
    }
}

/// The status, as a merge patch of the one that the API server has. `since` is brought up to date.
pub(super) fn status(view: &View<'_>, since: &mut Since) -> Value {
    let phase = phase(view);
    let silent = view.verdict.is_some_and(|verdict| verdict.silent);
    let list = |all: &[Told], init: bool| {
        (!silent && !all.is_empty()).then(|| all.iter().map(|one| container(one, init)).collect::<Vec<_>>())
    };
    // A pod that the node has ended loses the conditions that a kubelet sets: observed on v1.20.2.
    let conditions: Vec<Value> = match view.verdict {
        Some(_) => view.foreign.to_vec(),
        None => conditions(view, phase, since)
            .into_iter()
            .chain(view.foreign.iter().cloned())
            .collect(),
    };
    let ip = view.ip.filter(|_| !silent);
    json!({
        "phase": phase,
        "reason": view.verdict.map(|verdict| verdict.reason),
        "message": view.verdict.map(|verdict| &verdict.message),
        "startTime": clock::seconds(view.started),
        "hostIP": if silent { Value::Null } else { "127.0.0.1".into() },
        "podIP": ip,
        "podIPs": ip.map(|ip| json!([{"ip": ip}])),
        "conditions": conditions,
        "initContainerStatuses": list(view.init, true),
        "containerStatuses": list(view.main, false),
    })
}

fn conditions(view: &View<'_>, phase: &str, since: &mut Since) -> Vec<Value> {
    let complete = |one: &&Told| matches!(&one.state, State::Ended(ended) if ended.code == 0);
    let ready = |one: &&Told| matches!(one.state, State::Running { .. });
    let names = |all: Vec<&Told>| all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(" ");
    let incomplete = names(view.init.iter().filter(|one| !complete(one)).collect());
    let unready = names(view.main.iter().filter(|one| !ready(one)).collect());
    let done = phase == "Succeeded";
    let initialized = match (incomplete.is_empty(), done) {
        (true, true) => (true, "PodCompleted", String::new()),
        (true, false) => (true, "", String::new()),
        _ => (
            false,
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{incomplete}]"),
        ),
    };
    let is_ready = match (unready.is_empty(), done) {
        (_, true) => (false, "PodCompleted", String::new()),
        (true, _) => (true, "", String::new()),
        _ => (
            false,
            "ContainersNotReady",
            format!("containers with unready status: [{unready}]"),
        ),
    };
    let all = [
        ("Initialized", initialized),
        ("Ready", is_ready.clone()),
        ("ContainersReady", is_ready),
        ("PodScheduled", (true, "", String::new())),
    ];
    let now = clock::now();
    let told = all.into_iter().map(|(kind, (value, reason, message))| {
        let entry = since.entry(kind).or_insert((value, now));
        if entry.0 != value {
            *entry = (value, now);
        }
        let status = if value { "True" } else { "False" };
        let mut told = json!({"type": kind, "status": status, "lastProbeTime": null,
            "lastTransitionTime": clock::seconds(entry.1)});
        for (key, text) in [("reason", reason), ("message", message.as_str())] {
            if !text.is_empty() {
                told[key] = text.into();
            }
        }
        told
    });
    told.collect()
}

fn container(one: &Told, init: bool) -> Value {
    let (state, ready, runs) = match &one.state {
        State::Waiting { reason, message } => {
            let mut waiting = json!({"reason": reason});
            if let Some(message) = message {
                waiting["message"] = message.as_str().into();
            }
            (json!({ "waiting": waiting }), false, false)
        }
        State::Running { since } => (json!({"running": {"startedAt": clock::seconds(*since)}}), !init, true),
        State::Ended(ended) => (terminated(ended), init && ended.code == 0, false),
    };
    let mut told = json!({
        "name": one.name,
        "state": state,
        "lastState": one.last.as_ref().map_or_else(|| json!({}), terminated),
        "ready": ready,
        "restartCount": one.restarts,
        "image": one.image,
        "imageID": "",
    });
    if let Some(id) = &one.id {
        told["containerID"] = id.as_str().into();
        told["image"] = image::full_name(&one.image).into();
        told["imageID"] = image_id(&one.image).into();
    }
    if !init {
        told["started"] = runs.into();
    }
    told
}

fn terminated(ended: &Ended) -> Value {
    let mut told = json!({
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": clock::seconds(ended.started.unwrap_or_default()),
        "finishedAt": clock::seconds(ended.finished),
        "containerID": ended.id,
    });
    if let Some(message) = &ended.message {
        told["message"] = message.as_str().into();
    }
    json!({ "terminated": told })
}

/// Stands for the digest of an image: the same for the same name.
fn image_id(image: &str) -> String {
    let part = |number: u64| {
        let mut hasher = DefaultHasher::new();
        (number, image).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    format!("sha256:{}", (0..4).map(part).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{Ended, Since, State, Told, Verdict, View, phase, status};
    use crate::kubelet::clock;
    use serde_json::json;

    fn told(name: &str, code: Option<i32>) -> Told {
        Told {
            name: name.to_owned(),
            image: "i:1".to_owned(),
            state: code.map_or(State::Running { since: clock::now() }, |code| State::Ended(ended(code))),
            last: None,
            id: Some(format!("containerd://{name}")),
            restarts: 0,
        }
    }

    fn ended(code: i32) -> Ended {
        Ended {
            id: "containerd://x".to_owned(),
            code,
            reason: if code == 0 { "Completed" } else { "Error" },
            message: None,
            started: None,
            finished: clock::now(),
        }
    }

    fn waiting(name: &str, reason: &str, last: Option<i32>) -> Told {
        Told {
            state: State::Waiting {
                reason: reason.to_owned(),
                message: None,
            },
            last: last.map(ended),
            id: None,
            ..told(name, None)
        }
    }

    fn view<'a>(restart_policy: &'a str, init: &'a [Told], main: &'a [Told]) -> View<'a> {
        View {
            restart_policy,
            init,
            main,
            verdict: None,
            started: clock::now(),
            ip: None,
            foreign: &[],
        }
    }

    #[test]
    fn phases() {
        let (runs, good, bad) = (told("a", None), told("b", Some(0)), told("c", Some(1)));
        let (creating, crashed) = (
            waiting("d", "ContainerCreating", None),
            waiting("e", "CrashLoopBackOff", Some(1)),
        );
        for (policy, init, main, expected) in [
            ("Never", vec![], vec![&runs], "Running"),
            ("Never", vec![], vec![&runs, &bad], "Running"),
            ("Never", vec![], vec![&good, &bad], "Failed"),
            ("Never", vec![], vec![&good, &good], "Succeeded"),
            ("Never", vec![], vec![&runs, &creating], "Pending"),
            ("OnFailure", vec![], vec![&good], "Succeeded"),
            ("OnFailure", vec![], vec![&bad], "Running"),
            ("OnFailure", vec![], vec![&crashed], "Running"),
            ("Always", vec![], vec![&good], "Running"),
            ("Never", vec![&runs], vec![&creating], "Pending"),
            ("Never", vec![&bad], vec![&creating], "Failed"),
            ("Always", vec![&bad], vec![&creating], "Pending"),
            ("Never", vec![&good], vec![&runs], "Running"),
        ] {
            let own = |all: &[&Told]| all.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
            let (init, main) = (own(&init), own(&main));
            assert_eq!(
                phase(&view(policy, &init, &main)),
                expected,
                "{policy} {init:?} {main:?}"
            );
        }
    }

    #[test]
    fn conditions_name_the_containers_and_keep_their_time() {
        let main = [
            waiting("c", "PodInitializing", None),
            waiting("d", "PodInitializing", None),
        ];
        let init = [told("i", None)];
        let mut since = Since::new();
        let first = status(&view("Never", &init, &main), &mut since);
        assert_eq!(
            first["conditions"][0]["message"],
            "containers with incomplete status: [i]"
        );
        assert_eq!(
            first["conditions"][1]["message"],
            "containers with unready status: [c d]"
        );
        assert_eq!(
            first["containerStatuses"][0]["state"]["waiting"]["reason"],
            "PodInitializing"
        );
        let changed = since["PodScheduled"].1;
        let main = [told("c", None), told("d", None)];
        let init = [told("i", Some(0))];
        let second = status(&view("Never", &init, &main), &mut since);
        assert_eq!(since["PodScheduled"].1, changed);
        assert!(since["Ready"].1 > changed);
        assert_eq!(
            second["conditions"][1],
            json!({"type": "Ready", "status": "True", "lastProbeTime": null,
            "lastTransitionTime": clock::seconds(since["Ready"].1)})
        );
        assert_eq!(second["initContainerStatuses"][0]["ready"], true);
    }

    #[test]
    fn an_evicted_pod_tells_nothing_of_its_containers() {
        let main = [told("c", None)];
        let verdict = Verdict {
            reason: "Evicted",
            message: "no memory".to_owned(),
            silent: true,
        };
        let told = status(
            &View {
                verdict: Some(&verdict),
                ..view("Never", &[], &main)
            },
            &mut Since::new(),
        );
        assert_eq!(
            (
                &told["phase"],
                &told["reason"],
                &told["message"],
                &told["containerStatuses"],
                &told["conditions"]
            ),
            (
                &json!("Failed"),
                &json!("Evicted"),
                &json!("no memory"),
                &json!(null),
                &json!([])
            )
        );
    }
}
