//! Runs every test of the workspace: builds once, then runs the test programs several at a time.
//!
//! `cargo test` runs one program after the other, and most of ours wait, for processes and servers. cargo-nextest would run them
//! together, but would have to be built first, and runs no documentation tests.

use crate::{
    shell::{self, cargo},
    workspace,
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io::Write as _,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

/// How many tests of a program run at a time. Source: The rustc book, "Tests", `--test-threads`.
const THREADS: &str = "RUST_TEST_THREADS";

/// A test program that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    /// Package and target, as people know it.
    name: String,
    file: PathBuf,
    /// Folder of its package, where cargo runs it.
    folder: PathBuf,
}

/// Runs them all, those of the documentation too; `true` if all pass.
pub(crate) fn run() -> Result<bool> {
    let root = workspace::root();
    let programs = build(&root)?;
    let n_cores = thread::available_parallelism().map_or(2, NonZero::get);
    let threads = env::var_os(THREADS).unwrap_or_else(|| (2 * n_cores).to_string().into());
    let mut failed = run_programs(programs, n_cores, &threads)?;
    let documentation = &["test", "--workspace", "--no-fail-fast", "--doc"];
    if !shell::succeeds(&mut cargo(&root, documentation))? {
        failed.push("examples in the documentation".to_owned());
    }
    for name in &failed {
        println!("failed: {name}");
    }
    Ok(failed.is_empty())
}

/// Builds everything that tests need, and says where the programs are.
fn build(root: &Path) -> Result<Vec<Program>> {
    let arguments = &[
        "test",
        "--workspace",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ];
    println!("  $ cargo {}", arguments.join(" "));
    let built = cargo(root, arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start `cargo`")?;
    if !built.status.success() {
        bail!("the tests do not build");
    }
    let text = String::from_utf8(built.stdout).context("cargo wrote something other than UTF-8")?;
    let programs: Vec<Program> = text.lines().filter_map(program).collect();
    if programs.is_empty() {
        bail!("cargo names no test program");
    }
    Ok(programs)
}

/// The test program that a message of cargo tells of, if it tells of one.
///
/// Source: The Cargo Book, "External tools", "JSON messages".
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let package = folder.file_name()?.to_string_lossy().into_owned();
    let target = message["target"]["name"].as_str()?;
    Some(Program {
        name: match message["target"]["kind"][0].as_str()? {
            "test" => format!("{package}, {target}"),
            kind => format!("{package}, unit tests of the {kind}"),
        },
        file: message["executable"].as_str()?.into(),
        folder: folder.to_owned(),
    })
}

/// Runs programs, `at_once` at a time, each one's words in one piece; the names of those that failed.
fn run_programs(programs: Vec<Program>, at_once: usize, threads: &OsStr) -> Result<Vec<String>> {
    let waiting = Mutex::new(VecDeque::from(programs));
    let failed = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || -> Result<()> {
        while let Some(program) = next() {
            if !passes(&program, threads)? {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(program.name);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(worked) => worked,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a program took is a fact about this machine"
)]
fn passes(program: &Program, threads: &OsStr) -> Result<bool> {
    let began = Instant::now();
    let output = Command::new(&program.file)
        .current_dir(&program.folder)
        // As cargo sets it.
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env(THREADS, threads)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", program.file.display()))?;
    let mut out = std::io::stdout().lock();
    let seconds = began.elapsed().as_secs_f64();
    writeln!(out, "\n== {} ({seconds:.1} s, {})", program.name, output.status)?;
    out.write_all(&output.stdout)?;
    out.write_all(&output.stderr)?;
    Ok(output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> Program {
        let file = folder.join(name);
        // Not written by us: a program that another test starts meanwhile would hold it open, and what is open does not run.
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod +x "$0""#;
        let mut written = Command::new("sh");
        written.args(["-c", write]).arg(&file).arg(text);
        assert!(written.status().unwrap().success());
        Program {
            name: name.to_owned(),
            file,
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn programs_run_together_and_those_that_fail_are_named() {
        let folder = env::temp_dir().join(format!("xtask-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // Each waits for a word of the other, so one after the other would never end.
        let programs = vec![
            script(&folder, "a", "touch a.here; until [ -e b.here ]; do sleep 0.01; done"),
            script(
                &folder,
                "b",
                "touch b.here; until [ -e a.here ]; do sleep 0.01; done; [ \"$RUST_TEST_THREADS\" = 3 ] && exit 1",
            ),
            script(&folder, "c", "[ \"$PWD\" = \"$CARGO_MANIFEST_DIR\" ]"),
        ];
        let failed = run_programs(programs, 2, OsStr::new("3")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(failed, ["b"]);
    }

    #[test]
    fn test_programs_are_told_from_other_messages() {
        let message = |test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/a/Cargo.toml","executable":{executable},
                    "target":{{"name":"rules","kind":["test"]}},"profile":{{"test":{test}}}}}"#
            )
        };
        let found = program(&message(true, r#""/t/rules-1""#)).unwrap();
        assert_eq!(
            (found.name.as_str(), found.folder.as_path()),
            ("a, rules", Path::new("/w/crates/a"))
        );
        for other in [
            message(false, r#""/t/a""#),
            message(true, "null"),
            "{}".to_owned(),
            "x".to_owned(),
        ] {
            assert_eq!(program(&other), None, "{other}");
        }
    }
}
