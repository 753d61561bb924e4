//! A request as the API understands it: verb, kind, namespace, name, subresource, from method and path. Nothing is looked up but
//! kinds.

use super::auth::Attributes;
use super::failure::Failure;
use super::kinds::Kind;
use super::select::Selector;
use super::store::Key;
use axum::http::Method;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

/// The parameters of a query, in order; some repeat.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    /// The first of the name; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// All of the name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// Whether it is there and not `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(key, value)| key == name && !matches!(value.as_str(), "false" | "0"))
    }

    /// A number, if there is one.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        match self.get(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
        }
    }
}

/// The parts of a path below `/api` or `/apis`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    /// Empty: the path is that of the group's version.
    pub(crate) plural: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Place {
    /// Reads a path; `None` if it is none of resources.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            // Below a namespace, except for its own subresources.
            ["namespaces", namespace, plural, ..] if !["status", "finalize"].contains(plural) => {
                (*namespace, &rest[2..])
            }
            // Authorization sees a namespace as a thing within itself.
            ["namespaces", namespace, ..] => (*namespace, rest.as_slice()),
            _ => ("", rest.as_slice()),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            plural: part(0),
            name: part(1),
            subresource: rest.get(2..).unwrap_or_default().join("/"),
        })
    }

    /// What a method does here.
    pub(crate) fn verb(&self, method: &Method, query: &Query) -> &'static str {
        let one = !self.name.is_empty();
        match (method.as_str(), one) {
            ("GET", true) => "get",
            ("GET", false) if query.flag("watch") => "watch",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "",
        }
    }

    /// Plural name and subresource.
    pub(crate) fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.clone()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }

    /// What authorization decides about.
    pub(crate) fn attributes<'a>(&'a self, verb: &'a str, name: &'a str) -> Attributes<'a> {
        Attributes {
            verb,
            group: &self.group,
            plural: &self.plural,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name,
        }
    }
}

/// A request for a kind that is served.
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    pub(crate) kind: Arc<Kind>,
    pub(crate) place: Place,
    pub(crate) query: Query,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Call {
    /// The namespace of namespaced kinds; `None` when all are meant.
    pub(crate) fn namespace(&self) -> Option<&str> {
        if !self.kind.namespaced {
            return Some("");
        }
        Some(self.place.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }

    /// The key of the named object.
    pub(crate) fn key(&self) -> Key {
        let namespace = self.namespace().unwrap_or_default().to_owned();
        Key {
            kind: self.kind.id(),
            namespace,
            name: self.place.name.clone(),
        }
    }

    /// What the query selects.
    pub(crate) fn selector(&self) -> Result<Selector, Failure> {
        Selector::parse(
            &self.kind,
            self.query.get("labelSelector"),
            self.query.get("fieldSelector"),
        )
    }

    /// `v1`, `batch/v1`: as the path has it.
    pub(crate) fn api_version(&self) -> String {
        self.kind.api_version(&self.place.version)
    }

    /// An object as it is shown on this path.
    pub(crate) fn shown(&self, object: &Value) -> Value {
        let mut object = object.clone();
        object["apiVersion"] = self.api_version().into();
        object["kind"] = self.kind.kind.clone().into();
        object
    }

    /// Whether nothing is to be stored.
    pub(crate) fn dry_run(&self) -> Result<bool, Failure> {
        match self.query.all("dryRun").as_slice() {
            [] => Ok(false),
            [one] if one == "All" => Ok(true),
            other => {
                let options = match self.verb {
                    "patch" => "PatchOptions",
                    "update" => "UpdateOptions",
                    "delete" | "deletecollection" => "DeleteOptions",
                    _ => "CreateOptions",
                };
                let quoted: Vec<String> = other.iter().map(|one| format!("{one:?}")).collect();
                let cause = super::failure::Cause {
                    reason: "FieldValueNotSupported",
                    message: format!(
                        "Unsupported value: []string{{{}}}: supported values: \"All\"",
                        quoted.join(", ")
                    ),
                    field: "dryRun".to_owned(),
                };
                Err(Failure::invalid("meta.k8s.io", options, "", &[cause]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! places {
        ($($test:ident: $path:expr => [$($part:expr),*];)*) => { $(
            #[test]
            fn $test() {
                let place = Place::parse($path).expect("a place");
                let parts = [place.group, place.version, place.namespace, place.plural, place.name, place.subresource];
                assert_eq!(parts, [$($part),*]);
            }
        )* };
    }

    places! {
        version: "/api/v1" => ["", "v1", "", "", "", ""];
        all_namespaces: "/api/v1/pods" => ["", "v1", "", "pods", "", ""];
        collection: "/apis/batch/v1/namespaces/n/jobs" => ["batch", "v1", "n", "jobs", "", ""];
        subresource: "/api/v1/namespaces/n/pods/p/log" => ["", "v1", "n", "pods", "p", "log"];
        namespace: "/api/v1/namespaces/n" => ["", "v1", "n", "namespaces", "n", ""];
        namespace_status: "/api/v1/namespaces/n/status" => ["", "v1", "n", "namespaces", "n", "status"];
        namespaces: "/api/v1/namespaces" => ["", "v1", "", "namespaces", "", ""];
    }

    #[test]
    fn paths_without_resources_are_none() {
        assert_eq!(Place::parse("/version"), None);
        assert_eq!(Place::parse("/apis"), None);
        assert_eq!(Place::parse("/apis/batch"), None);
    }
}
