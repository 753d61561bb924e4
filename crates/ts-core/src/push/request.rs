//! What a request asks for, before anything is looked up.

use super::store;
use crate::TrialId;

/// A request that is well-formed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Read(String),
    Append {
        trial: TrialId,
        name: String,
        offset: u64,
        is_hex: bool,
    },
    Claim {
        trial: TrialId,
        by: String,
    },
    Wait {
        trial: TrialId,
        have: usize,
    },
}

impl Request {
    /// `None`: it is none of ours.
    pub(super) fn parse(path: &str, query: &str) -> Option<Self> {
        let (verb, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
        match verb {
            "read" => Some(Self::Read(rest.to_owned())),
            "append" => {
                let (trial, name) = rest.split_once('/')?;
                store::is_writable(name).then_some(())?;
                Some(Self::Append {
                    trial: TrialId::new(trial).ok()?,
                    name: name.to_owned(),
                    offset: value(query, "offset")?.parse().ok()?,
                    is_hex: value(query, "hex") == Some("1"),
                })
            }
            "claim" => Some(Self::Claim {
                trial: TrialId::new(rest).ok()?,
                by: value(query, "by").filter(|by| is_name(by))?.to_owned(),
            }),
            "wait" => Some(Self::Wait {
                trial: TrialId::new(rest).ok()?,
                have: value(query, "have")?.parse().ok()?,
            }),
            _ => None,
        }
    }
}

fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// Bytes from hexadecimal digits, blanks between them or not. `None`: something else is in it, or half a byte.
pub(super) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
