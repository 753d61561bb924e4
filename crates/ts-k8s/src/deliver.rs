//! Brings code to where `pod/receive.sh` takes it: into the volume of a pod, or through one onto storage that all share.
//!
//! The stream goes through the API server, so neither side opens a port; a cut one leaves nothing behind that counts.

use crate::{
    access::Cluster,
    core::Core,
    error, exec,
    object::{CODE_CONTAINER, RECEIVE, WORK_DIR},
    relay::PodLog,
    talk::{Talk, failed},
};
use std::{sync::Arc, time::Duration};
use ts_codedir::{Piece, Spool, Written};
use ts_core::{Error, ErrorKind, PROGRESS, Result, RetryPolicy, TaskScope, retry};

/// Time between two words on how far a delivery is.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Fewer bytes are no news.
const WORTH_TELLING: u64 = 4_000_000;

/// Where in a cluster a stream goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    /// Folder that is to hold the code.
    pub(crate) folder: &'a str,
    /// File that says that it does.
    pub(crate) mark: &'a str,
}

/// Brings the code into a pod whose init container waits for it.
pub(crate) async fn into_pod(core: &Core, pod: &str, digest: &str) -> Result<()> {
    let Some(spool) = core.spool(digest) else {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("the code `{digest}` is not prepared here"),
        ));
    };
    let ready = core.ready().await;
    let _turn = core.deliveries.acquire().await;
    let target = Target {
        cluster: &ready.cluster,
        pod,
        container: CODE_CONTAINER,
        folder: &format!("{WORK_DIR}/trial/code"),
        mark: &format!("{WORK_DIR}/ready"),
    };
    deliver(core, target, &spool).await
}

/// Brings the code to a target, over several streams if the first ones are cut.
pub(crate) async fn deliver(core: &Core, target: Target<'_>, spool: &Arc<Spool>) -> Result<()> {
    retry(&*core.ctx.clock, RetryPolicy::new(), true, |_| {
        deliver_once(core, target, spool)
    })
    .await
}

async fn deliver_once(core: &Core, target: Target<'_>, spool: &Arc<Spool>) -> Result<()> {
    let parent = target.folder.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let script = format!("mkdir -p '{parent}' || exit 1\n{RECEIVE}");
    let command = ["/bin/sh", "-c", &script, "tsctl", target.folder, target.mark];
    let container = (target.pod, target.container);
    let mut stream = Talk::start(&*core.ctx.clock, target.cluster, container, &command).await?;
    let word = stream.hear().await?;
    let is_plain = match word.as_str() {
        "there" => return Ok(()),
        "send plain" => true,
        "send zstd" => false,
        other => return Err(failed(other)),
    };
    let (form, length) = if is_plain {
        ("plain", spool.archive_bytes())
    } else {
        ("zstd", packed_bytes(spool, &core.ctx.tasks).await?)
    };
    stream.say(format!("{form} {length}\n").as_bytes()).await?;
    let tasks = &core.ctx.tasks;
    let mut pieces = if is_plain {
        spool.read_once(tasks)
    } else {
        spool.read(false, tasks)
    };
    let (mut sent, mut told) = (0_u64, core.ctx.clock.monotonic());
    loop {
        match pieces.recv().await {
            Some(Ok(Piece::Bytes(bytes))) => {
                stream.say(&bytes).await?;
                sent += bytes.len() as u64;
                let now = core.ctx.clock.monotonic();
                if sent >= WORTH_TELLING && now.saturating_sub(told) >= TELL_EVERY {
                    told = now;
                    let (sent, length) = (sent as f64 / 1e6, length as f64 / 1e6);
                    tracing::info!(target: PROGRESS, "sending the code to pod `{}`: {sent:.1} of {length:.1} MB", target.pod);
                }
            }
            Some(Ok(Piece::End)) => break,
            Some(Err(error)) => return Err(error),
            None => return Err(failed("the package was cut off")),
        }
    }
    if sent != length {
        return Err(failed("the package has not the length that was said"));
    }
    match stream.hear().await?.as_str() {
        "unpacked" => stream.say(b"ok\n").await?,
        other => return Err(failed(other)),
    }
    match stream.hear().await?.as_str() {
        "placed" => Ok(()),
        other => Err(failed(other)),
    }
}

/// How many bytes of the compressed package there are, once it is complete.
async fn packed_bytes(spool: &Spool, tasks: &TaskScope) -> Result<u64> {
    let mut written = spool.pack(tasks);
    let end = written.wait_for(|written| !matches!(written, Written::UpTo(_))).await;
    let end = end.map_err(|_| failed("packing was broken off"))?.clone();
    match end {
        Written::Failed(why) => Err(Error::new(ErrorKind::CodeDir, why)),
        _ => spool.packed_bytes().ok_or_else(|| failed("the package is gone")),
    }
}

/// Tells a pod whose log goes with it that all was heard; others end without being told.
pub(crate) async fn acknowledge(core: &Core, log: &PodLog) {
    if !core.kind().removes_pods() {
        return;
    }
    let mark = format!("true >{WORK_DIR}/heard");
    let told = retry(&*core.ctx.clock, RetryPolicy::new(), true, |_| async {
        let ready = core.ready().await;
        let command = ["/bin/sh", "-c", &mark];
        let done = exec::run(&*core.ctx.clock, &ready.cluster, &log.pod, &log.container, &command).await?;
        done.into_stdout("end the wait").map(drop)
    })
    .await;
    if let Err(error) = told {
        tracing::debug!(
            pod = log.pod,
            error = error::chain(&error),
            "the pod is not told; it ends by itself"
        );
    }
}
