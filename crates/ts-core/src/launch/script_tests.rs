//! The script under every shell of the machine: layout, exit codes, hostile values, signals and a full disk.

use super::*;
use crate::launch::{TrialPaths, parse_state, test_shells::present};
use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

fn start(shell: super::super::test_shells::Shell, dir: &Path, script: &LaunchScript) -> Child {
    let path = TrialPaths::new(dir).script();
    fs::write(&path, script.render().expect("a legal script")).expect("written");
    let shell = shell.command();
    // Whoever runs the tests in the background may have SIGINT ignored, and no shell can undo that; `env` of GNU can.
    let restore = ["--default-signal=INT,TERM,HUP"];
    let mut command = Command::new("env");
    let can_restore = Command::new("env")
        .args(restore)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if can_restore.is_ok_and(|status| status.success()) {
        command.args(restore);
    }
    command.arg(shell.get_program()).args(shell.get_args());
    // The script itself has nothing to say; shells remark there that a command was killed.
    command.arg(path).process_group(0).stderr(Stdio::null());
    command.spawn().expect("the shell starts")
}

/// Runs `command` in every shell and gives `(code of the state, stdout, stderr)` of each.
fn run(command: &str) -> Vec<(i32, String, String)> {
    let run_in = |shell| {
        let dir = tempfile::Builder::new()
            .prefix("it's $HOME `x` ")
            .tempdir()
            .expect("a directory");
        let text = dir.path().to_str().expect("UTF-8");
        let script = LaunchScript::new(text, text, command)
            .with_env([("GREETING".to_owned(), "it's\n$HOME".to_owned())])
            .with_visible_devices(Some("0,2".to_owned()));
        let mut child = start(shell, dir.path(), &script);
        let pid = child.id();
        let status = child.wait().expect("waited");
        let paths = TrialPaths::new(dir.path());
        let state = fs::read_to_string(paths.state()).expect("a state");
        let exit = parse_state(&state).expect("a complete state");
        assert!(exit.at.is_some_and(|at| at.0 > 1_600_000_000_000), "{state:?}");
        assert_eq!(status.code(), Some(exit.code), "the script ends as the command did");
        assert_eq!(fs::read_to_string(paths.job_pid()).expect("a pid"), format!("{pid}\n"));
        assert!(paths.metrics().exists());
        let log = |name| fs::read_to_string(dir.path().join(name)).expect("a log");
        (exit.code, log("stdout"), log("stderr"))
    };
    present().into_iter().map(run_in).collect()
}

#[test]
fn exit_codes_survive_whatever_the_command_does() {
    let cases = [
        ("true", 0),
        ("false", 1),
        ("sh -c 'exit 7'", 7),
        ("exit 3", 3),
        ("exec sh -c 'exit 4'", 4),
        ("set -e; false; true", 1),
        // Not `kill -9 $$`: where bash is missing, that is the script itself, as it would be in any `sh`.
        ("exec sh -c 'kill -9 $$'", 137),
        ("sh -c 'kill -15 $$'", 143),
        ("nosuchprogram-here", 127),
        ("nosuchprogram-here; true", 0),
        ("if", 2),
        ("echo 'open", 2),
    ];
    for (command, expected) in cases {
        for (code, ..) in run(command) {
            assert_eq!(code, expected, "{command}");
        }
    }
}

#[test]
fn the_command_sees_its_environment_and_no_input() {
    for (code, stdout, stderr) in run("printf '%s|%s|' \"$CUDA_VISIBLE_DEVICES\" \"$GREETING\"; cat; echo oops >&2") {
        assert_eq!(
            (code, stdout.as_str(), stderr.as_str()),
            (0, "0,2|it's\n$HOME|", "oops\n")
        );
    }
}

#[test]
fn a_missing_working_directory_runs_nothing() {
    for shell in present() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = dir.path().to_str().expect("UTF-8");
        let script = LaunchScript::new(text, format!("{text}/gone"), "printf ran").with_clock(StateClock::FileTime);
        fs::create_dir(dir.path().join(".nni")).expect("made");
        fs::write(dir.path().join(".nni/metrics"), "kept").expect("written");
        start(shell, dir.path(), &script).wait().expect("waited");
        let read = |name| fs::read_to_string(dir.path().join(name)).expect("a file");
        assert_eq!(read(".nni/state"), "1 0\n");
        assert_eq!(read("stdout"), "");
        assert!(read("stderr").contains("gone"));
        assert_eq!(read(".nni/metrics"), "kept");
    }
}

#[test]
fn a_group_signal_ends_the_command_and_is_recorded() {
    let handled = "sh -c 'trap \"exit 0\" TERM; : >ready; while :; do sleep 0.05; done'";
    let cases = [
        (": >ready; exec sleep 100", "TERM", 143),
        ("sh -c ': >ready; exec sleep 100'", "TERM", 143),
        ("sh -c ': >ready; exec sleep 100'", "INT", 130),
        ("sh -c ': >ready; exec sleep 100'; touch late", "TERM", 143),
        ("sh -c ': >ready; exec sleep 100' || touch late", "INT", 130),
        (handled, "TERM", 0),
    ];
    for (command, signal, expected) in cases {
        for shell in present() {
            let dir = tempfile::tempdir().expect("a directory");
            let text = dir.path().to_str().expect("UTF-8");
            let script = LaunchScript::new(text, text, command).with_clock(StateClock::FileTime);
            let mut child = start(shell, dir.path(), &script);
            // One process waits for the mark, with a deadline, and then signals the whole group.
            let send = format!(
                "n=0; until [ -e ready ]; do n=$((n+1)); [ $n -lt 500 ] || exit 9; sleep 0.02; done; kill -{signal} -{}",
                child.id()
            );
            assert!(shell.output(&send, dir.path()).status.success(), "{command}");
            child.wait().expect("waited");
            let state = fs::read_to_string(dir.path().join(".nni/state")).expect("a state");
            assert_eq!(state, format!("{expected} 0\n"), "{shell:?} {signal} {command}");
            assert!(!dir.path().join("late").exists(), "nothing starts after the signal");
        }
    }
}

#[test]
fn a_state_that_cannot_be_written_is_written_when_it_can() {
    for shell in present() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = dir.path().to_str().expect("UTF-8");
        // A link to the full device: the first write fails, removing "the partial file" makes room.
        let full = "ln -s /dev/full \"$PWD/.nni/state\"";
        let script = LaunchScript::new(text, text, full).with_clock(StateClock::FileTime);
        start(shell, dir.path(), &script).wait().expect("waited");
        let state = fs::symlink_metadata(dir.path().join(".nni/state")).expect("a state");
        assert!(state.is_file(), "{shell:?}");
        assert_eq!(
            fs::read_to_string(dir.path().join(".nni/state")).expect("text"),
            "0 0\n"
        );
    }
}

#[test]
fn what_no_shell_can_take_is_refused() {
    let good = || LaunchScript::new("/t", "/c", "true");
    assert!(good().render().is_ok());
    for name in ["", "1A", "A-B", "A=B", "Ä", "A\n"] {
        assert!(
            good().with_env([(name.to_owned(), String::new())]).render().is_err(),
            "{name:?}"
        );
    }
    for bad in [
        LaunchScript::new("t", "/c", "true"),
        LaunchScript::new("/t", "c", "true"),
        LaunchScript::new("/t", "/c", " \n"),
        LaunchScript::new("/t", "/c", "a\0b"),
    ] {
        assert_eq!(bad.render().expect_err("refused").kind(), ErrorKind::Config);
    }
}
