//! Rules about the text of files: how they open, how long they are, and what they must not hold.

use super::{Finding, TextFile, rust_text};

/// Longest file with Rust code, in lines.
const MAX_LINES: usize = 600;

const OPENS: &str =
    "each file opens with one paragraph of `//!`: what it is responsible for, and what is deliberately not here";
const LENGTH: &str =
    "100 to 400 lines is the comfortable size, 600 the limit; split by step of the lifecycle, not by kind of type";
const IGNORED: &str = "no test is ignored: what needs a live cluster has its own command";
const UNFINISHED: &str = "what is not done yet is not there yet, or refused with a reason that a user can read";
const EXPECT: &str = "a lint is put aside by `#[expect(.., reason = \"..\")]`, not by `allow`";
const NEUTRAL: &str =
    "ts-core and ts-manager name no platform: what is right for one platform only belongs into its crate";
const PATHS: &str = "nothing names a path of the machine that it was written on";

/// Platforms whose name alone gives them away, whatever stands around it.
const TELLING: &[&str] = &[
    "kubeflow",
    "frameworkcontroller",
    "openpai",
    "paiYarn",
    "paiConfig",
    "dlts",
    "aml",
    "kubernetes",
];
/// Platforms whose name is an everyday word: what counts is a literal that is compared, matched, assigned or passed alone.
const EVERYDAY: &[&str] = &["local", "remote", "pai"];

/// Checks all files.
pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let mut findings = machine_paths(file);
    if file.path.strip_suffix(".rs").is_some() {
        findings.extend(shape(file));
        findings.extend(words(file));
        findings.extend(lint_attributes(file));
        findings.extend(platform_names(file));
    }
    findings
}

fn finding(file: &TextFile, line: usize, message: impl Into<String>, rule: &'static str) -> Finding {
    Finding {
        place: format!("{}:{line}", file.path),
        message: message.into(),
        rule,
    }
}

fn shape(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A crate may open with its README.
    if !["//!", "#![doc = include_str!("]
        .iter()
        .any(|opening| file.text.starts_with(opening))
    {
        findings.push(finding(file, 1, "does not open with `//!`", OPENS));
    }
    let lines = file.text.lines().count();
    if lines > MAX_LINES {
        findings.push(finding(file, lines, format!("{lines} lines"), LENGTH));
    }
    findings
}

fn words(file: &TextFile) -> Vec<Finding> {
    let code = rust_text::code_only(&file.text);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for (word, rule) in [
            ("#[ignore", IGNORED),
            ("todo!", UNFINISHED),
            ("unimplemented!", UNFINISHED),
            ("dbg!", UNFINISHED),
            ("#[allow(", EXPECT),
            ("#![allow(", EXPECT),
        ] {
            let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
            if line
                .match_indices(word)
                .any(|(at, _)| !line[..at].ends_with(part_of_word))
            {
                findings.push(finding(file, number, format!("`{word}`"), rule));
            }
        }
    }
    findings
}

/// `expect` without a reason. The reason may stand on a later line of the attribute.
fn lint_attributes(file: &TextFile) -> Vec<Finding> {
    let code = rust_text::code_only(&file.text);
    let mut findings = Vec::new();
    for (at, _) in code.match_indices("[expect(") {
        let attribute = &code[at..at + code[at..].find(']').unwrap_or(code.len() - at)];
        if !attribute.contains("reason") {
            let line = 1 + code[..at].matches('\n').count();
            findings.push(finding(file, line, "`expect` without a reason", EXPECT));
        }
    }
    findings
}

/// String literals that name a platform in the code of crates that know none. Tests and documentation may give examples.
fn platform_names(file: &TextFile) -> Vec<Finding> {
    let neutral = ["crates/ts-core/src/", "crates/ts-manager/src/"]
        .iter()
        .any(|folder| file.path.starts_with(folder));
    if !neutral || is_test_file(&file.path) {
        return Vec::new();
    }
    let source = rust_text::without_test_modules(&file.text);
    let complaint = |line, text: &str, name: &str| {
        let message = format!("the literal {text:?} names the platform `{name}`");
        finding(file, line, message, NEUTRAL)
    };
    let mut findings = Vec::new();
    for (line, text) in rust_text::strings(&source) {
        if let Some(name) = TELLING.iter().find(|name| rust_text::has_word(&text, name)) {
            findings.push(complaint(line, &text, name));
        }
    }
    for (number, line) in (1..).zip(rust_text::without_comments(&source).lines()) {
        let meant = |name: &&&str| {
            ["= \"NAME\"", "\"NAME\" =>", "\"NAME\" |", "| \"NAME\"", "(\"NAME\")"]
                .iter()
                .any(|form| line.contains(&form.replace("NAME", name)))
        };
        if let Some(name) = EVERYDAY.iter().find(meant) {
            findings.push(complaint(number, name, name));
        }
    }
    findings
}

/// Files that are compiled for tests only, by the names in use.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.contains("/tests/") || name == "tests.rs" || name.ends_with("_tests.rs") || name.starts_with("test_")
}

fn machine_paths(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for folder in [concat!("/wo", "rk/"), concat!("/ro", "ot/")] {
            let inside_path = |c: char| c.is_alphanumeric() || "._-}*)>".contains(c);
            if line
                .match_indices(folder)
                .any(|(at, _)| !line[..at].ends_with(inside_path))
            {
                findings.push(finding(file, number, format!("names a path in `{folder}`"), PATHS));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        check(&[file]).into_iter().map(|f| f.message).collect()
    }

    fn in_code(text: &str) -> Vec<String> {
        messages("crates/ts-core/src/x.rs", &format!("//! Opens.\n{text}\n"))
    }

    #[test]
    fn a_file_opens_with_what_it_is_for() {
        assert_eq!(
            messages("crates/x/src/lib.rs", "use a::b;\n"),
            ["does not open with `//!`"]
        );
        assert!(messages("crates/x/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n").is_empty());
        assert!(messages("crates/x/build.sh", "echo\n").is_empty());
    }

    #[test]
    fn a_file_has_at_most_600_lines() {
        let lines = |n: usize| format!("//!{}", "\n".repeat(n));
        assert!(messages("a.rs", &lines(600)).is_empty());
        assert_eq!(messages("a.rs", &lines(601)), ["601 lines"]);
    }

    #[test]
    fn unfinished_work_and_ignored_tests_are_found_in_code_only() {
        assert_eq!(in_code(concat!("fn f() { to", "do!() }")), ["`todo!`"]);
        assert_eq!(in_code("#[ignore = \"slow\"]\n#[test]\nfn f() {}"), ["`#[ignore`"]);
        assert!(in_code("// todo!() is not for us\nlet a = \"unimplemented!\"; my_todo!();").is_empty());
    }

    #[test]
    fn a_lint_is_put_aside_with_a_reason() {
        assert_eq!(in_code("#[allow(dead_code)]"), ["`#[allow(`"]);
        assert_eq!(in_code("#[expect(dead_code)]"), ["`expect` without a reason"]);
        assert!(in_code("#[expect(\n  dead_code,\n  reason = \"used by [x]\"\n)]").is_empty());
    }

    #[test]
    fn neutral_crates_name_no_platform() {
        assert_eq!(
            in_code("if p == \"local\" {}"),
            ["the literal \"local\" names the platform `local`"]
        );
        assert_eq!(in_code("f(\"see dlts docs\")").len(), 1);
        assert_eq!(in_code("match p { \"remote\" => 1, _ => 2 }").len(), 1);
        assert!(in_code("const WORDS: &[&str] = &[\"let\", \"local\", \"logout\"];").is_empty());
        assert!(in_code("f(\"a local file\"); // `kubeflow`\n/// \"aml\"\nfn g() {}").is_empty());
        assert!(in_code("#[cfg(test)]\nmod tests { const P: &str = \"remote\"; }").is_empty());
        assert!(messages("crates/ts-local/src/lib.rs", "//! Local.\nconst P: &str = \"local\";").is_empty());
        assert!(
            messages(
                "crates/ts-core/src/config/tests/v1.rs",
                "//! V1.\nconst P: &str = \"aml\";"
            )
            .is_empty()
        );
    }

    #[test]
    fn paths_of_one_machine_are_found_in_any_file() {
        let path = concat!("/wo", "rk/main");
        assert_eq!(messages("README.md", &format!("see {path}")).len(), 1);
        assert!(messages("README.md", concat!("see target/wo", "rk/x and $HOME/wo", "rk/")).is_empty());
    }
}
