//! Packed parameters: the JSON text of a trial's parameter file, written exactly as Python's `json` module writes it.
//!
//! Tools that compare NNI's parameter files byte for byte must see no difference; hence Python's separators, escapes and numbers.

use serde_json::Value;
use std::{fmt::Write as _, sync::Arc};
use ts_core::json_members;

/// The packed text of an algorithm's proposal.
///
/// Source: nni v1.9 to v3.0, `nni/runtime/msg_dispatcher.py`: keys and their order.
pub fn pack(id: u64, parameters: &Value) -> Arc<str> {
    pack_for(id, parameters, 0)
}

/// As [`pack`], for the parameters of index `index` of a trial; 0 are those that it begins with.
pub fn pack_for(id: u64, parameters: &Value, index: u32) -> Arc<str> {
    let mut text = format!("{{\"parameter_id\": {id}, \"parameter_source\": \"algorithm\", \"parameters\": ");
    write(&mut text, parameters);
    write!(text, ", \"parameter_index\": {index}}}").expect("writing to a string");
    text.into()
}

/// The packed text that tells a trial that there are no further parameters: NNI's SDK gives it `None`.
///
/// Source: nni v1.9, `nni/msg_dispatcher.py`, `handle_report_metric_data`, and `nni/trial.py`, `get_next_parameter`.
pub fn pack_no_more(index: u32) -> Arc<str> {
    format!(
        "{{\"parameter_id\": null, \"parameter_source\": \"algorithm\", \"parameters\": null, \"parameter_index\": {index}}}"
    )
    .into()
}

/// Whether packed text says that there are no further parameters.
pub(crate) fn says_no_more(text: &str) -> bool {
    member(text, "parameters") == Some("null")
}

/// The id of packed parameters as text, which is how NNI's database gives even numbers.
pub(crate) fn parameter_id(packed: &str) -> Option<String> {
    match leading_id(packed).or_else(|| member(packed, "parameter_id"))? {
        "null" => None,
        raw => Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())),
    }
}

/// The number that packed text begins with, as NNI writes it: lists of many trials need not look at their whole parameters.
fn leading_id(packed: &str) -> Option<&str> {
    const KEY: &str = "\"parameter_id\"";
    let rest = packed.strip_prefix('{')?.strip_prefix(KEY)?;
    let (id, rest) = rest.strip_prefix(": ")?.split_once(',')?;
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    // Of repeated keys the last one counts.
    (is_number && !rest.contains(KEY)).then_some(id)
}

/// The raw text of a member; packed text may hold bare `NaN`.
fn member<'t>(packed: &'t str, key: &str) -> Option<&'t str> {
    let members = json_members(packed)?;
    members
        .into_iter()
        .rev()
        .find(|(name, _)| name == key)
        .map(|(_, raw)| raw)
}

/// The packed text of parameters that a person chose; without a number, which only proposals have.
///
/// Source: nni v3.0, `ts/nni_manager/core/nnimanager.ts`, `addCustomizedTrialJob`, and `parameter_index`, without which NNI's Python
/// client (`nni/experiment/data.py`, `TrialHyperParameters`) cannot read the trial.
pub fn pack_custom(parameters: &Value) -> Arc<str> {
    let mut text = String::from("{\"parameter_id\": null, \"parameter_source\": \"customized\", \"parameters\": ");
    write(&mut text, parameters);
    text.push_str(", \"parameter_index\": 0}");
    text.into()
}

/// What packed text says of the proposal behind it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Packed {
    /// Number of the proposal.
    pub id: u64,
    /// The hyper-parameters themselves.
    pub parameters: Value,
}

/// Reads packed text; `None` for parameters without a numeric id, which no built-in algorithm made.
pub fn unpack(text: &str) -> Option<Packed> {
    let Ok(Value::Object(mut packed)) = serde_json::from_str(text) else {
        return None;
    };
    Some(Packed {
        id: packed.get("parameter_id")?.as_u64()?,
        parameters: packed.shift_remove("parameters")?,
    })
}

/// JSON text as Python's `json.dumps` writes it by default: `", "` and `": "` between, ASCII only, floats in their `repr`.
pub fn python_json(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => match (number.is_f64(), number.as_f64()) {
            (true, Some(x)) => write_float(out, x),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_text(out, key);
                out.push_str(": ");
                write(out, item);
            }
            out.push('}');
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string");
                }
            }
        }
    }
    out.push('"');
}

/// Python's `repr` of a float: the shortest digits that read back as the same number, plain from 1e-4 to below 1e16, else with an
/// exponent of at least two digits.
fn write_float(out: &mut String, x: f64) {
    let shortest = format!("{x:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        write!(out, "{x:?}").expect("writing to a string");
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs()).expect("writing to a string");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    macro_rules! written {
        ($($name:ident: $value:expr => $text:literal;)*) => {$(
            #[test]
            fn $name() {
                assert_eq!(python_json(&json!($value)), $text);
            }
        )*};
    }

    // The right side is what CPython 3.12 prints for `json.dumps`.
    written! {
        small_float: 1e-5 => "1e-05";
        smallest_plain_float: 1e-4 => "0.0001";
        whole_float: 1.0 => "1.0";
        tenth: 0.1 => "0.1";
        sum_that_is_not_exact: 0.1 + 0.2 => "0.30000000000000004";
        biggest_plain_float: 1e15 => "1000000000000000.0";
        long_plain_float: 1_234_567_890_123_456.8 => "1234567890123456.8";
        float_with_exponent: 1e16 => "1e+16";
        digits_and_exponent: 1.5e-7 => "1.5e-07";
        huge: 1.797_693_134_862_315_7e308 => "1.7976931348623157e+308";
        tiny: 5e-324 => "5e-324";
        negative_zero: -0.0 => "-0.0";
        whole: -17 => "-17";
        biggest_whole: u64::MAX => "18446744073709551615";
        umlaut: "ü" => "\"\\u00fc\"";
        outside_the_basic_plane: "😀" => "\"\\ud83d\\ude00\"";
        controls: "\u{0}\u{8}\t\n\u{c}\r\u{1f}\u{7f}" => "\"\\u0000\\b\\t\\n\\f\\r\\u001f\\u007f\"";
        quotes: "a\"b\\c/d" => "\"a\\\"b\\\\c/d\"";
        nested: json!({"a": [1, null, {"b": true}], "c": {}, "d": []}) => "{\"a\": [1, null, {\"b\": true}], \"c\": {}, \"d\": []}";
    }

    #[test]
    fn packed_text_is_nnis_and_reads_back() {
        let text = pack(0, &json!({"x": 1}));
        assert_eq!(
            &*text,
            "{\"parameter_id\": 0, \"parameter_source\": \"algorithm\", \"parameters\": {\"x\": 1}, \"parameter_index\": 0}"
        );
        let packed = unpack(&text).unwrap();
        assert_eq!((packed.id, packed.parameters), (0, json!({"x": 1})));
    }

    #[test]
    fn ids_of_parameters_are_text_whatever_they_are() {
        let cases = [
            (
                r#"{"parameter_id": 7, "parameters": {"x": 1}, "parameter_id": 8}"#,
                Some("8"),
            ),
            (r#"{"parameter_id": 7, "parameters": {"parameter_id": 9}}"#, Some("7")),
            (r#"{"parameter_id":7,"parameters":{}}"#, Some("7")),
            (r#"{"parameter_id": 7, "parameters": {"x": NaN}}"#, Some("7")),
            (r#"{"parameter_id": "0-2_0_0", "parameters": {}}"#, Some("0-2_0_0")),
            (r#"{"parameter_id": null, "parameters": {}}"#, None),
            (r#"{"parameters": {}}"#, None),
            ("", None),
        ];
        for (packed, id) in cases {
            assert_eq!(parameter_id(packed).as_deref(), id, "{packed}");
        }
    }

    #[test]
    fn the_word_that_there_are_no_more_is_told_from_parameters() {
        assert!(says_no_more(&pack_no_more(3)));
        assert!(!says_no_more(&pack_for(1, &json!({"x": null}), 3)));
        assert!(pack_for(1, &json!({}), 3).ends_with("\"parameters\": {}, \"parameter_index\": 3}"));
    }

    #[test]
    fn parameters_that_no_algorithm_made_have_no_id() {
        for text in [
            "{\"parameter_id\":null,\"parameter_source\":\"customized\",\"parameters\":{\"x\":77}}",
            "{\"parameter_id\": \"0-2_0_0\", \"parameter_source\": \"algorithm\", \"parameters\": {}}",
            "{\"parameter_id\": 1}",
            "[]",
            "",
        ] {
            assert_eq!(unpack(text), None, "{text}");
        }
    }
}
