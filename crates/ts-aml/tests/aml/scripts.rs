//! What the scripts in the containers do, step by step: tools that wait stand for a node that is slow.

use std::{fs, path::PathBuf};
use tokio::process::Command;
use ts_testkit::write_program;

const START: &str = include_str!("../../src/worker/start.sh");
const LOOP: &str = include_str!("../../src/worker/loop.sh");

/// The working directory of a job, in which `mount` is its mount, and `bin` holds tools that are found first.
struct Container(tempfile::TempDir);

impl Container {
    fn new() -> Self {
        let container = Self(tempfile::tempdir().expect("a temporary directory"));
        for folder in ["bin", "mount"] {
            fs::create_dir(container.path(folder)).expect("a folder");
        }
        container
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// A tool that does `before`, and then what it does otherwise.
    fn tool(&self, name: &str, before: &str) {
        let path = self.path("bin").join(name);
        let text = format!("#!/bin/sh\n{before}\nPATH=${{PATH#*:}}\nexec {name} \"$@\"\n");
        write_program(&path, &text);
    }

    /// Runs a script on the mount to its end; its exit code.
    async fn run(&self, script: &str) -> Option<i32> {
        self.write("script.sh", &format!("PATH=$PWD/bin:$PATH\n{script}"));
        let status = Command::new("sh")
            .args(["script.sh".into(), self.path("mount")])
            .current_dir(self.0.path())
            .status();
        status.await.expect("a shell").code()
    }

    /// Runs a trial whose launch script is this.
    async fn trial(&self, launch: &str) -> Option<i32> {
        let packed = Command::new("tar")
            .args(["-cf", "code.tar", "-T", "/dev/null"])
            .current_dir(self.0.path())
            .status();
        assert!(packed.await.expect("tar").success());
        self.write("launch.sh", launch);
        self.run(&format!("ts_unpack() {{ cp launch.sh \"$ts_dir/run.sh\"; }}\n{START}"))
            .await
    }
}

/// Notes when the end is copied although `wrong` holds.
fn end_watch(wrong: &str) -> String {
    format!("case $1 in */.nni/state) if {wrong}; then : >early; fi ;; esac")
}

#[tokio::test]
async fn the_end_is_copied_after_what_came_before_it() {
    let container = Container::new();
    // The trial reports and ends after the journal was looked for, and before the end is.
    container.tool("wc", ": >go\nuntil [ -e nni-trial/.nni/state ]; do sleep 0.05; done");
    container.tool("cat", &end_watch("[ ! -s mount/metrics ]"));
    let launch = "echo here >nni-trial/stdout\nuntil [ -e go ]; do sleep 0.05; done\n\
                  echo metric >nni-trial/.nni/metrics\necho end >nni-trial/.nni/state\nsleep 2\n";
    assert_eq!(container.trial(launch).await, Some(0));
    assert_eq!(container.read("mount/metrics").as_deref(), Some("metric\n"));
    assert_eq!(container.read("mount/state").as_deref(), Some("end\n"));
    assert_eq!(container.read("early"), None, "the end was there before the metric");
}

#[tokio::test]
async fn no_copy_goes_on_when_the_end_is_copied() {
    let container = Container::new();
    // The first copy of the journal takes until the end is there, or long.
    let slow = "case $1 in */.nni/metrics) if mkdir once 2>/dev/null; then\n: >busy\n: >go\nn=0\n\
                while [ ! -e mount/state ] && [ $n -lt 40 ]; do n=$((n + 1)); sleep 0.05; done\nrm busy\nfi ;; esac\n";
    container.tool("cat", &format!("{slow}{}", end_watch("[ -e busy ]")));
    let launch = "echo metric >nni-trial/.nni/metrics\nuntil [ -e go ]; do sleep 0.05; done\n\
                  echo end >nni-trial/.nni/state\n";
    assert_eq!(container.trial(launch).await, Some(0));
    assert!(container.path("once").exists());
    assert_eq!(container.read("mount/metrics").as_deref(), Some("metric\n"));
    assert_eq!(container.read("mount/state").as_deref(), Some("end\n"));
    assert_eq!(container.read("early"), None, "a copy of the journal went on");
}

#[tokio::test]
async fn a_worker_waits_for_the_script_of_a_trial() {
    let container = Container::new();
    fs::create_dir_all(container.path("mount/.workers/w")).expect("a folder");
    fs::create_dir(container.path("mount/T1")).expect("a folder");
    container.write("code.tar", "");
    container.write("mount/.workers/w/next.T1", "yes\n");
    // The mount shows the script only after it was looked for.
    container.tool(
        "ls",
        "case $1 in */T1) PATH=${PATH#*:} ls \"$@\"; echo 'exit 7' >mount/T1/start.sh; exit ;; esac",
    );
    let script = format!("ts_me=w\nts_experiment=E\nts_idle=1\nts_grace=1\n{LOOP}");
    assert_eq!(container.run(&script).await, Some(0));
    assert!(container.path("mount/.workers/w/over.7.T1").exists());
}
