//! Requests made from the description: fitting ones, and ones with one flaw.

use crate::schema::{resolved, wrong};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A method of a path.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) described: Value,
}

impl Operation {
    pub(crate) fn is_stream(&self) -> bool {
        self.described["responses"]["200"]["content"]["text/event-stream"].is_object()
    }

    pub(crate) fn all(document: &Value) -> Vec<Self> {
        let paths = document["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(|(method, described)| Self {
                method: method.to_uppercase(),
                path: path.clone(),
                described: described.clone(),
            })
        });
        all.collect()
    }
}

/// A request, and whether it is as described.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) is_fitting: bool,
}

/// One thing that a request may hold: a parameter, or the body.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    place: String,
    is_required: bool,
    schema: Value,
}

impl Part {
    fn all(operation: &Operation) -> Vec<Self> {
        let parameters = operation.described["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut parts: Vec<Self> = parameters
            .into_iter()
            .map(|parameter| Self {
                name: parameter["name"].as_str().unwrap().to_owned(),
                place: parameter["in"].as_str().unwrap().to_owned(),
                is_required: parameter["required"] == true,
                schema: parameter["schema"].clone(),
            })
            .collect();
        let body = &operation.described["requestBody"];
        if body.is_object() {
            parts.push(Self {
                name: "body".into(),
                place: "body".into(),
                is_required: true,
                schema: body["content"]["application/json"]["schema"].clone(),
            });
        }
        parts
    }
}

fn any_json() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".*", inner, 0..4).prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
    .boxed()
}

/// Values that a schema allows.
fn fitting(document: &Value, schema: &Value) -> BoxedStrategy<Value> {
    let schema = resolved(document, schema).clone();
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    if let Some(types) = schema["type"].as_array() {
        let ways = types.iter().map(|kind| {
            let mut one = schema.clone();
            one["type"] = kind.clone();
            fitting(document, &one)
        });
        return proptest::strategy::Union::new(ways).boxed();
    }
    match schema["type"].as_str() {
        Some("integer") => {
            let (least, most) = (schema["minimum"].as_u64().unwrap(), schema["maximum"].as_u64().unwrap());
            prop_oneof![Just(least), Just(most), least..=most]
                .prop_map(Value::from)
                .boxed()
        }
        Some("string") => ".*".prop_map(Value::from).boxed(),
        Some("null") => Just(Value::Null).boxed(),
        Some("array") => {
            let least = usize::try_from(schema["minItems"].as_u64().unwrap_or(0)).unwrap();
            vec(fitting(document, &schema["items"]), least..4)
                .prop_map(Value::from)
                .boxed()
        }
        Some("object") if schema["properties"].is_object() => {
            let members = schema["properties"].as_object().unwrap().iter().map(|(name, member)| {
                let name = name.clone();
                let value = fitting(document, member);
                let is_required = schema["required"]
                    .as_array()
                    .is_some_and(|all| all.contains(&json!(name)));
                let value = if is_required {
                    value.prop_map(Some).boxed()
                } else {
                    option::of(value).boxed()
                };
                value.prop_map(move |value| value.map(|value| (name.clone(), value)))
            });
            members
                .collect::<Vec<_>>()
                .prop_map(|members| members.into_iter().flatten().collect::<Map<_, _>>().into())
                .boxed()
        }
        Some("object") => proptest::collection::btree_map(".*", any_json(), 0..4)
            .prop_map(|map| Value::from(Map::from_iter(map)))
            .boxed(),
        other => panic!("requests hold no {other:?}"),
    }
}

/// The same value with its whole numbers in digits alone, for the server takes `3.0` and `-0.0` for whole numbers, too.
fn in_digits(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap();
            // Adding nothing takes the sign off a zero.
            let whole: Value = serde_json::from_str(&format!("{:.0}", number + 0.0)).unwrap();
            let is_whole = number.fract() == 0.0 && !whole.is_f64();
            if is_whole { whole } else { value.clone() }
        }
        Value::Array(items) => items.iter().map(in_digits).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), in_digits(member)))
            .collect(),
        other => other.clone(),
    }
}

/// Values that a schema does not allow, in a body or as text; none where it allows everything. What a narrowed description leaves
/// out is no flaw for the server.
fn flawed(document: &Value, narrowed: &Value, part: &Part) -> Option<BoxedStrategy<Value>> {
    if part.place == "body" {
        let (document, schema) = (document.clone(), part.schema.clone());
        let misfits = prop_oneof![any_json(), spoiled(narrowed, &part.schema)].prop_filter("it fits", move |value| {
            !wrong(&document, &schema, &in_digits(value), "").is_empty()
        });
        return Some(misfits.boxed());
    }
    let schema = resolved(document, &part.schema);
    if let Some(values) = schema["enum"].as_array() {
        let values = values.clone();
        return Some(
            ".+".prop_map(Value::from)
                .prop_filter("one of them", move |text| !values.contains(text))
                .boxed(),
        );
    }
    match schema["type"].as_str() {
        Some("integer") => {
            let (least, most) = (schema["minimum"].as_i64().unwrap(), schema["maximum"].as_u64().unwrap());
            let texts = prop_oneof![
                Just((least - 1).to_string()),
                Just((most + 1).to_string()),
                Just(format!("{least}.5")),
                Just(format!("{most}0000000000000000000000")),
                ".*".prop_filter("a number", |text| text.parse::<f64>().is_err()),
            ];
            Some(texts.prop_map(Value::from).boxed())
        }
        Some("array") => {
            let item = Part {
                schema: schema["items"].clone(),
                ..part.clone()
            };
            let bad = flawed(document, narrowed, &item)?;
            let good = vec(fitting(document, &schema["items"]), 0..3);
            let mixed = (good, bad).prop_map(|(mut items, bad)| {
                items.push(bad);
                Value::from(items)
            });
            Some(mixed.boxed())
        }
        _ => None,
    }
}

/// Values that fit but for one member, at any depth.
fn spoiled(document: &Value, schema: &Value) -> BoxedStrategy<Value> {
    let at = any::<prop::sample::Index>();
    (fitting(document, schema), ".*", any_json(), at, any::<bool>())
        .prop_map(|(mut value, name, other, at, is_deep)| {
            let mut members = value.as_object().into_iter().flatten();
            let deeper = members
                .find(|(_, member)| member.is_object())
                .map(|(name, _)| name.clone());
            let map = match deeper.filter(|_| is_deep) {
                Some(name) => value[&name].as_object_mut(),
                None => value.as_object_mut(),
            };
            if let Some(map) = map {
                let names: Vec<String> = map.keys().cloned().chain([name]).collect();
                map.insert(at.get(&names).clone(), other);
            }
            value
        })
        .boxed()
}

/// As it stands in an address.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            other => write!(out, "%{other:02x}").unwrap(),
        }
        out
    })
}

/// Requests of an operation, of which `ids` are trials: fitting ones as `narrowed` allows, which asks for less than `document`
/// does, and ones that `document` does not allow.
pub(crate) fn asked(document: &Value, narrowed: &Value, operation: &Operation, ids: &[String]) -> BoxedStrategy<Asked> {
    let parts = Part::all(operation);
    let good: Vec<BoxedStrategy<Option<Value>>> = parts
        .iter()
        .map(|part| {
            let value = match (part.place.as_str(), part.name.as_str()) {
                ("path", "id") => prop_oneof![
                    3 => select(ids.to_vec()).prop_map(Value::from),
                    1 => ".*".prop_map(Value::from),
                ]
                .boxed(),
                _ => fitting(narrowed, &part.schema),
            };
            if part.is_required {
                value.prop_map(Some).boxed()
            } else {
                option::of(value).boxed()
            }
        })
        .collect();
    let mut ways = vec![(2, asked_with(operation, &parts, good.clone(), true))];
    for (at, part) in parts.iter().enumerate() {
        if let Some(bad) = flawed(document, narrowed, part) {
            let mut values = good.clone();
            values[at] = bad.prop_map(Some).boxed();
            ways.push((1, asked_with(operation, &parts, values, false)));
        }
    }
    proptest::strategy::Union::new_weighted(ways).boxed()
}

fn asked_with(
    operation: &Operation,
    parts: &[Part],
    values: Vec<BoxedStrategy<Option<Value>>>,
    is_fitting: bool,
) -> BoxedStrategy<Asked> {
    let (operation, parts) = (operation.clone(), parts.to_vec());
    values
        .prop_map(move |values| {
            let (mut path, mut query, mut body) = (operation.path.clone(), Vec::new(), Vec::new());
            for (part, value) in parts.iter().zip(values) {
                let Some(value) = value else { continue };
                match part.place.as_str() {
                    "path" => path = path.replace(&format!("{{{}}}", part.name), &escaped(&text_of(&value))),
                    "query" => query.push(format!("{}={}", part.name, escaped(&text_of(&value)))),
                    _ => body = value.to_string().into_bytes(),
                }
            }
            if !query.is_empty() {
                path = format!("{path}?{}", query.join("&"));
            }
            Asked {
                operation: operation.clone(),
                path,
                body,
                is_fitting,
            }
        })
        .boxed()
}
