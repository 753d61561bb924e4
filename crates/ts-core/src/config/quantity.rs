//! Texts with units, as configurations write them: durations, amounts of memory, lists of GPU indices.
//!
//! Sources: nni v3.0, `nni/experiment/config/`; nni v1.9, `tools/nni_cmd/config_schema.py`.

use super::node::{Node, Value};
use std::time::Duration;

/// Longest duration that is kept; longer ones are cut to it. A thousand years.
const MAX_SECONDS: f64 = 1000.0 * 366.0 * 86_400.0;

/// A duration: a number and `s`, `m`, `h` or `d`, or a bare whole number of seconds. Rounded up to seconds.
pub(super) fn duration(node: &Node) -> Option<Duration> {
    let seconds = match &node.value {
        Value::Int(n) => u32::try_from(*n).ok().map(f64::from)?,
        Value::String(text) => {
            let lower = text.trim().to_ascii_lowercase();
            let unit = lower.chars().last()?;
            let factor = match unit {
                's' => 1.0,
                'm' => 60.0,
                'h' => 3600.0,
                'd' => 86_400.0,
                _ => return None,
            };
            decimal(&lower[..lower.len() - 1])? * factor
        }
        _ => return None,
    };
    Some(Duration::from_secs_f64(seconds.ceil().min(MAX_SECONDS)))
}

/// Memory in MiB: a number and `tb`, `gb`, `mb`, `kb` or `b`, or a bare whole number of MiB. Rounded up.
pub(super) fn memory_mib(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::String(text) => size(text).map(|bytes| bytes.div_ceil(1 << 20)),
        _ => None,
    }
}

/// Bytes: a number and `tb`, `gb`, `mb`, `kb` or `b`, or a bare whole number of bytes. Rounded up.
pub(super) fn bytes(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::String(text) => size(text),
        _ => None,
    }
}

fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [
        ("tb", 1 << 40),
        ("gb", 1 << 30),
        ("mb", 1 << 20),
        ("kb", 1 << 10),
        ("b", 1),
    ];
    let lower = text.trim().to_ascii_lowercase();
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))?;
    if let Ok(whole) = number.trim().parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let bytes = (decimal(number)? * factor as f64).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 2^53"
    )]
    (bytes < 9e15).then_some(bytes as u64)
}

/// A number without sign or exponent.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_good = text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.chars().any(|c| c.is_ascii_digit());
    is_good.then(|| text.parse().ok()).flatten()
}

/// GPU indices: a list of whole numbers, one number, or numbers in a text with commas. No duplicates, none negative.
pub(super) fn gpu_indices(node: &Node) -> Result<Vec<u32>, String> {
    let index = |n: i128| u32::try_from(n).map_err(|_| format!("`{n}` is no index of a GPU"));
    let indices: Vec<u32> = match &node.value {
        Value::Int(n) => vec![index(*n)?],
        Value::String(text) => text
            .split(',')
            .map(|part| {
                part.trim()
                    .parse()
                    .map_err(|_| format!("`{}` is no index of a GPU", part.trim()))
            })
            .collect::<Result<_, _>>()?,
        Value::Seq(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Int(n) => index(*n),
                _ => Err(format!("a whole number is expected, found {}", item.describe())),
            })
            .collect::<Result<_, _>>()?,
        _ => {
            return Err(format!(
                "GPU indices are expected (such as `0,1`), found {}",
                node.describe()
            ));
        }
    };
    for (at, i) in indices.iter().enumerate() {
        if indices[..at].contains(i) {
            return Err(format!("GPU `{i}` is listed twice"));
        }
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Node {
        Node::new(Value::String(s.into()), 1, 1)
    }
    fn int(n: i128) -> Node {
        Node::new(Value::Int(n), 1, 1)
    }

    #[test]
    fn durations() {
        for (written, seconds) in [
            ("10s", 10),
            ("2m", 120),
            ("1H", 3600),
            ("999d", 86_313_600),
            ("0.5h", 1800),
            ("1.2s", 2),
        ] {
            assert_eq!(
                duration(&text(written)),
                Some(Duration::from_secs(seconds)),
                "{written}"
            );
        }
        assert_eq!(duration(&int(100)), Some(Duration::from_secs(100)));
        for bad in [
            "", "100", "h", "1w", "-1h", "1e3s", "1|", "１d", "1..2s", "nans", "infd",
        ] {
            assert_eq!(duration(&text(bad)), None, "{bad}");
        }
        assert_eq!(duration(&int(-1)), None);
        assert!(duration(&text(&format!("{}d", "9".repeat(300)))).is_some());
    }

    #[test]
    fn memory() {
        for (written, mib) in [
            ("8gb", 8192),
            ("8 GB", 8192),
            ("1.5gb", 1536),
            ("1b", 1),
            ("512MB", 512),
        ] {
            assert_eq!(memory_mib(&text(written)), Some(mib), "{written}");
        }
        assert_eq!(memory_mib(&int(8192)), Some(8192));
        assert_eq!(bytes(&int(8192)), Some(8192));
        for bad in ["", "8", "gb", "8g", "-1gb", "99999999999999999999tb"] {
            assert_eq!(memory_mib(&text(bad)), None, "{bad}");
        }
    }

    #[test]
    fn indices() {
        assert_eq!(gpu_indices(&int(0)), Ok(vec![0]));
        assert_eq!(gpu_indices(&text("0, 2")), Ok(vec![0, 2]));
        let list = Node::new(Value::Seq(vec![int(1), int(3)]), 1, 1);
        assert_eq!(gpu_indices(&list), Ok(vec![1, 3]));
        for bad in [text("0,0"), text("-1"), text("a"), text(""), int(-1)] {
            assert!(gpu_indices(&bad).is_err(), "{bad:?}");
        }
    }
}
