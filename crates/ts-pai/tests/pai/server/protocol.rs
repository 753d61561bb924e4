//! The job protocol, version 2: what a document must be like, and what becomes of its commands.
//!
//! Sources: microsoft/openpai-protocol, `schemas/v2/schema.yaml`; microsoft/pai v1.8, `src/rest-server/src/config/v2/protocol.js`
//! (schema) and `src/rest-server/src/middlewares/v2/protocol.js` (`protocolValidate`, `protocolRender`, `render`).

use serde_json::{Map, Value, json};

/// A document that is right, with its commands joined and filled in, by role.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    pub(crate) virtual_cluster: String,
    pub(crate) storages: Vec<String>,
    pub(crate) roles: Vec<Role>,
}

#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) instances: u64,
    pub(crate) min_failed: i64,
    pub(crate) min_succeeded: i64,
    pub(crate) entrypoint: String,
}

/// Keys that a document may have.
const TOP: [&str; 14] = [
    "protocolVersion",
    "name",
    "type",
    "version",
    "contributor",
    "description",
    "prerequisites",
    "parameters",
    "secrets",
    "jobRetryCount",
    "taskRoles",
    "deployments",
    "defaults",
    "extras",
];

/// `Err`: the message of `InvalidProtocolError`.
pub(crate) fn read(text: &str) -> Result<Protocol, String> {
    // body-parser gives `{}` for a body that is no text.
    let document: Value = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
    let mut faults = Faults::default();
    let empty = Map::new();
    let top = document.as_object().unwrap_or(&empty);
    if !document.is_object() {
        faults.add("", "should be object");
    }
    for key in ["protocolVersion", "name", "type", "taskRoles"] {
        if !top.contains_key(key) {
            faults.add("", format!("should have required property '{key}'"));
        }
    }
    faults.only(top, "", &TOP);
    if top
        .get("protocolVersion")
        .is_some_and(|v| *v != json!(2) && *v != json!("2"))
    {
        faults.add(".protocolVersion", "should be equal to one of the allowed values");
    }
    if top.get("type").is_some_and(|v| *v != json!("job")) {
        faults.add(".type", "should be equal to one of the allowed values");
    }
    let name = top.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_name) {
        faults.add(".name", "should match pattern \"^[a-zA-Z0-9_-]+$\"");
    }
    if name.len() > 255 {
        faults.add(".name", "should NOT be longer than 255 characters");
    }
    if top
        .get("jobRetryCount")
        .is_some_and(|v| v.as_i64().is_none_or(|n| n < 0))
    {
        faults.add(".jobRetryCount", "should be integer");
    }
    let images = prerequisites(top, &mut faults);
    for key in ["parameters", "secrets", "defaults", "extras"] {
        if top.get(key).is_some_and(|v| !v.is_object()) {
            faults.add(&format!(".{key}"), "should be object");
        }
    }
    let roles = top.get("taskRoles").and_then(Value::as_object).unwrap_or(&empty);
    if top.contains_key("taskRoles") && roles.is_empty() {
        faults.add(".taskRoles", "should NOT have fewer than 1 properties");
    }
    for (key, role) in roles {
        check_role(key, role, &mut faults);
    }
    faults.into_result()?;
    // After the schema: `protocolValidate`.
    for (index, image) in images.iter().enumerate() {
        if images[..index].contains(image) {
            return Err(format!("Duplicate dockerimage prerequisites {image}."));
        }
    }
    for role in roles.values() {
        let image = role["dockerImage"].as_str().unwrap_or_default();
        if !images.iter().any(|name| name == image) {
            return Err(format!("Prerequisite {image} does not exist."));
        }
    }
    if let Some(hived) = document["extras"].get("hivedScheduler") {
        // `Object.keys(hivedConfig.taskRoles)` throws where it is missing.
        let of = hived
            .get("taskRoles")
            .and_then(Value::as_object)
            .ok_or("Cannot convert undefined or null to object")?;
        if let Some(unknown) = of.keys().find(|key| !roles.contains_key(*key)) {
            return Err(format!("Hived error: {unknown} does not exist."));
        }
        let priority = hived["jobPriorityClass"].as_str();
        if !matches!(priority, None | Some("prod" | "test" | "oppo")) {
            return Err("Hived error: unknown jobPriorityClass.".to_owned());
        }
    }
    let storages = document["extras"]["storages"].as_array().into_iter().flatten();
    Ok(Protocol {
        virtual_cluster: document["defaults"]["virtualCluster"]
            .as_str()
            .unwrap_or("default")
            .to_owned(),
        storages: storages.filter_map(|s| s["name"].as_str()).map(str::to_owned).collect(),
        roles: roles.iter().map(|(key, role)| rendered(key, role, &document)).collect(),
        name,
    })
}

fn prerequisites(top: &Map<String, Value>, faults: &mut Faults) -> Vec<String> {
    let Some(list) = top.get("prerequisites") else {
        return Vec::new();
    };
    let items = list.as_array().cloned().unwrap_or_default();
    if items.is_empty() {
        faults.add(".prerequisites", "should NOT have fewer than 1 items");
    }
    for item in &items {
        let kind = item["type"].as_str().unwrap_or_default();
        let is_good = matches!(kind, "script" | "output" | "data" | "dockerimage")
            && item["name"].is_string()
            && (item["uri"].is_string() || kind == "data" && item["uri"].is_array());
        if !is_good {
            faults.add(".prerequisites", "should match exactly one schema in oneOf");
        }
    }
    let images = items.iter().filter(|item| item["type"] == "dockerimage");
    images
        .filter_map(|item| item["name"].as_str())
        .map(str::to_owned)
        .collect()
}

/// Keys that a task role may have.
const ROLE: [&str; 11] = [
    "protocolVersion",
    "instances",
    "completion",
    "taskRetryCount",
    "dockerImage",
    "data",
    "output",
    "script",
    "extraContainerOptions",
    "resourcePerInstance",
    "commands",
];

fn check_role(key: &str, role: &Value, faults: &mut Faults) {
    let place = format!(".taskRoles['{key}']");
    let mut letters = key.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        faults.add(".taskRoles", "should NOT have additional properties");
    }
    let empty = Map::new();
    let map = role.as_object().unwrap_or(&empty);
    faults.only(map, &place, &ROLE);
    for required in ["dockerImage", "resourcePerInstance", "commands"] {
        if !map.contains_key(required) {
            faults.add(&place, format!("should have required property '{required}'"));
        }
    }
    if map.get("instances").is_some_and(|n| n.as_u64().is_none_or(|n| n < 1)) {
        faults.add(&format!("{place}.instances"), "should be >= 1");
    }
    if map.get("taskRetryCount").is_some_and(|n| n.as_i64().is_none()) {
        faults.add(&format!("{place}.taskRetryCount"), "should be integer");
    }
    for amount in ["cpu", "memoryMB", "gpu"] {
        if map
            .get("resourcePerInstance")
            .is_some_and(|r| r[amount].as_i64().is_none())
        {
            faults.add(&format!("{place}.resourcePerInstance.{amount}"), "should be integer");
        }
    }
    let commands = map.get("commands").and_then(Value::as_array);
    if map.contains_key("commands") && commands.is_none_or(|list| list.is_empty() || !list.iter().all(Value::is_string))
    {
        faults.add(&format!("{place}.commands"), "should NOT have fewer than 1 items");
    }
}

fn rendered(key: &str, role: &Value, document: &Value) -> Role {
    let commands = role["commands"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::trim);
    let entrypoint = fill(&commands.collect::<Vec<_>>().join("\n"), document);
    let instances = role["instances"].as_u64().unwrap_or(1);
    let completion = |name: &str| role["completion"][name].as_i64().filter(|n| *n != 0);
    Role {
        name: key.to_owned(),
        instances,
        min_failed: completion("minFailedInstances").unwrap_or(1),
        min_succeeded: completion("minSucceededInstances").unwrap_or(i64::try_from(instances).expect("few")),
        entrypoint,
    }
}

/// `<% $parameters.x %>` and the like; what is not known becomes nothing.
fn fill(text: &str, document: &Value) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<%") {
        let Some(end) = rest[at..].find("%>") else { break };
        out.push_str(&rest[..at]);
        let tag = rest[at + 2..at + end].trim();
        let mut path = tag.trim_start_matches('$').split('.');
        let root = path.next().unwrap_or_default();
        let value = path.fold(&document[root], |value, key| &value[key]);
        match value {
            Value::String(text) => out.push_str(text),
            Value::Null => {}
            other => out.push_str(&other.to_string()),
        }
        rest = &rest[at + end + 2..];
    }
    out.push_str(rest);
    out.trim().to_owned()
}

/// ajv's list of errors.
#[derive(Default)]
struct Faults(Vec<Value>);

impl Faults {
    fn add(&mut self, place: &str, message: impl Into<String>) {
        self.0.push(
            json!({"keyword": "x", "dataPath": place, "schemaPath": "#", "params": {}, "message": message.into()}),
        );
    }
    fn only(&mut self, map: &Map<String, Value>, place: &str, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            self.add(place, format!("should NOT have additional properties ({key})"));
        }
    }
    fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Value::Array(self.0).to_string())
        }
    }
}
