//! Amounts of resources as Kubernetes writes them, such as `500m`, `2Gi` and `1e3`. Sums and comparisons are of whole numbers.
//!
//! Source: apimachinery v0.20, `pkg/api/resource/quantity.go`, the grammar in the comment of `Quantity`.

/// A quantity in billionths, or nothing if the text is none.
pub(super) fn parse(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = u32::try_from(fraction.len()).ok()?;
    let value = scaled(digits, suffix)? / 10_i128.checked_pow(decimals)?;
    Some(if negative { -value } else { value })
}

/// The number in billionths, times what the suffix stands for.
fn scaled(digits: i128, suffix: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    if let Some(binary) = suffix.strip_suffix('i') {
        let power = position("KMGTPE", binary)? + 1;
        return digits.checked_mul(NANO)?.checked_mul(1_i128.checked_shl(10 * power)?);
    }
    let exponent: i32 = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        _ => match position("MGTPE", suffix) {
            Some(index) => 6 + 3 * i32::try_from(index).ok()?,
            None => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
        },
    };
    let power = u32::try_from(exponent + 9).ok()?;
    digits.checked_mul(10_i128.checked_pow(power)?)
}

fn position(letters: &str, one: &str) -> Option<u32> {
    let mut wanted = one.chars();
    let letter = wanted.next()?;
    let found = letters.find(letter).filter(|_| wanted.next().is_none())?;
    u32::try_from(found).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn suffixes_and_exponents() {
        const NANO: i128 = 1_000_000_000;
        for (text, expected) in [
            ("1", Some(NANO)),
            ("500m", Some(NANO / 2)),
            ("0.5", Some(NANO / 2)),
            (".5", Some(NANO / 2)),
            ("2Gi", Some((2 << 30) * NANO)),
            ("1.5Ki", Some(1536 * NANO)),
            ("1e3", Some(1000 * NANO)),
            ("1E", Some(1_000_000_000_000_000_000 * NANO)),
            ("3k", Some(3000 * NANO)),
            ("100n", Some(100)),
            ("-1", Some(-NANO)),
            ("1e-3", Some(NANO / 1000)),
            ("", None),
            ("x", None),
            ("1X", None),
            ("1Gib", None),
            ("1KM", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
