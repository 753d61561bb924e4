//! A metric as a trial's SDK reports it: parsing and rendering the JSON object inside a journal record.
//!
//! Where the object lies in the journal is the work of [`crate::journal`]; what a value means beyond one number is the
//! tuner's, so values stay opaque text.

pub(crate) mod json;

use std::{fmt, sync::Arc};

use crate::{Error, ErrorKind, Result};

/// What a trial reports. Names as in NNI v2.10, `nni/trial.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum MetricKind {
    /// An intermediate result.
    Periodical,
    /// The final result.
    Final,
    /// A request for the next parameters (multi-phase); carries no value.
    RequestParameter,
}

impl MetricKind {
    /// NNI's name, as in the `type` key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Periodical => "PERIODICAL",
            Self::Final => "FINAL",
            Self::RequestParameter => "REQUEST_PARAMETER",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Periodical, Self::Final, Self::RequestParameter]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One report of a trial.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// Intermediate result, final result or request.
    pub kind: MetricKind,
    /// The SDK's count of intermediate results, from 0; 0 for others and where a hand-written record leaves it out.
    pub sequence: u64,
    /// Which parameters the result belongs to: mostly an integer. `None` for requests and where left out.
    pub parameter_id: Option<serde_json::Value>,
    /// The trial as the SDK knows it (`NNI_TRIAL_JOB_ID`). A claim of the trial: whose journal it is decides.
    pub trial_job_id: Option<String>,
    /// JSON text of the value, byte for byte as the trial encoded it; may hold bare `NaN`. Empty for requests.
    pub value: Arc<str>,
    /// Which parameters a request asks for; `None` for results.
    pub parameter_index: Option<u64>,
}

impl Metric {
    /// A result of `kind` with `value`, a JSON text, and nothing else known.
    pub fn new(kind: MetricKind, value: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            sequence: 0,
            parameter_id: None,
            trial_job_id: None,
            value: value.into(),
            parameter_index: None,
        }
    }

    /// Reads the body of a journal record.
    ///
    /// The SDK writes `value` as a string that is itself JSON. Any other JSON value, as scripts write it by hand, stands for
    /// its own text, bare `NaN` and `Infinity` included. Unknown keys are ignored.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if the body is not a JSON object or a key is missing or has the wrong type; the message names it.
    pub fn parse(body: &str) -> Result<Self> {
        if let Err(source) = json::check(body) {
            return Err(problem(format!("metric is not JSON: {}", excerpt(body))).with_source(source));
        }
        let members =
            json::members(body).ok_or_else(|| problem(format!("metric is not a JSON object: {}", excerpt(body))))?;
        // As in Python's decoder, the last of repeated keys counts.
        let raw = |key: &str| members.iter().rev().find(|(k, _)| k == key).map(|(_, text)| *text);
        let present = |key: &str| raw(key).filter(|text| *text != "null");

        let name = raw("type").ok_or_else(|| missing("type"))?;
        let kind = serde_json::from_str::<String>(name)
            .ok()
            .and_then(|name| MetricKind::from_name(&name))
            .ok_or_else(|| wrong("type", name, "`PERIODICAL`, `FINAL` or `REQUEST_PARAMETER`"))?;
        let value: Arc<str> = match (kind, raw("value")) {
            (MetricKind::RequestParameter, _) => "".into(),
            (_, None) => return Err(missing("value")),
            (_, Some(text)) if text.starts_with('"') => typed::<String>("value", text, "a JSON text")?.into(),
            (_, Some(text)) => text.into(),
        };
        Ok(Self {
            kind,
            sequence: present("sequence").map_or(Ok(0), |text| typed("sequence", text, "a whole number"))?,
            parameter_id: present("parameter_id")
                .map(|text| typed("parameter_id", text, "an id"))
                .transpose()?,
            trial_job_id: present("trial_job_id")
                .map(|text| typed("trial_job_id", text, "a string"))
                .transpose()?,
            value,
            parameter_index: present("parameter_index")
                .map(|text| typed("parameter_index", text, "a whole number"))
                .transpose()?,
        })
    }

    /// The number that tuners optimize: the value itself, or its member `default`.
    ///
    /// `NaN` and the infinities are numbers here. `None` for anything else: strings, booleans, lists, objects without a
    /// numeric `default`, text that is not JSON.
    pub fn number(&self) -> Option<f64> {
        let text = self.value.trim();
        if text.starts_with('{') {
            let members = json::members(text)?;
            return members
                .iter()
                .rev()
                .find(|(key, _)| key == "default")
                .and_then(|(_, raw)| scalar(raw));
        }
        scalar(text)
    }

    /// The body as NNI's SDK writes it: its key order, its separators, ASCII only. [`Metric::parse`] reads it back.
    pub fn render(&self) -> String {
        let mut parts = Vec::with_capacity(5);
        if let Some(id) = &self.parameter_id {
            let id = id.as_str().map_or_else(|| id.to_string(), json::quote);
            parts.push(format!(r#""parameter_id": {id}"#));
        }
        if let Some(trial) = &self.trial_job_id {
            parts.push(format!(r#""trial_job_id": {}"#, json::quote(trial)));
        }
        parts.push(format!(r#""type": "{}""#, self.kind));
        parts.push(format!(r#""sequence": {}"#, self.sequence));
        if self.kind != MetricKind::RequestParameter {
            parts.push(format!(r#""value": {}"#, json::quote(&self.value)));
        }
        if let Some(index) = self.parameter_index {
            parts.push(format!(r#""parameter_index": {index}"#));
        }
        format!("{{{}}}", parts.join(", "))
    }
}

fn scalar(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && json::is_json(text) => text.parse().ok(),
        _ => None,
    }
}

fn typed<T: serde::de::DeserializeOwned>(key: &str, text: &str, expected: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|source| wrong(key, text, expected).with_source(source))
}

fn problem(message: String) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

fn missing(key: &'static str) -> Error {
    problem(format!("metric has no `{key}`")).with_key(key)
}

fn wrong(key: &str, text: &str, expected: &str) -> Error {
    problem(format!(
        "metric has {} for `{key}`, which must be {expected}",
        excerpt(text)
    ))
    .with_key(key)
}

/// The first 80 characters, in backticks.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number_of(value: &str) -> Option<f64> {
        Metric::new(MetricKind::Final, value).number()
    }

    #[test]
    fn sdk_body_reads_and_renders_byte_for_byte() {
        let bodies = [
            r#"{"parameter_id": 0, "trial_job_id": "Ab1cd", "type": "PERIODICAL", "sequence": 0, "value": "0.5"}"#,
            r#"{"parameter_id": 0, "trial_job_id": "Ab1cd", "type": "PERIODICAL", "sequence": 1, "value": "{\"default\": 1, \"x\": NaN, \"k\": \"it's\"}"}"#,
            r#"{"parameter_id": 0, "trial_job_id": "Ab1cd", "type": "FINAL", "sequence": 0, "value": "0.93"}"#,
            r#"{"trial_job_id": "Ab1cd", "type": "REQUEST_PARAMETER", "sequence": 0, "parameter_index": 2}"#,
        ];
        for body in bodies {
            assert_eq!(Metric::parse(body).unwrap().render(), body);
        }
        let second = Metric::parse(bodies[1]).unwrap();
        assert_eq!(&*second.value, r#"{"default": 1, "x": NaN, "k": "it's"}"#);
        assert_eq!(second.number(), Some(1.0));
        let request = Metric::parse(bodies[3]).unwrap();
        assert_eq!(
            (request.kind, request.parameter_index),
            (MetricKind::RequestParameter, Some(2))
        );
        assert_eq!(request.number(), None);
    }

    #[test]
    fn hand_written_values_stand_for_their_own_text() {
        for (written, text) in [
            ("0.5", "0.5"),
            ("NaN", "NaN"),
            (
                r#"{"default": -Infinity,  "x": "NaN"}"#,
                r#"{"default": -Infinity,  "x": "NaN"}"#,
            ),
            ("null", "null"),
            (r#""0.5""#, "0.5"),
        ] {
            let metric = Metric::parse(&format!(r#"{{"type":"FINAL","value":{written}}}"#)).unwrap();
            assert_eq!(&*metric.value, text);
            assert_eq!(
                (metric.sequence, metric.parameter_id, metric.trial_job_id),
                (0, None, None)
            );
        }
    }

    #[test]
    fn numbers() {
        for (value, number) in [
            ("0.5", Some(0.5)),
            (" -3 ", Some(-3.0)),
            ("1e3", Some(1000.0)),
            ("1e999", Some(f64::INFINITY)),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            (r#"{"default": 0.25, "loss": NaN}"#, Some(0.25)),
            (r#"{"default": Infinity}"#, Some(f64::INFINITY)),
            (r#"{"default": "0.25"}"#, None),
            (r#"{"loss": 1}"#, None),
            (r#"{"default": 1"#, None),
            ("true", None),
            (r#""0.5""#, None),
            ("[1]", None),
            ("", None),
            ("nan", None),
            ("inf", None),
            ("1 2", None),
            ("0x10", None),
        ] {
            assert_eq!(number_of(value), number, "{value}");
        }
        assert!(number_of("NaN").is_some_and(f64::is_nan));
        assert!(number_of(r#"{"default": NaN}"#).is_some_and(f64::is_nan));
    }

    #[test]
    fn problems_name_the_key() {
        for (body, message) in [
            ("", "metric is not JSON: ``"),
            ("[]", "metric is not a JSON object: `[]`"),
            ("{}", "metric has no `type`"),
            (r#"{"type":"FINAL"}"#, "metric has no `value`"),
            (
                r#"{"type":"CUSTOM","value":"1"}"#,
                r#"metric has `"CUSTOM"` for `type`, which must be `PERIODICAL`, `FINAL` or `REQUEST_PARAMETER`"#,
            ),
            (
                r#"{"type":"FINAL","value":"1","sequence":-1}"#,
                "metric has `-1` for `sequence`, which must be a whole number",
            ),
        ] {
            let error = Metric::parse(body).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Protocol, message));
        }
    }

    fn metric() -> impl Strategy<Value = Metric> {
        let id = prop_oneof![
            Just(None),
            any::<i64>().prop_map(|id| Some(id.into())),
            any::<String>().prop_map(|id| Some(serde_json::Value::String(id))),
        ];
        let kind = prop_oneof![
            Just(MetricKind::Periodical),
            Just(MetricKind::Final),
            Just(MetricKind::RequestParameter)
        ];
        let rest = (any::<Option<String>>(), any::<String>(), any::<Option<u64>>());
        (kind, any::<u64>(), id, rest).prop_map(|(kind, sequence, parameter_id, (trial_job_id, value, index))| Metric {
            kind,
            sequence,
            parameter_id,
            trial_job_id,
            value: if kind == MetricKind::RequestParameter {
                "".into()
            } else {
                value.into()
            },
            parameter_index: index,
        })
    }

    proptest! {
        #[test]
        fn parse_reads_what_render_wrote(metric in metric()) {
            let body = metric.render();
            prop_assert!(body.is_ascii() && !body.contains('\n'));
            prop_assert_eq!(Metric::parse(&body).unwrap(), metric);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), inner in any::<String>()) {
            let _ = Metric::parse(&text).map(|metric| metric.number());
            let _ = Metric::parse(&format!(r#"{{"type":"FINAL","value":{inner}}}"#)).map(|metric| metric.number());
            number_of(&format!("{{{inner}}}"));
        }
    }
}
