//! Delivers the code: packed once onto the storage, from where each container unpacks it.

use crate::core::Core;
use ts_codedir::Shelf;
use ts_core::{CodeDirectory, Prepared, Result};

pub(crate) async fn prepare(core: &Core, directory: &CodeDirectory) -> Result<Prepared> {
    Shelf::new(core.folders.code()).put(&core.ctx, directory).await
}
