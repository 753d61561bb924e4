//! Which plain text is which value: the rules of YAML 1.1 as PyYAML's `safe_load` applies them.
//!
//! NNI's files rely on them: `yes` is a boolean, `1e-3` is a text (no point), `1.0e-3` a number, `010` is eight.
//! Source: PyYAML 5.4 and 6.0, `lib/yaml/resolver.py` and `lib/yaml/constructor.py`. Dates stay texts here: no key of a
//! configuration takes a date.

use super::node::Value;

/// The value of a plain (unquoted) scalar.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => int(text)
            .map(Value::Int)
            .or_else(|| float(text).map(Value::Float))
            .unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// A whole number: decimal, `0b`, `0x`, octal by a leading zero, or base 60 by colons; `_` separates digits.
pub(super) fn int(text: &str) -> Option<i128> {
    let (negative, digits) = sign(text);
    let radix = |digits: &str, radix: u32| {
        let digits: String = digits.chars().filter(|c| *c != '_').collect();
        (!digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
            .then(|| i128::from_str_radix(&digits, radix).ok())
            .flatten()
    };
    let number = if let Some(binary) = digits.strip_prefix("0b") {
        radix(binary, 2)?
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        radix(hexadecimal, 16)?
    } else if digits == "0" {
        0
    } else if let Some(octal) = digits.strip_prefix('0') {
        radix(octal, 8)?
    } else if digits.contains(':') {
        let (first, rest) = digits.split_once(':')?;
        let mut number = starts_with_digit(first).then(|| radix(first, 10)).flatten()?;
        for part in rest.split(':') {
            number = number.checked_mul(60)?.checked_add(sixtieth(part)?)?;
        }
        number
    } else {
        starts_with_digit(digits).then(|| radix(digits, 10)).flatten()?
    };
    Some(if negative { -number } else { number })
}

/// A number with a point; an exponent must have its sign, as PyYAML wants it.
pub(super) fn float(text: &str) -> Option<f64> {
    let (negative, rest) = sign(text);
    let signed = |n: f64| if negative { -n } else { n };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(signed(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if rest == text => return Some(f64::NAN),
        _ => {}
    }
    let (whole, fraction) = rest.split_once('.')?;
    let is_digits = |s: &str| s.chars().all(|c| c.is_ascii_digit() || c == '_');
    if let Some((first, sixty)) = whole.split_once(':') {
        if !(starts_with_digit(first) && is_digits(first) && is_digits(fraction)) {
            return None;
        }
        let mut number: f64 = without_underscores(first).parse().ok()?;
        let mut parts = sixty.split(':').peekable();
        while let Some(part) = parts.next() {
            let value = sixtieth(part)?;
            let text = match parts.peek() {
                Some(_) => value.to_string(),
                None => format!("{value}.{}", without_underscores(fraction)),
            };
            number = number * 60.0 + text.parse::<f64>().ok()?;
        }
        return Some(signed(number));
    }
    let (fraction, exponent) = match fraction.find(['e', 'E']) {
        Some(at) => (&fraction[..at], Some(&fraction[at + 1..])),
        None => (fraction, None),
    };
    let whole_is_good = match whole {
        "" => rest == text && starts_with_digit(fraction),
        _ => starts_with_digit(whole) && is_digits(whole),
    };
    let exponent_is_good = exponent.is_none_or(|e| {
        e.strip_prefix(['-', '+'])
            .is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
    });
    if !(whole_is_good && is_digits(fraction) && exponent_is_good) {
        return None;
    }
    without_underscores(rest).parse().ok().map(signed)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn without_underscores(text: &str) -> String {
    text.chars().filter(|c| *c != '_').collect()
}

/// A part of a base 60 number after the first: 0 to 59.
fn sixtieth(part: &str) -> Option<i128> {
    let is_good = (1..=2).contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit());
    is_good.then(|| part.parse().ok()).flatten().filter(|n| *n < 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was compared with `yaml.safe_load` of PyYAML 6.0.
    #[test]
    fn plain_text_reads_as_in_pyyaml() {
        let text = |s: &str| Value::String(s.to_owned());
        let cases = [
            ("yes", Value::Bool(true)),
            ("No", Value::Bool(false)),
            ("ON", Value::Bool(true)),
            ("off", Value::Bool(false)),
            ("y", text("y")),
            ("tRUE", text("tRUE")),
            ("~", Value::Null),
            ("NULL", Value::Null),
            ("nULL", text("nULL")),
            ("0", Value::Int(0)),
            ("010", Value::Int(8)),
            ("08", text("08")),
            ("0x10", Value::Int(16)),
            ("0b101", Value::Int(5)),
            ("0o10", text("0o10")),
            ("1_000", Value::Int(1000)),
            ("-7", Value::Int(-7)),
            ("+7", Value::Int(7)),
            ("_1", text("_1")),
            ("1:30", Value::Int(90)),
            ("1:60", text("1:60")),
            ("1:30.5", Value::Float(90.5)),
            ("1e-3", text("1e-3")),
            ("1.0e-3", Value::Float(0.001)),
            ("1.0e3", text("1.0e3")),
            ("1.e+3", Value::Float(1000.0)),
            (".5", Value::Float(0.5)),
            ("-.5", text("-.5")),
            ("1.", Value::Float(1.0)),
            ("1_0.5", Value::Float(10.5)),
            (".", text(".")),
            (".inf", Value::Float(f64::INFINITY)),
            ("-.INF", Value::Float(f64::NEG_INFINITY)),
            ("1.2.3", text("1.2.3")),
            ("10.0.0.1", text("10.0.0.1")),
            ("2h", text("2h")),
            ("0,1", text("0,1")),
        ];
        for (written, expected) in cases {
            assert_eq!(plain(written), expected, "{written}");
        }
        assert!(matches!(plain(".nan"), Value::Float(n) if n.is_nan()));
    }
}
