//! The kinds themselves: definitions as their operators bring them, cut to the release that is played.

use super::{
    options::{Generation, Minor, Options},
    value::{list, section, text},
};
use kube::{
    Api, Client, Error,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use std::{error, fmt, time::Duration};
use tokio::time::Instant;

/// How long a definition may take until its kind is served.
const ESTABLISHED: Duration = Duration::from_secs(30);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the kinds could not be installed.
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// The server refused a definition, or could not be reached.
    Refused {
        /// Name of the definition.
        name: String,
        /// What the server or the connection said.
        source: Box<Error>,
    },
    /// A kind was not served in time.
    NotEstablished {
        /// Name of the definition.
        name: String,
    },
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { name, .. } => write!(f, "could not install `{name}`"),
            Self::NotEstablished { name } => {
                write!(f, "`{name}` is still not served after {} s", ESTABLISHED.as_secs())
            }
        }
    }
}

impl error::Error for InstallError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::NotEstablished { .. } => None,
        }
    }
}

/// Installs the kinds of the operators that `options` names, waits until they are served, and installs the runtime
/// `torch-distributed` where Kubeflow Trainer is among them. What is already there is replaced.
///
/// # Errors
/// When the server refuses, is not reached, or takes longer than 30 s.
pub async fn install_crds(client: &Client, options: &Options) -> Result<(), InstallError> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
    ));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let definitions = definitions(options);
    for definition in &definitions {
        put(&api, definition).await?;
    }
    for definition in &definitions {
        wait_until_established(&api, text(definition, "/metadata/name")).await?;
    }
    if options.trainer.is_some() {
        let resource = super::plan::Kind::ClusterTrainingRuntime.resource();
        put(
            &Api::all_with(client.clone(), &resource),
            &read(include_str!("../../crds/torch-distributed.yaml")),
        )
        .await?;
    }
    Ok(())
}

async fn put(api: &Api<DynamicObject>, object: &Value) -> Result<(), InstallError> {
    let name = text(object, "/metadata/name");
    let refused = |source| InstallError::Refused {
        name: name.to_owned(),
        source: Box::new(source),
    };
    let mut body: DynamicObject = serde_json::from_value(object.clone()).expect("a whole object");
    let params = PostParams::default();
    let deadline = Instant::now() + ESTABLISHED;
    loop {
        match api.create(&params, &body).await {
            Err(Error::Api(status)) if status.code == 409 => {}
            // A kind that has just become known may take a moment until it can be written.
            Err(Error::Api(status)) if status.code == 404 && Instant::now() < deadline => {
                tokio::time::sleep_until(Instant::now() + PAUSE).await;
                continue;
            }
            answer => return answer.map(drop).map_err(refused),
        }
        let known = api.get(name).await.map_err(refused)?;
        body.metadata.resource_version = known.metadata.resource_version;
        match api.replace(name, &params, &body).await {
            Err(Error::Api(status)) if status.code == 409 => body.metadata.resource_version = None,
            answer => return answer.map(drop).map_err(refused),
        }
    }
}

async fn wait_until_established(api: &Api<DynamicObject>, name: &str) -> Result<(), InstallError> {
    let deadline = Instant::now() + ESTABLISHED;
    loop {
        let found = api.get(name).await;
        let found = found.map_err(|source| InstallError::Refused {
            name: name.to_owned(),
            source: Box::new(source),
        })?;
        let mut conditions = list(&found.data, "/status/conditions").iter();
        if conditions.any(|entry| text(entry, "/type") == "Established" && text(entry, "/status") == "True") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(InstallError::NotEstablished { name: name.to_owned() });
        }
        tokio::time::sleep_until(Instant::now() + PAUSE).await;
    }
}

/// The definitions of the kinds that `options` asks for.
fn definitions(options: &Options) -> Vec<Value> {
    let mut definitions = Vec::new();
    if let Some(generation) = options.tf {
        definitions.push(training(read(include_str!("../../crds/tfjobs.yaml")), generation));
    }
    if let Some(generation) = options.pytorch {
        definitions.push(training(read(include_str!("../../crds/pytorchjobs.yaml")), generation));
    }
    if options.frameworks {
        definitions.push(read(include_str!("../../crds/frameworks.yaml")));
    }
    if let Some(minor) = options.trainer {
        definitions.push(read(include_str!("../../crds/clustertrainingruntimes.yaml")));
        definitions.push(read(include_str!("../../crds/trainingruntimes.yaml")));
        definitions.push(trainer(read(include_str!("../../crds/trainjobs.yaml")), minor));
    }
    definitions
}

fn read(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).expect("a file of this crate")
}

/// Schema of `spec` in the first version of a definition.
const SPEC: [&str; 5] = ["schema", "openAPIV3Schema", "properties", "spec", "properties"];

/// The old operators also serve `v1beta2`, and keep fields that they do not know.
fn training(mut definition: Value, generation: Generation) -> Value {
    let version = &mut definition["spec"]["versions"][0];
    let spec = section(version, &SPEC);
    match generation {
        Generation::TrainingOperator => {
            for limit in [
                "activeDeadlineSeconds",
                "backoffLimit",
                "cleanPodPolicy",
                "ttlSecondsAfterFinished",
            ] {
                spec.remove(limit);
            }
        }
        Generation::Old => {
            spec.remove("runPolicy");
            section(version, &SPEC[..4]).insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
            let mut older = version.clone();
            older["name"] = json!("v1beta2");
            older["storage"] = json!(false);
            super::value::list_mut(&mut definition["spec"], "versions").push(older);
        }
    }
    definition
}

fn trainer(mut definition: Value, minor: Minor) -> Value {
    let spec = section(&mut definition["spec"]["versions"][0], &SPEC);
    for (field, of) in [
        ("podSpecOverrides", Minor::V2_0),
        ("podTemplateOverrides", Minor::V2_1),
        ("runtimePatches", Minor::V2_2),
        ("activeDeadlineSeconds", Minor::V2_2),
    ] {
        if of != minor {
            spec.remove(field);
        }
    }
    if minor >= Minor::V2_2 {
        spec.remove("labels");
        spec.remove("annotations");
        spec["trainer"]["properties"]["numProcPerNode"] = json!({ "type": "integer", "format": "int32" });
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec_fields(definition: &Value) -> Vec<&str> {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        super::super::value::members(schema, "/properties/spec/properties")
            .map(|(field, _)| field)
            .collect()
    }

    #[test]
    fn every_definition_is_named_after_its_plural_and_group() {
        let options = Options {
            tf: Some(Generation::Old),
            pytorch: Some(Generation::TrainingOperator),
            frameworks: true,
            trainer: Some(Minor::V2_1),
            ..Options::default()
        };
        let definitions = definitions(&options);
        assert_eq!(definitions.len(), 6);
        for definition in definitions {
            let (plural, group) = (
                text(&definition, "/spec/names/plural"),
                text(&definition, "/spec/group"),
            );
            assert_eq!(text(&definition, "/metadata/name"), format!("{plural}.{group}"));
        }
    }

    #[test]
    fn generations_differ_in_versions_and_limits() {
        let of = |generation| {
            definitions(&Options {
                tf: Some(generation),
                ..Options::default()
            })
            .remove(0)
        };
        let old = of(Generation::Old);
        let versions: Vec<&str> = list(&old, "/spec/versions")
            .iter()
            .map(|version| text(version, "/name"))
            .collect();
        assert_eq!(versions, ["v1", "v1beta2"]);
        assert!(spec_fields(&old).contains(&"backoffLimit") && !spec_fields(&old).contains(&"runPolicy"));
        let new = of(Generation::TrainingOperator);
        assert_eq!(list(&new, "/spec/versions").len(), 1);
        assert!(!spec_fields(&new).contains(&"backoffLimit") && spec_fields(&new).contains(&"runPolicy"));
    }

    #[test]
    fn a_client_can_tell_the_minor_by_the_schema() {
        let probes = ["podSpecOverrides", "podTemplateOverrides", "runtimePatches"];
        for (minor, expected) in [
            (Minor::V2_0, probes[0]),
            (Minor::V2_1, probes[1]),
            (Minor::V2_2, probes[2]),
        ] {
            let definition = definitions(&Options {
                trainer: Some(minor),
                ..Options::default()
            })
            .pop()
            .unwrap();
            let found: Vec<&str> = spec_fields(&definition)
                .into_iter()
                .filter(|field| probes.contains(field))
                .collect();
            assert_eq!(found, [expected]);
        }
    }
}
