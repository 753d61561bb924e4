//! A container's `command` and `args` as one line for a shell, with the meaning that Kubernetes gives them.
//!
//! Words stay words; `$(NAME)` becomes the variable's value, and stays as it is where there is no such variable; `$$` is `$`.
//!
//! Source: kubernetes v1.20, `third_party/forked/golang/expansion/expand.go`.

use super::names;
use std::fmt::Write as _;

/// The line. A single word with spaces is a line already: no program is called so, and NNI joins words with spaces.
pub(super) fn command(words: &[&str]) -> String {
    match words {
        [line] if line.contains(' ') => (*line).to_owned(),
        _ => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut line = String::from("'");
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        line.push_str(&rest[..at].replace('\'', r"'\''"));
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            line.push('$');
            rest = after;
        } else if let Some((name, after)) = variable(rest) {
            // `${NAME-default}` in double quotes: what is there, or the reference itself.
            _ = write!(line, "'\"${{{name}-\\$({name})}}\"'");
            rest = after;
        } else {
            line.push('$');
            rest = &rest[1..];
        }
    }
    line.push_str(&rest.replace('\'', r"'\''"));
    line.push('\'');
    line
}

/// The name in `$(NAME)`, if a shell can have a variable of that name, and what follows.
fn variable(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("$(")?.split_once(')')?;
    let is_of_shells = names::env_name(name).is_ok() && !name.contains(['-', '.']);
    is_of_shells.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn simple_words_stay_readable() {
        assert_eq!(command(&["python3", "mnist.py", "--lr=x"]), "python3 mnist.py '--lr=x'");
        assert_eq!(command(&["cd x && python3 y.py"]), "cd x && python3 y.py");
    }

    /// Each word, as a shell gives it to a program that writes one argument a line.
    #[test]
    fn a_shell_reads_the_same_words() {
        for (word, expected) in [
            ("it's", "it's"),
            ("a b", "a b"),
            ("", ""),
            ("`id`; $HOME", "`id`; $HOME"),
            ("--port=$(PORT)!", "--port=80 81!"),
            ("$(UNSET_HERE)", "$(UNSET_HERE)"),
            ("$$(PORT)", "$(PORT)"),
            ("$(not a name)", "$(not a name)"),
            ("cost: 5$", "cost: 5$"),
            ("\\n\"", "\\n\""),
        ] {
            let line = command(&["printf", "[%s]", word]);
            let output = Command::new("sh")
                .args(["-c", &line])
                .env("PORT", "80 81")
                .output()
                .expect("a shell");
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                format!("[{expected}]"),
                "{line}"
            );
        }
    }
}
