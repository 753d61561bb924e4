//! Quantities such as `500m` and `4Gi`: what they amount to, and how the real server writes them.
//!
//! Source: kubernetes v1.20, `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`. Finer than a billionth is not kept.

const NANO: i128 = 1_000_000_000;
/// What the server says of a text that is none.
pub(crate) const SYNTAX: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity {
    nano: i128,
}

impl Quantity {
    /// Nothing.
    pub(crate) const ZERO: Self = Self { nano: 0 };

    /// A whole number.
    pub(crate) fn whole(count: usize) -> Self {
        Self {
            nano: i128::try_from(count).unwrap_or(i128::MAX / NANO) * NANO,
        }
    }

    /// What the text amounts to.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let (negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || !is_digits(whole) || !is_digits(part) {
            return None;
        }
        let (times, divided) = multiplier(suffix)?;
        let digits: i128 = format!("{whole}{part}").parse().ok()?;
        let scale = 10_i128
            .checked_pow(u32::try_from(part.len()).ok()?)?
            .checked_mul(divided)?;
        let exact = digits.checked_mul(times)?.checked_mul(NANO)?;
        // Rounded up, as the real one does with what it cannot hold.
        let nano = exact / scale + i128::from(exact % scale != 0);
        Some(Self {
            nano: if negative { -nano } else { nano },
        })
    }

    /// Whether it is a whole number.
    pub(crate) fn is_whole(self) -> bool {
        self.nano % NANO == 0
    }

    /// The sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            nano: self.nano.saturating_add(other.nano),
        }
    }

    /// As the server writes it. `binary` prefers `Ki`, `Mi`, …, as a text that had them does.
    pub(crate) fn canonical(self, binary: bool) -> String {
        let whole = self.nano / NANO;
        if binary && self.is_whole() && whole.abs() >= 1024 {
            let mut value = whole;
            let mut suffix = "";
            for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
                if value % 1024 != 0 {
                    break;
                }
                value /= 1024;
                suffix = next;
            }
            return format!("{value}{suffix}");
        }
        if self.nano == 0 {
            return "0".to_owned();
        }
        let mut value = self.nano;
        let mut suffix = "n";
        for next in ["u", "m", "", "k", "M", "G", "T", "P", "E"] {
            if value % 1000 != 0 {
                break;
            }
            value /= 1000;
            suffix = next;
        }
        format!("{value}{suffix}")
    }
}

/// The text as the server would write it; `None` when it is no quantity.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let quantity = Quantity::parse(text)?;
    // Exponents stay as they came.
    let suffix = text.trim_start_matches(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if suffix.len() > 1 && suffix.starts_with(['e', 'E']) && !suffix.ends_with('i') {
        return Some(text.to_owned());
    }
    Some(quantity.canonical(suffix.ends_with('i')))
}

fn multiplier(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! quantities {
        ($($test:ident: $text:expr => $canonical:expr;)*) => { $(
            #[test]
            fn $test() {
                assert_eq!(canonical($text).as_deref(), $canonical);
            }
        )* };
    }

    quantities! {
        whole: "2" => Some("2");
        half_a_core: "0.5" => Some("500m");
        whole_in_milli: "2000m" => Some("2");
        mebibytes: "8192Mi" => Some("8Gi");
        small_binary: "512" => Some("512");
        megabytes: "1000M" => Some("1G");
        one_and_a_half_gibibytes: "1.5Gi" => Some("1536Mi");
        exponent: "1e3" => Some("1e3");
        zero: "0" => Some("0");
        negative: "-1" => Some("-1");
        unknown_suffix: "12Q" => None;
        no_number: "Mi" => None;
        two_dots: "1.2.3" => None;
        empty: "" => None;
    }

    #[test]
    fn amounts_compare_across_suffixes() {
        let parse = |text| Quantity::parse(text).expect("a quantity");
        assert_eq!(parse("1Gi"), parse("1024Mi"));
        assert!(parse("1500m") > parse("1"));
        assert!(!parse("1500m").is_whole());
        assert_eq!(parse("1.5").plus(parse("500m")), parse("2"));
    }
}
