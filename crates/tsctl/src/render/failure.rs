//! Errors and warnings as people and programs read them: what happened, which key, what to do, and the causes.

use super::style::Style;
use crate::exit::Exit;
use serde_json::{Value, json};
use std::{error::Error as StdError, fmt::Write};
use ts_core::{Error, Warning, config::Problem};

/// An error in full.
pub(crate) fn error(error: &Error, json: bool, style: Style) -> String {
    let causes = causes(error);
    if json {
        return format!("{}\n", json!({ "error": object(error, &causes) }));
    }
    let mut text = parts(
        "error",
        &style.bad("error").to_string(),
        error.message(),
        error.key(),
        error.help(),
    );
    for cause in causes {
        let _ = writeln!(text, "  caused by: {cause}");
    }
    text
}

/// All problems of a configuration.
pub(crate) fn problems(problems: &[Problem], json: bool, style: Style) -> String {
    if json {
        let message = format!("the configuration has {}", count(problems.len()));
        return format!(
            "{}\n",
            json!({ "error": { "kind": "config", "exitCode": Exit::Usage.code(), "message": message, "problems": problems } })
        );
    }
    let mut text = String::new();
    for problem in problems {
        let key = Some(problem.key.as_str()).filter(|key| !key.is_empty());
        text += &parts(
            "error",
            &style.bad("error").to_string(),
            &problem.to_string(),
            key,
            problem.help.as_deref(),
        );
    }
    if problems.len() > 1 {
        let _ = writeln!(text, "{} found; nothing was started", count(problems.len()));
    }
    text
}

/// A warning.
pub(crate) fn warning(warning: &Warning, json: bool, style: Style) -> String {
    if json {
        return format!("{}\n", json!({ "warning": warning }));
    }
    parts(
        "warning",
        &style.warn("warning").to_string(),
        &warning.message,
        warning.key.as_deref(),
        warning.help.as_deref(),
    )
}

/// A warning of the configuration.
pub(crate) fn from_problem(problem: &Problem) -> Warning {
    Warning {
        message: problem.to_string(),
        key: Some(problem.key.clone()).filter(|key| !key.is_empty()),
        help: problem.help.clone(),
    }
}

/// An error as an object, for programs.
pub(crate) fn object(error: &Error, causes: &[String]) -> Value {
    json!({
        "kind": error.kind(),
        "exitCode": Exit::of(error).code(),
        "message": error.message(),
        "key": error.key(),
        "help": error.help(),
        "causes": causes,
    })
}

/// The causes from the nearest to the farthest. Each once: some errors repeat their cause in their own text.
pub(crate) fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !causes.iter().any(|known| known.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

fn count(n: usize) -> String {
    match n {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    }
}

/// `word: message`, with key and help aligned to the word's colon.
fn parts(word: &str, painted: &str, message: &str, key: Option<&str>, help: Option<&str>) -> String {
    let width = word.len();
    let mut text = format!("{painted}: {}\n", indented(message, width + 2));
    for (name, value) in [("key", key), ("help", help)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:>width$}: {}", indented(value, width + 2));
        }
    }
    text
}

fn indented(text: &str, by: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{:by$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ts_core::ErrorKind;

    #[test]
    fn an_error_says_what_happened_which_key_and_what_to_do() {
        let cause = std::io::Error::other("no route");
        let e = Error::new(ErrorKind::Unreachable, "cannot reach `a`")
            .with_key("machineList[0].ip")
            .with_help("check the name\nor the network")
            .with_source(cause);
        assert_eq!(
            error(&e, false, Style::new(false)),
            "error: cannot reach `a`\n  key: machineList[0].ip\n help: check the name\n       or the network\n  caused by: no route\n"
        );
        let object: Value = serde_json::from_str(&error(&e, true, Style::new(true))).unwrap();
        assert_eq!(object["error"]["exitCode"], 7);
        assert_eq!(object["error"]["kind"], "unreachable");
        assert_eq!(object["error"]["causes"][0], "no route");
    }

    #[test]
    fn colors_come_only_where_they_are_wanted() {
        let e = Error::new(ErrorKind::Io, "x");
        assert!(error(&e, false, Style::new(true)).starts_with("\x1b[31merror\x1b[0m: x"));
        assert!(!error(&e, false, Style::new(false)).contains('\x1b'));
    }
}
