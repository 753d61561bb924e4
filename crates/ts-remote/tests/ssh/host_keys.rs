//! Host keys on first contact and afterwards: who is trusted, what is written, what is refused.

use crate::{machine::Machine, server::Server};
use ts_core::{ErrorKind, Result, Warnings};
use ts_remote::HostKeyPolicy;
use ts_testkit::conformance::Fixture as _;

async fn contact(machine: &Machine, policy: Option<HostKeyPolicy>) -> Result<Warnings> {
    let config = format!("Host *\n UserKnownHostsFile {}\n", machine.path("known").display());
    std::fs::write(machine.path("ssh_config"), config).expect("a file");
    let ctx = machine.ctx();
    let mut config = machine.config();
    config.host_key_policy = policy;
    let service = machine.service_of(&ctx, vec![config]);
    let result = service.validate(&machine.spec).await;
    drop(service);
    ctx.tasks.close().await;
    result
}

fn known(machine: &Machine) -> String {
    std::fs::read_to_string(machine.path("known")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_with_its_fingerprint_unless_the_policy_takes_it() {
    for policy in [None, Some(HostKeyPolicy::Strict)] {
        let machine = Machine::with(|_, _| {}).await;
        let error = contact(&machine, policy).await.expect_err("nobody knows it");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("SHA256:"), "{error}");
        let help = error.help().expect("a way out");
        assert!(help.contains("hostKeyPolicy") || help.contains("ssh-keyscan"), "{help}");
        assert_eq!(known(&machine), "");
        std::fs::write(machine.path("known"), machine.server.known_host()).expect("a file");
        contact(&machine, policy).await.expect("it is known now");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_written_down_once_and_a_key_without_record_never() {
    let machine = Machine::with(|_, _| {}).await;
    for _ in 0..2 {
        contact(&machine, Some(HostKeyPolicy::Off)).await.expect("any key");
        assert_eq!(known(&machine), "");
    }
    for _ in 0..2 {
        contact(&machine, Some(HostKeyPolicy::AcceptNew))
            .await
            .expect("a new key");
        assert_eq!(known(&machine), machine.server.known_host());
    }
    contact(&machine, Some(HostKeyPolicy::Strict))
        .await
        .expect("it is known now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_refused_by_every_policy() {
    let machine = Machine::with(|_, _| {}).await;
    let other = Server::start(crate::server::Setting::new(machine.path("home"))).await;
    let (ours, theirs) = (machine.server.known_host(), other.known_host());
    let changed = format!(
        "{} {}",
        ours.split_once(' ').expect("a name").0,
        theirs.split_once(' ').expect("a key").1
    );
    std::fs::write(machine.path("known"), &changed).expect("a file");
    for policy in [
        None,
        Some(HostKeyPolicy::Strict),
        Some(HostKeyPolicy::AcceptNew),
        Some(HostKeyPolicy::Off),
    ] {
        let error = contact(&machine, policy).await.expect_err("it has changed");
        assert_eq!(error.kind(), ErrorKind::Denied, "{policy:?}: {error}");
        assert!(
            error.to_string().contains("chang") || error.to_string().contains("differ"),
            "{error}"
        );
        assert!(
            error
                .help()
                .is_some_and(|help| help.contains("ssh-keygen") && help.contains(" -R ")),
            "{:?}",
            error.help()
        );
        assert_eq!(known(&machine), changed);
    }
}
