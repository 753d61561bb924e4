//! A line that takes less than we have: packets are sent in parts, and what is stuck must go on, ends of input included.

use crate::machine::Machine;
use rand::Rng as _;
use std::{path::PathBuf, process::Command, time::Duration};
use ts_testkit::conformance::Fixture as _;

/// Bytes of code: several windows of the server.
const CODE: usize = 6 * 1024 * 1024;

fn find(folder: PathBuf, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            find(path, name)
        } else {
            path.ends_with(name).then_some(path)
        }
    })
}

/// The pair of sockets before a `ProxyCommand` holds less than the server's window lets us send.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_on_a_full_line_goes_on_and_arrives_whole() {
    if Command::new("bash").arg("--version").output().is_err() {
        tracing::warn!("no `bash` here: no line could be made slow");
        return;
    }
    let machine = Machine::with(|_, _| {}).await;
    let mut content = vec![0; CODE];
    rand::rng().fill_bytes(&mut content);
    std::fs::write(machine.path("code/noise"), &content).expect("a file");
    // A piece is no divisor of any packet, and each costs the start of a program.
    let relay = "exec 3<>/dev/tcp/%h/%p; cat <&3 & while :; do dd bs=30011 count=1 status=none >&3; done";
    std::fs::write(machine.path("ssh_config"), format!("ProxyCommand bash -c '{relay}'\n")).expect("a file");
    let mut config = machine.config();
    config.keepalive = Duration::from_secs(1);
    let ctx = machine.ctx();
    let service = machine.service_of(&ctx, vec![config]);
    service.prepare(&machine.spec.code).await.expect("slow, and alive");
    let there = find(machine.path("home"), "noise").expect("the code");
    assert!(
        std::fs::read(there).expect("readable") == content,
        "it arrived otherwise"
    );
    assert_eq!(machine.server.n_connections(), 1, "it was never taken for lost");
    drop(service);
    ctx.tasks.close().await;
}
