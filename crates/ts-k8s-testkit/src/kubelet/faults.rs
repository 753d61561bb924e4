//! Everything that befalls pods on a node without their doing.
//!
//! Each fault names a pod that is on the node, and panics if there is none: a test that breaks nothing proves nothing.

use super::{
    clock,
    handle::Kubelet,
    pod::PodRun,
    process::{self, Victim},
    shared::NODE,
    status::Verdict,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

impl Kubelet {
    /// The kernel kills the processes of all containers of a pod that run, for want of memory: code 137, reason `OOMKilled`.
    pub fn oom_kill(&self, namespace: &str, pod: &str) {
        let victims = self.run(namespace, pod).change(|state| {
            let cells = state.init.iter_mut().chain(&mut state.main);
            let live = cells.filter_map(|cell| cell.live.as_mut());
            let victims = live.map(|live| {
                live.out_of_memory = true;
                Victim {
                    mark: Some(live.launch.mark.clone()),
                    session: Some(live.pid),
                }
            });
            victims.collect::<Vec<_>>()
        });
        assert!(!victims.is_empty(), "no container of pod {namespace}/{pod} runs");
        process::kill_all(&victims);
    }

    /// The first process of a container gets a signal, such as 11, as if from its own fault.
    pub fn crash_container(&self, namespace: &str, pod: &str, container: &str, signal: i32) {
        let run = self.run(namespace, pod);
        let state = run.state();
        let mut cells = state.cells();
        let live = cells
            .find(|cell| cell.told.name == container)
            .and_then(|cell| cell.live.as_ref());
        let live = live.unwrap_or_else(|| panic!("container {container} of pod {namespace}/{pod} does not run"));
        process::send(live.pid, Signal::try_from(signal).expect("a signal"));
    }

    /// The kubelet ends a pod to save the node: phase `Failed`, reason `Evicted`, and nothing is told of its containers any more.
    ///
    /// Source: kubernetes v1.20, `pkg/kubelet/eviction/eviction_manager.go`, `evictPod`.
    pub fn evict(&self, namespace: &str, pod: &str, message: &str) {
        let run = self.run(namespace, pod);
        run.change(|state| {
            state.verdict = Some(Verdict {
                reason: "Evicted",
                message: message.to_owned(),
                silent: true,
            });
        });
        run.report(&self.shared, true, "Evicted", message);
        run.stop(Duration::ZERO);
    }

    /// The scheduler takes the place of a pod for a more important one: condition `DisruptionTarget`, and a deletion.
    ///
    /// Source: kubernetes v1.26, `pkg/scheduler/framework/preemption/preemption.go`, `prepareCandidate`. v1.20 only deletes.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn preempt(&self, namespace: &str, pod: &str) -> kube::Result<()> {
        let run = self.run(namespace, pod);
        let message = "default-scheduler: preempting to accommodate a higher priority pod";
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": message, "lastProbeTime": null, "lastTransitionTime": clock::seconds(clock::now())});
        // The node's own report carries it along, as that replaces the list of conditions as a whole.
        run.change(|state| state.disruption = Some(condition));
        run.settled().await;
        run.report(
            &self.shared,
            false,
            "Preempted",
            format!("Preempted by a pod on node {NODE}"),
        );
        self.delete(&run, None).await
    }

    /// The node is cut off: it reports and serves nothing more, while its processes go on. After that the control plane says that
    /// its pods are not ready.
    ///
    /// Source: kubernetes v1.20, `pkg/controller/util/node/controller_utils.go`, `MarkPodsNotReady`, without the wait of 40 s.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn lose_node(&self) -> kube::Result<()> {
        self.shared.lost.send_replace(true);
        for run in self.runs() {
            let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), &run.id.namespace);
            let Some(pod) = api.get_opt(&run.id.name).await? else {
                continue;
            };
            let mut conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
            let mut ready = conditions
                .iter_mut()
                .filter(|one| one.type_ == "Ready" && one.status == "True");
            let Some(ready) = ready.next() else { continue };
            "False".clone_into(&mut ready.status);
            ready.last_transition_time = serde_json::from_value(clock::seconds(clock::now()).into()).ok();
            let patch: Value = json!({"metadata": {"uid": run.id.uid}, "status": {"conditions": conditions}});
            api.patch_status(&run.id.name, &PatchParams::default(), &Patch::Merge(patch))
                .await?;
        }
        Ok(())
    }

    /// The machine of a node that was lost is gone for good: its processes end, and its pods are removed as the control plane's
    /// garbage collector does.
    ///
    /// Source: kubernetes v1.20, `pkg/controller/podgc/gc_controller.go`, `gcOrphaned`; since v1.26 `markFailedAndDeletePod`, too,
    /// where a finalizer keeps the pod of a Job until the Job has counted it.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn node_gone(&self) -> kube::Result<()> {
        self.shared.lost.send_replace(true);
        let shared = self.shared.clone();
        // It fails only where the whole program ends.
        let _ = tokio::task::spawn_blocking(move || shared.kill_everything()).await;
        let version = self.shared.client.apiserver_version().await?;
        let marks = version
            .minor
            .trim_end_matches('+')
            .parse::<u32>()
            .is_ok_and(|minor| minor >= 26);
        for run in self.runs() {
            if marks {
                self.mark_failed(&run).await?;
            }
            self.delete(&run, Some(0)).await?;
        }
        Ok(())
    }

    /// Says that a pod has failed with its node, and waits until the Job that it belongs to has seen it.
    async fn mark_failed(&self, run: &PodRun) -> kube::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.shared.client.clone(), &run.id.namespace);
        let target = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": clock::seconds(clock::now())});
        let patch = json!({"metadata": {"uid": run.id.uid}, "status": {"phase": "Failed", "conditions": [target]}});
        let (parameters, patch) = (PatchParams::default(), Patch::Strategic(patch));
        let patched = pods.patch_status(&run.id.name, &parameters, &patch).await?;
        let owners = patched.metadata.owner_references.unwrap_or_default();
        let Some(owner) = owners.iter().find(|owner| owner.kind == "Job") else {
            return Ok(());
        };
        let jobs: Api<Job> = Api::namespaced(self.shared.client.clone(), &run.id.namespace);
        loop {
            let status = jobs
                .get_opt(&owner.name)
                .await?
                .map(|job| job.status.unwrap_or_default());
            if status.is_none_or(|status| status.failed.is_some_and(|failed| failed > 0)) {
                return Ok(());
            }
            clock::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn delete(&self, run: &PodRun, grace: Option<u32>) -> kube::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.shared.client.clone(), &run.id.namespace);
        let options = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions {
                uid: Some(run.id.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&run.id.name, &options).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn runs(&self) -> Vec<Arc<PodRun>> {
        self.shared.pods().values().cloned().collect()
    }

    fn run(&self, namespace: &str, pod: &str) -> Arc<PodRun> {
        let run = self.shared.pod(namespace, pod);
        run.unwrap_or_else(|| panic!("pod {namespace}/{pod} is not on the node"))
    }
}
