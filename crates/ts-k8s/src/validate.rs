//! Could this experiment run in this cluster? Asks it, and has it check an object of ours without creating it.

use crate::{
    KubernetesConfig, Role, StorageKind,
    access::{self, Cluster},
    error, kinds, object, submit,
};
use k8s_openapi::api::{
    authorization::v1::SelfSubjectAccessReview,
    core::v1::{PersistentVolumeClaim, Secret, ServiceAccount},
};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::json;
use ts_core::{
    Error, ErrorKind, ExperimentSpec, IdSource as _, Parameters, RandomIds, Result, TrialSpec, Warning, Warnings,
};

/// What our trials need: group, resource, verbs.
pub(crate) fn permissions(config: &KubernetesConfig) -> Vec<(&'static str, &'static str, &'static str)> {
    let kind = config.kind;
    let mut needed = Vec::new();
    for verb in ["create", "get", "list", "watch", "delete", "deletecollection"] {
        needed.push((kind.group(), kind.plural(), verb));
    }
    if config.runtime().is_some() {
        for verb in ["create", "get", "delete", "deletecollection"] {
            needed.push((kind.group(), kinds::RUNTIMES, verb));
        }
    }
    for verb in ["get", "list", "watch"] {
        needed.push(("", "pods", verb));
    }
    needed.push(("", "pods/log", "get"));
    for verb in ["create", "get"] {
        needed.push(("", "pods/exec", verb));
        needed.push(("", "configmaps", verb));
    }
    for resource in ["pods", "configmaps"] {
        needed.push(("", resource, "deletecollection"));
    }
    needed.push(("", "pods", "delete"));
    if config.storage.is_some() {
        needed.push(("", "pods", "create"));
    }
    let has_secrets = config.roles.iter().any(|role| role.private_registry_auth.is_some());
    let has_azure = config
        .storage
        .as_ref()
        .is_some_and(|s| matches!(s.kind, StorageKind::AzureFiles { .. }));
    if has_secrets || has_azure {
        for verb in ["create", "update", "delete"] {
            needed.push(("", "secrets", verb));
        }
    }
    needed
}

/// Whether we may do this in our namespace.
pub(crate) async fn may(cluster: &Cluster, group: &str, resource: &str, verb: &str) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({"spec": {"resourceAttributes": {
        "namespace": cluster.namespace, "group": group, "resource": resource, "subresource": subresource, "verb": verb,
    }}});
    let review: SelfSubjectAccessReview = crate::anchor::object(review)?;
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|e| error::of_api("ask for our permissions", e))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

pub(crate) async fn validate(config: &KubernetesConfig, spec: &ExperimentSpec) -> Result<Warnings> {
    let cluster = access::cluster(&config.access).await?;
    let served = kinds::discover(&cluster, config.kind, config.api_version.as_deref()).await?;
    let mut warnings = Warnings::new();
    if served.is_other
        && let Some(wanted) = &config.api_version
    {
        let version = &served.resource.version;
        warnings.push(
            Warning::new(format!(
                "the cluster does not serve `{wanted}` of {}; `{version}` is used",
                config.kind.kind()
            ))
            .with_key("apiVersion")
            .with_help(format!("write `apiVersion: {version}`, or remove the key")),
        );
    }
    missing_permissions(config, &cluster).await?;
    named_things(config, &cluster).await?;
    let trial = TrialSpec::new(spec, RandomIds.trial(), 0, Parameters::new("{}"));
    let blueprint = submit::blueprint(config, &trial, "sha256:0", &served.resource.version, None);
    // A TrainJob is refused as long as its runtime is not there; what can be wrong is in the runtime.
    let (api, object) = match config.runtime() {
        Some(name) => {
            let base = kinds::runtime(&cluster, &served.resource, name).await?;
            let runtimes = kinds::runtimes(&cluster, &served.resource);
            (runtimes, object::runtime(&blueprint, &base)?)
        }
        None => (kinds::api(&cluster, &served.resource), object::object(&blueprint)?),
    };
    let object: DynamicObject = crate::anchor::object(object)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match api.create(&dry, &object).await {
        Ok(_) => {}
        // Webhooks of the first version of their interface may refuse to look at what is only tried.
        Err(kube::Error::Api(status)) if status.message.contains("does not support dry run") => {}
        // Full now does not mean full when trials start.
        Err(kube::Error::Api(status)) if error::is_quota(&status.message) => {
            warnings.push(Warning::new(format!("no trial could start now: {}", status.message)));
        }
        Err(e) => return Err(error::of_api("create a trial's object", e)),
    }
    Ok(warnings)
}

async fn missing_permissions(config: &KubernetesConfig, cluster: &Cluster) -> Result<()> {
    let asked = permissions(config)
        .into_iter()
        .map(|(group, resource, verb)| async move {
            may(cluster, group, resource, verb)
                .await
                .map(|may| (!may).then(|| describe(group, resource, verb)))
        });
    let answers = futures_util::future::try_join_all(asked).await?;
    let missing: Vec<String> = answers.into_iter().flatten().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Denied,
        format!(
            "permissions are missing in namespace `{}`: {}",
            cluster.namespace,
            missing.join(", ")
        ),
    )
    .with_help("the platform's README has a Role with all that is needed"))
}

pub(crate) fn describe(group: &str, resource: &str, verb: &str) -> String {
    if group.is_empty() {
        format!("{verb} {resource}")
    } else {
        format!("{verb} {resource}.{group}")
    }
}

/// What the configuration names and the cluster must have; what we may not look at is left to the cluster.
async fn named_things(config: &KubernetesConfig, cluster: &Cluster) -> Result<()> {
    let (client, namespace) = (&cluster.client, &cluster.namespace);
    if let Some(storage) = &config.storage
        && let StorageKind::Claim { name, .. } = &storage.kind
    {
        let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
        there(
            claims.get_metadata(name).await,
            "PersistentVolumeClaim",
            name,
            namespace,
            "storage.claimName",
        )?;
    }
    if let Some(account) = &config.pods.service_account {
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
        there(
            accounts.get_metadata(account).await,
            "ServiceAccount",
            account,
            namespace,
            "serviceAccountName",
        )?;
    }
    let named = [
        ("imagePullSecrets", &config.pods.image_pull_secrets),
        ("envFromSecrets", &config.pods.env_from_secrets),
    ];
    for (key, secrets) in named {
        for name in secrets {
            let api = Api::<Secret>::namespaced(client.clone(), namespace);
            there(api.get_metadata(name).await, "Secret", name, namespace, key)?;
        }
    }
    Ok(())
}

fn there<T>(answer: kube::Result<T>, kind: &str, name: &str, namespace: &str, key: &str) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::new(
            ErrorKind::NotFound,
            format!("namespace `{namespace}` has no {kind} `{name}`"),
        )
        .with_key(key)
        .with_help("create it, or correct the name")),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(e) => Err(error::of_api(&format!("look for {kind} `{name}`"), e)),
        Ok(_) => Ok(()),
    }
}

/// How many pods a trial has, for people.
pub(crate) fn n_pods(roles: &[Role]) -> u32 {
    roles.iter().map(|role| role.replicas).sum()
}
