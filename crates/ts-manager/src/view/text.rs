//! JSON text of others inside our own, and times.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use ts_core::Timestamp;

/// JSON that somebody else wrote, given on as it is; what is no JSON, such as `NaN`, becomes a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a text and nothing else")]
pub struct JsonText<'a>(pub &'a str);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(self.0),
        }
    }
}

/// A time as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a time and nothing else")]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_stays_as_it_was_written_and_the_rest_is_a_string() {
        let written = |text| serde_json::to_string(&JsonText(text)).unwrap();
        assert_eq!(written(r#"{"a": 1.50, "b": 1e-05}"#), r#"{"a": 1.50, "b": 1e-05}"#);
        assert_eq!(written("NaN"), r#""NaN""#);
        assert_eq!(written(r#"{"a": Infinity}"#), r#""{\"a\": Infinity}""#);
        assert_eq!(written(""), r#""""#);
        let value = serde_json::to_value(JsonText("[1, 2.0]")).unwrap();
        assert_eq!(value, serde_json::json!([1, 2.0]));
    }
}
