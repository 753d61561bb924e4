//! Login shells that differ, talk, or restrict: trials run behind all of them.

use crate::machine::Machine;
use std::path::Path;
use ts_core::{CancelReason, TrialStatus};
use ts_testkit::conformance::{Behavior, Client};

async fn runs_trials(shell: Vec<String>) {
    let machine = Machine::with(|setting, _| setting.shell.clone_from(&shell)).await;
    std::fs::write(machine.path("code/a"), "a").expect("a file");
    let client = Client::start(&machine).await;
    let mut seen = client.watch();
    let done = client
        .submit(&Behavior::Exit {
            metrics: vec!["µ \"1\"".into(), "2".into()],
            code: 3,
        })
        .await;
    let history = seen.until_end(&done.id).await;
    assert_eq!(history.bodies(), ["µ \"1\"", "2"], "{shell:?}");
    assert_eq!(history.status(), Some(TrialStatus::Failed));
    let endless = client
        .submit(&Behavior::Detach {
            metrics: vec!["1".into()],
        })
        .await;
    seen.until_metrics(&endless.id, 1).await;
    client.cancel(&endless.id, CancelReason::User).await;
    seen.until_end(&endless.id).await;
    client.until_nothing_runs(&endless.id).await;
    client.finish().await;
}

/// A login shell that writes to both outputs, as a start-up file may, and leaves binary rubbish without a line end.
fn noisy(dir: &Path) -> Vec<String> {
    let file = dir.join("noisy.sh");
    let text = "echo 'Welcome! J a 0 5'\nprintf 'E x 1\\n\\033[1m\\377' ; echo oops >&2\nexec /bin/bash \"$@\"\n";
    std::fs::write(&file, text).expect("a file");
    vec!["/bin/sh".into(), file.display().to_string()]
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_and_its_restricted_kind() {
    runs_trials(vec!["/bin/bash".into()]).await;
    runs_trials(vec!["/bin/bash".into(), "-r".into()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_talks_before_it_listens() {
    let dir = tempfile::tempdir().expect("a directory");
    runs_trials(noisy(dir.path())).await;
}

/// With busybox alone on the `PATH`: its shell, its `ls`, its `head`, its `tar`. The end-to-end tests insist on it; here it is
/// tried where it is.
#[expect(clippy::disallowed_macros, reason = "a test tells what it could not try")]
#[tokio::test(flavor = "multi_thread")]
async fn busybox_alone() {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(busybox) = busybox else {
        return eprintln!("not tried, because missing here: busybox");
    };
    let listed = std::process::Command::new(busybox).arg("--list").output();
    let dir = tempfile::tempdir().expect("a directory");
    for applet in String::from_utf8_lossy(&listed.expect("it is there").stdout).lines() {
        std::os::unix::fs::symlink(busybox, dir.path().join(applet)).expect("a link");
    }
    let file = dir.path().join("login.sh");
    let text = format!("PATH={}\nexport PATH\nexec sh \"$@\"\n", dir.path().display());
    std::fs::write(&file, text).expect("a file");
    runs_trials(vec!["/bin/sh".into(), file.display().to_string()]).await;
}
