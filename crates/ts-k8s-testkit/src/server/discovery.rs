//! What the server says of itself: its version, its health, the groups, versions and kinds that it serves.
//!
//! Source: answers of kube-apiserver v1.20.2, observed.

use super::call::Place;
use super::failure::Failure;
use super::kinds::Kind;
use super::setting::Setting;
use super::world::World;
use serde_json::{Value, json};

/// The answer to a path that is none of a resource's; `None` if the path is one.
pub(crate) fn answer(world: &World, setting: &Setting, path: &str) -> Option<Result<Value, Failure>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Some(match parts.as_slice() {
        [] => Ok(json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"]})),
        ["version"] => Ok(version(setting)),
        ["api"] => Ok(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(world)})),
        ["apis", group] => groups(world)
            .into_iter()
            .find(|found| found["name"] == *group)
            .map(|mut found| {
                found["kind"] = "APIGroup".into();
                found["apiVersion"] = "v1".into();
                found
            })
            .ok_or_else(Failure::page_not_found),
        _ => {
            let place = Place::parse(path)?;
            if !place.plural.is_empty() {
                return None;
            }
            resources(world, &place)
        }
    })
}

fn version(setting: &Setting) -> Value {
    json!({"major": "1", "minor": setting.minor().to_string(), "gitVersion": format!("v{}", setting.version),
        "gitCommit": "faecb196815e248d3ecfb03c680a4507229c2a56", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.19.8", "compiler": "gc", "platform": "linux/amd64"})
}

fn groups(world: &World) -> Vec<Value> {
    let mut groups: Vec<(String, Vec<String>)> = vec![("authorization.k8s.io".to_owned(), vec!["v1".to_owned()])];
    for kind in world.kinds.iter().filter(|kind| !kind.group.is_empty()) {
        match groups.iter_mut().find(|(name, _)| *name == kind.group) {
            Some((_, versions)) => {
                let new: Vec<String> = kind
                    .versions
                    .iter()
                    .filter(|version| !versions.contains(version))
                    .cloned()
                    .collect();
                versions.extend(new);
            }
            None => groups.push((kind.group.clone(), kind.versions.clone())),
        }
    }
    groups
        .into_iter()
        .map(|(name, versions)| {
            let all: Vec<Value> = versions
                .iter()
                .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
                .collect();
            json!({"name": name, "versions": all, "preferredVersion": all[0]})
        })
        .collect()
}

fn resources(world: &World, place: &Place) -> Result<Value, Failure> {
    let mut entries = Vec::new();
    if place.group == "authorization.k8s.io" && place.version == "v1" {
        entries.push(
            json!({"name": "selfsubjectaccessreviews", "singularName": "", "namespaced": false,
            "kind": "SelfSubjectAccessReview", "verbs": ["create"]}),
        );
    }
    for kind in served(world, place) {
        let mut verbs = vec!["create", "delete", "get", "list", "patch", "update", "watch"];
        if kind.deletes_collections() {
            verbs.insert(2, "deletecollection");
        }
        let singular = if kind.custom() {
            kind.kind.to_lowercase()
        } else {
            String::new()
        };
        entries.push(
            json!({"name": kind.plural, "singularName": singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": verbs}),
        );
        for name in kind.subresources() {
            let (of, verbs): (&str, &[&str]) = match name {
                "binding" => ("Binding", &["create"]),
                "eviction" => ("Eviction", &["create"]),
                "exec" => ("PodExecOptions", &["create", "get"]),
                "log" => ("Pod", &["get"]),
                _ => (&kind.kind, &["get", "patch", "update"]),
            };
            entries.push(json!({"name": format!("{}/{name}", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": of, "verbs": verbs}));
        }
    }
    if entries.is_empty() {
        return Err(unserved(world, place));
    }
    let version = if place.group.is_empty() {
        place.version.clone()
    } else {
        format!("{}/{}", place.group, place.version)
    };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": version, "resources": entries});
    if !place.group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Ok(list)
}

fn served<'a>(world: &'a World, place: &Place) -> impl Iterator<Item = &'a Kind> {
    let (group, version) = (place.group.clone(), place.version.clone());
    world
        .kinds
        .iter()
        .map(AsRef::as_ref)
        .filter(move |kind| kind.group == group && kind.versions.contains(&version))
}

/// The refusal of a path whose kind is not served. Groups of the server itself know their kinds; all else is no path at all.
pub(crate) fn unserved(world: &World, place: &Place) -> Failure {
    let own = |kind: &Kind| !kind.custom() && kind.group == place.group;
    let known = place.group == "authorization.k8s.io" || world.kinds.iter().any(|kind| own(kind));
    if known {
        Failure::unknown_resource()
    } else {
        Failure::page_not_found()
    }
}
