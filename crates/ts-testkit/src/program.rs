//! Scripts that tests put in the place of programs.

use std::{path::Path, process::Command};

/// Writes a script that can be run at once.
///
/// A process of its own writes it: what a test writes itself is open in every program that another test starts meanwhile, until
/// that has become another program, and what is open for writing does not run (execve(2), `ETXTBSY`).
///
/// # Panics
/// If it cannot be written.
pub fn write_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf %s "$1" >"$0" && chmod 755 "$0""#]);
    let status = shell.arg(path).arg(text).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cannot write `{}`",
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a program");
        write_program(&path, "#!/bin/sh\nprintf '%s' \"it's $1 \\n\"\n");
        let output = Command::new(&path).arg("é").output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's é \\n");
    }
}
