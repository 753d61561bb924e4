//! `$(NAME)` in commands, arguments and values of variables. What a shell makes of `$NAME` is none of this file's business.
//!
//! Source: kubernetes v1.20, `third_party/forked/golang/expansion/expand.go`: an unknown name stays as it is written, `$$` is one
//! dollar sign, and what has been put in is not looked at again.

/// The text with each `$(NAME)` replaced for which `value` knows one.
pub(super) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            expanded.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|open| open.split_once(')')) {
            match value(name) {
                Some(known) => expanded.push_str(known),
                None => expanded.push_str(&rest[at..rest.len() - tail.len()]),
            }
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references() {
        for (text, expected) in [
            ("a$(A)b", "a1b"),
            ("$(A)$(B)", "1$(A)"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A ${A}", "$A ${A}"),
            ("$(A", "$(A"),
            ("end$", "end$"),
        ] {
            let value = |name: &str| match name {
                "A" => Some("1"),
                "B" => Some("$(A)"),
                _ => None,
            };
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }
}
