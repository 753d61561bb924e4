//! The code on a machine: sent once, shared by experiments, gone with the last of them, whole or not there.

use crate::machine::Machine;
use std::{fs, path::PathBuf};
use ts_core::{
    CleanupScope, CodeDirectory, Ctx, ExperimentSpec, IdSource as _, RandomIds, TrainingService as _, TrialStatus,
};
use ts_remote::{RemoteConfig, RemoteService};
use ts_testkit::conformance::{Behavior, Client};

/// Stands in the code and nowhere else.
const CONTENT: &str = "the content of a file that is sent";

/// What the machine keeps of code, by name.
fn kept(machine: &Machine) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(machine.path("home/nni-experiments"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(".code-"))
        .flat_map(|entry| fs::read_dir(entry.path()).expect("our folder").flatten())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A service of another experiment with the same code on the same machine.
fn other(machine: &Machine, name: &str) -> (Ctx, RemoteService, ExperimentSpec) {
    let spec = ExperimentSpec::new(
        RandomIds.experiment(),
        CodeDirectory::new(machine.path("code")),
        "exit 0",
    );
    let ctx = Ctx::new(machine.path(name));
    let mut config = RemoteConfig::new(vec![machine.config()]);
    config.ssh_config = Some(machine.path("ssh_config"));
    let service = RemoteService::new(ctx.clone(), config, spec.id.clone());
    (ctx, service, spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_share_the_code_and_the_last_one_takes_it_away() {
    let machine = Machine::with(|_, _| {}).await;
    fs::write(machine.path("code/a.py"), CONTENT).expect("a file");
    let client = Client::start(&machine).await;
    assert_eq!(
        kept(&machine).len(),
        2,
        "the code and who uses it: {:?}",
        kept(&machine)
    );
    let n_channels = machine.server.n_channels();

    let (ctx, second, spec) = other(&machine, "second");
    let receipt = second.prepare(&spec.code).await.expect("it is there");
    assert_eq!(receipt.digest, client.code.digest);
    assert_eq!(
        machine.server.n_channels() - n_channels,
        3,
        "requests, reports, one for code that is not sent"
    );
    let packed = machine.path("second/code").join("x").with_extension("tar.zst");
    assert!(!packed.exists());

    client.finish().await;
    assert_eq!(
        kept(&machine).len(),
        2,
        "another experiment uses it: {:?}",
        kept(&machine)
    );
    let report = second.cleanup(&CleanupScope::Experiment).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!(kept(&machine), Vec::<String>::new());
    assert!(
        !machine.path("home/nni-experiments").exists(),
        "nothing of ours is left"
    );
    drop(second);
    ctx.tasks.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_vanished_while_the_machine_was_away_is_sent_again() {
    let machine = Machine::with(|_, _| {}).await;
    fs::write(machine.path("code/a.py"), CONTENT).expect("a file");
    let client = Client::start(&machine).await;
    machine.server.stop().await;
    let folder: PathBuf = machine.path("home/nni-experiments");
    for entry in fs::read_dir(&folder).expect("our folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with(".code-") {
            fs::remove_dir_all(entry.path()).expect("our folder");
        }
    }
    machine.server.restart().await;
    let mut seen = client.watch();
    let done = Behavior::Exit {
        metrics: vec!["1".into()],
        code: 0,
    };
    let trial = client.submit(&done).await;
    let history = seen.until_end(&trial.id).await;
    assert_eq!(history.status(), Some(TrialStatus::Succeeded), "{history:?}");
    let there = machine.trial_dir(&trial.id).join("code/a.py");
    assert_eq!(fs::read_to_string(there).expect("a clone"), CONTENT);
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_somebody_else_in_the_place_of_the_code_is_not_used() {
    let machine = Machine::with(|_, directory| {
        // Open to all: anybody could put code there.
        let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata(directory).expect("ours"));
        let open = directory.join(format!("home/nni-experiments/.code-{uid}"));
        fs::create_dir_all(&open).expect("a folder");
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("ours");
    })
    .await;
    fs::write(machine.path("code/a.py"), CONTENT).expect("a file");
    let client = Client::start(&machine).await;
    assert_eq!(kept(&machine), Vec::<String>::new());
    let own = machine
        .path("home/nni-experiments")
        .join(machine.spec.id.as_str())
        .join("code");
    assert_eq!(fs::read_dir(own).expect("code of its own").count(), 2);
    client.finish().await;
}
