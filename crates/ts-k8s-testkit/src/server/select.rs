//! Selectors: which objects a list or watch is about, by labels and by the few fields that a kind lets one select by.

use super::failure::Failure;
use super::kinds::Kind;
use super::names;
use serde_json::Value;

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// What a list or watch selects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<Label>,
    /// Path, wanted value, whether they must be equal.
    fields: Vec<(String, String, bool)>,
}

impl Selector {
    /// From the parameters `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Failure> {
        Ok(Self {
            labels: parse_labels(labels)?,
            fields: parse_fields(kind, fields)?,
        })
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object is selected.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        let by_label = self.labels.iter().all(|one| match one {
            Label::In(key, values) => label(key).is_some_and(|value| values.iter().any(|one| one == value)),
            Label::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|one| one != value)),
            Label::Exists(key) => label(key).is_some(),
            Label::Absent(key) => label(key).is_none(),
        });
        by_label
            && self
                .fields
                .iter()
                .all(|(path, wanted, equal)| (field(object, path) == *wanted) == *equal)
    }
}

fn field(object: &Value, path: &str) -> String {
    // Source: kubernetes v1.20, `pkg/registry/core/event/strategy.go`: `source` is the component.
    let path = if path == "source" { "source.component" } else { path };
    match object.pointer(&format!("/{}", path.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => yes.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Source: kubernetes v1.20, `AddFieldLabelConversionsFor*` in `pkg/apis/core/v1/conversion.go`, and `batch/v1`.
fn selectable(kind: &Kind) -> &'static [&'static str] {
    if kind.custom() {
        return &[];
    }
    match kind.kind.as_str() {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "source",
            "type",
        ],
        "Secret" => &["type"],
        "Node" => &["spec.unschedulable"],
        "Namespace" => &["status.phase"],
        "Job" => &["status.successful"],
        _ => &[],
    }
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<(String, String, bool)>, Failure> {
    let mut fields = Vec::new();
    for one in text.split(',').filter(|one| !one.is_empty()) {
        let (path, value, equal) = if let Some((path, value)) = one.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = one.split_once("==").or_else(|| one.split_once('=')) {
            (path, value, true)
        } else {
            return Err(Failure::bad_request(format!(
                "invalid selector: '{text}'; can't understand '{one}'"
            )));
        };
        if !matches!(path, "metadata.name" | "metadata.namespace") && !selectable(kind).contains(&path) {
            return Err(Failure::bad_request(if kind.custom() || !selectable(kind).is_empty() {
                format!("field label not supported: {path}")
            } else {
                format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            }));
        }
        fields.push((path.to_owned(), value.to_owned(), equal));
    }
    Ok(fields)
}

/// Source: kubernetes v1.20, the grammar and messages of `staging/src/k8s.io/apimachinery/pkg/labels/selector.go`.
fn parse_labels(text: &str) -> Result<Vec<Label>, Failure> {
    let mut tokens = Tokens { rest: text };
    let mut labels = Vec::new();
    if text.trim().is_empty() {
        return Ok(labels);
    }
    loop {
        labels.push(requirement(&mut tokens)?);
        match tokens.next().as_deref() {
            None => return Ok(labels),
            Some(",") => {}
            Some(other) => {
                return Err(unparsable(&format!(
                    "found '{other}', expected: ',' or 'end of string'"
                )));
            }
        }
    }
}

fn unparsable(why: &str) -> Failure {
    Failure::bad_request(format!("unable to parse requirement: {why}"))
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Label, Failure> {
    let mut first = tokens.next().unwrap_or_default();
    let absent = first == "!";
    if absent {
        first = tokens.next().unwrap_or_default();
    }
    let key = first;
    if let Some(why) = names::label_key(&key).first() {
        return Err(unparsable(&format!("invalid label key {key:?}: {why}")));
    }
    if absent {
        return Ok(Label::Absent(key));
    }
    let operator = match tokens.peek().as_deref() {
        None | Some(",") => return Ok(Label::Exists(key)),
        Some(operator) => operator.to_owned(),
    };
    tokens.next();
    let (values, negated) = match operator.as_str() {
        "=" | "==" => (vec![tokens.value()], false),
        "!=" => (vec![tokens.value()], true),
        "in" => (tokens.set()?, false),
        "notin" => (tokens.set()?, true),
        other => {
            return Err(unparsable(&format!(
                "found '{other}', expected: '=', '!=', '==', 'in', notin'"
            )));
        }
    };
    for value in &values {
        if let Some(why) = names::label_value(value).first() {
            return Err(unparsable(&format!(
                "invalid label value: {value:?}: at key: {key:?}: {why}"
            )));
        }
    }
    Ok(if negated {
        Label::NotIn(key, values)
    } else {
        Label::In(key, values)
    })
}

struct Tokens<'a> {
    rest: &'a str,
}

impl Tokens<'_> {
    fn peek(&self) -> Option<String> {
        Tokens { rest: self.rest }.next()
    }

    fn next(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let operator = ["==", "!=", "=", "!", ",", "(", ")"]
            .into_iter()
            .find(|one| self.rest.starts_with(one));
        let length = match operator {
            Some(operator) => operator.len(),
            None => self
                .rest
                .find(|c: char| c.is_whitespace() || "=!,()".contains(c))
                .unwrap_or(self.rest.len()),
        };
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(token.to_owned()).filter(|token| !token.is_empty())
    }

    /// The value after `=`, which may be missing.
    fn value(&mut self) -> String {
        match self.peek().as_deref() {
            None | Some(",") => String::new(),
            _ => self.next().unwrap_or_default(),
        }
    }

    fn set(&mut self) -> Result<Vec<String>, Failure> {
        let open = self.next().unwrap_or_default();
        if open != "(" {
            return Err(unparsable(&format!("found '{open}' expected: '('")));
        }
        let mut values = Vec::new();
        loop {
            match self.next().as_deref() {
                Some(")") => return Ok(values),
                Some(",") => {}
                Some(value) => values.push(value.to_owned()),
                None => return Err(unparsable("found '', expected: ',', or ')'")),
            }
        }
    }
}
