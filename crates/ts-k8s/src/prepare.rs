//! Delivers the code: packed once here; onto the storage if there is one, else into each pod when it starts.

use crate::{anchor, core::Core, volume};
use std::sync::Arc;
use ts_codedir::Spool;
use ts_core::{CodeDirectory, Prepared, Result};

pub(crate) async fn prepare(core: &Core, directory: &CodeDirectory) -> Result<Prepared> {
    core.need();
    let read = async {
        Spool::new(&core.ctx, directory)
            .await
            .map(|spool| core.add_spool(spool))
    };
    // One connection for this step: what the watch meets is not waited for.
    let ready = connected(core).await?;
    anchor::ensure_secrets(core, &ready.cluster).await?;
    let (digest, location) = if let Some(storage) = &core.config.storage {
        let spool = volume::prepare(core, storage, &ready.cluster, read).await?;
        tracing::info!("the code is there");
        let digest = spool.digest().to_owned();
        let location = crate::object::code_dir(storage, &core.experiment, &digest);
        (digest, location)
    } else {
        let spool = read.await?;
        // The first pods come soon.
        drop(spool.pack(&core.ctx.tasks));
        let digest = spool.digest().to_owned();
        let location = format!("{}/{digest}", ts_codedir::PACKAGES);
        (digest, location)
    };
    Ok(Prepared::new(Some(digest), location))
}

/// The cluster, or at once the reason why it cannot be used.
pub(crate) async fn connected(core: &Core) -> Result<Arc<crate::core::Ready>> {
    if let Some(ready) = core.ready_now() {
        return Ok(ready);
    }
    core.connect().await.map(Arc::new)
}
