//! Quoting of one word for a POSIX shell. Deciding what has to be quoted belongs to the callers: everything.

/// Quotes `text` so that any POSIX shell reads it as one word with exactly this content.
///
/// Single quotes keep everything but the single quote itself, which is written as `'\''`. A NUL cannot be a part of
/// any argument; [`super::LaunchScript::render`] refuses it.
///
/// ```
/// assert_eq!(ts_core::launch::quote("it's"), r"'it'\''s'");
/// ```
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    quoted.push_str(&text.replace('\'', r"'\''"));
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::test_shells::present;
    use proptest::prelude::*;

    fn assert_survives(values: &[String]) {
        let words: Vec<_> = values.iter().map(|v| quote(v)).collect();
        let script = format!("printf '%s\\036' {}", words.join(" "));
        let expected = values.join("\u{1e}") + "\u{1e}";
        for shell in present() {
            let output = shell.output(&script, std::path::Path::new("/"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{shell:?}: {script}");
        }
    }

    #[test]
    fn hostile_values_survive_every_shell() {
        let hostile = [
            "",
            " ",
            "'",
            "''",
            "a'b",
            "\"",
            "\\",
            "\\\\",
            "\\'",
            "\n",
            "a\nb\n",
            "\t",
            "$(id)",
            "`id`",
            "$HOME",
            "${HOME}",
            "-n",
            "--",
            "-e\\n",
            "*",
            "?",
            "[a-z]",
            "~",
            "!",
            "!!",
            "#c",
            "a;b",
            "a&b",
            "a|b",
            "<>",
            "%s",
            "\r",
            "ünï ☃",
            "{a,b}",
            "$'x'",
            "\u{7f}",
            "\u{1}",
        ];
        assert_survives(&hostile.map(str::to_owned));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_text_survives_every_shell(values in prop::collection::vec("[^\0\u{1e}]{0,12}|['\"\\\\$`!\n *-]{0,8}", 1..8)) {
            assert_survives(&values);
        }
    }
}
