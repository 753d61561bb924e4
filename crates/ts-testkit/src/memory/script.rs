//! The script language of the reference platform's commands: parsing only. Running a script is the job's part.

use std::collections::VecDeque;

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    /// `metric BODY`: appends a frame with this very body to the journal.
    Metric(String),
    /// `intermediate VALUE` and `final VALUE`: append a metric as NNI's SDK writes it.
    Report { last: bool, value: String },
    /// `stdout TEXT`, `stderr TEXT`: writes a line.
    Print { error: bool, text: String },
    /// `gate NAME`: blocks until the test opens that gate.
    Gate(String),
    /// `parameters`: reports the text of the parameters at hand as a metric, blocking until there are some.
    Parameters,
    /// `next`: takes the next parameters as NNI's SDK does, asking for them if they are not there.
    Next,
    /// What `next` goes on with: waits for the parameters that were asked for.
    Read,
    /// `score`: reports the `x` of the parameters at hand as their final result, if there are parameters.
    Score,
    /// `ignore-term`: from here on only the forced end stops the job.
    IgnoreTerm,
    /// `detach`: starts a process that leaves the job's process group.
    Detach,
    /// `wait`: blocks until something ends the job from outside.
    Wait,
    /// `exit CODE`: ends the job.
    Exit(i32),
}

/// Parses a command: statements divided by newlines, or by `;` outside of double quotes.
///
/// # Errors
/// What a shell would have written to standard error; the job then ends with code 127.
pub(super) fn parse(command: &str) -> Result<VecDeque<Statement>, String> {
    let statements: VecDeque<_> = split(command).map(statement).collect::<Result<_, _>>()?;
    if statements.is_empty() {
        return Err("sh: 1: an empty command".into());
    }
    Ok(statements)
}

fn split(command: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    command
        .split(move |c| {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = quoted,
                '"' => quoted = !quoted,
                '\n' => {
                    quoted = false;
                    return true;
                }
                ';' => return !quoted,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

fn statement(text: &str) -> Result<Statement, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    Ok(match (word, rest) {
        ("metric", body) => Statement::Metric(body.into()),
        ("intermediate" | "final", value) => Statement::Report {
            last: word == "final",
            value: value.into(),
        },
        ("stdout" | "stderr", text) => Statement::Print {
            error: word == "stderr",
            text: text.into(),
        },
        ("gate", name) => Statement::Gate(name.into()),
        ("parameters", "") => Statement::Parameters,
        ("next", "") => Statement::Next,
        ("score", "") => Statement::Score,
        ("ignore-term", "") => Statement::IgnoreTerm,
        ("detach", "") => Statement::Detach,
        ("wait", "") => Statement::Wait,
        ("exit", code) => Statement::Exit(code.parse().map_err(|_| format!("sh: 1: exit: {code}: bad number"))?),
        _ => return Err(format!("sh: 1: {word}: not found")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_divided_outside_of_quotes_only() {
        let parsed = parse("metric {\"a\": \"x; \\\"y\"}; gate g\n\nexit 3;").expect("a good script");
        let expected = [
            Statement::Metric("{\"a\": \"x; \\\"y\"}".into()),
            Statement::Gate("g".into()),
            Statement::Exit(3),
        ];
        assert_eq!(parsed, expected);
    }

    #[test]
    fn what_is_no_script_reads_like_a_complaint_of_the_shell() {
        for (command, complaint) in [
            ("python train.py", "sh: 1: python: not found"),
            ("exit x", "sh: 1: exit: x: bad number"),
            ("wait 3", "sh: 1: wait: not found"),
            (" ; \n", "sh: 1: an empty command"),
        ] {
            assert_eq!(parse(command), Err(complaint.into()), "{command}");
        }
    }
}
