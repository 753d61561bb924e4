//! The stream of code falls silent while the pod unpacks it, and something on the way takes it for dead.

use crate::{
    stored::{Stored, eventually},
    world::write,
};
use ts_core::TrialStatus;
use ts_testkit::{
    conformance::{Behavior, Client, Fixture as _},
    write_program,
};

/// Unpacking begins, and goes on once the gate `tar` is open.
fn unpack_slowly(world: &Stored) {
    let bin = world.world.path("bin");
    std::fs::create_dir(&bin).expect("room");
    let (begun, gate) = (world.world.path("begun"), world.world.path("gates/tar"));
    let script = format!(
        "#!/bin/sh\ntrue >'{}'\nwhile [ ! -e '{}' ]; do sleep 0.05; done\nPATH=/usr/bin:/bin exec tar \"$@\"\n",
        begun.display(),
        gate.display()
    );
    write_program(&bin.join("tar"), &script);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    world.world.kubelet.image_env("PATH", &path);
}

async fn is_cut_while_it_unpacks(world: &Stored) {
    let (begun, gate) = (world.world.path("begun"), world.world.path("gates/tar"));
    eventually("the unpacking", async || begun.exists()).await;
    world.world.server.cut_commands();
    write(&gate, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_whose_quiet_stream_is_cut_comes_onto_the_storage_over_another_one() {
    let world = Stored::fresh().await;
    unpack_slowly(&world);
    let (client, ()) = tokio::join!(Client::start(&world), is_cut_while_it_unpacks(&world));
    let trial = client
        .submit(&Behavior::Exit {
            metrics: vec![],
            code: 0,
        })
        .await;
    let end = client.watch().until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    client.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_whose_quiet_stream_is_cut_comes_into_the_pod_over_another_one() {
    let world = Stored::without().await;
    unpack_slowly(&world);
    let client = Client::start(&world).await;
    let trial = client
        .submit(&Behavior::Exit {
            metrics: vec![],
            code: 0,
        })
        .await;
    is_cut_while_it_unpacks(&world).await;
    let end = client.watch().until_end(&trial.id).await;
    assert_eq!(end.status(), Some(TrialStatus::Succeeded), "{end:?}");
    client.finish().await;
}
