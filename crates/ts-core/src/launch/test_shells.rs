//! The shells that tests run scripts with: those of `sh`, `dash`, `bash` and `busybox ash` that the machine has.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// A shell by its command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shell(&'static [&'static str]);

impl Shell {
    /// A command that runs this shell, arguments to follow.
    pub(super) fn command(self) -> Command {
        let mut command = Command::new(self.0[0]);
        command.args(&self.0[1..]);
        command
    }
    /// What `script` prints, given on the command line.
    pub(super) fn output(self, script: &str, dir: &Path) -> std::process::Output {
        let mut command = self.command();
        command.args(["-c", script]).current_dir(dir).stdin(Stdio::null());
        command.output().expect("the shell answered a moment ago")
    }
}

/// The shells present, `sh` always among them; says once per test which are missing.
#[expect(clippy::disallowed_macros, reason = "a test tells which shells it could not try")]
pub(super) fn present() -> Vec<Shell> {
    const SHELLS: [Shell; 4] = [
        Shell(&["sh"]),
        Shell(&["dash"]),
        Shell(&["bash"]),
        Shell(&["busybox", "ash"]),
    ];
    let (present, missing): (Vec<_>, Vec<_>) = SHELLS.into_iter().partition(|shell| {
        let mut probe = shell.command();
        probe.args(["-c", "exit 0"]).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    for shell in missing {
        eprintln!("not tried, because missing here: {}", shell.0.join(" "));
    }
    assert!(
        present.iter().any(|shell| shell.0 == ["sh"]),
        "every POSIX machine has `sh`"
    );
    present
}
