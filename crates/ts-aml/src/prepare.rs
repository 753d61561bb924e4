//! Delivers the code: one package for each content, registered as a version of code under its digest; and the image.

use crate::{core::Core, job, names};
use ts_codedir::Shelf;
use ts_core::{CodeDirectory, Error, ErrorKind, Prepared, Result};

pub(crate) async fn prepare(core: &Core, directory: &CodeDirectory) -> Result<Prepared> {
    let shelf = Shelf::new(core.ctx.work_dir.join("code"));
    let packed = shelf.put(&core.ctx, directory).await?;
    let version = packed.location.trim_end_matches(".tar").to_owned();
    core.api.put_code(&version, &shelf.path(&packed), job::PACKAGE).await?;
    let image = &core.config.image;
    core.api.put_environment(&names::environment(image), image).await?;
    Ok(Prepared::new(packed.digest, version))
}

/// Refuses what `prepare` has not given.
pub(crate) fn check(code: &Prepared) -> Result<()> {
    let is_version = !code.location.is_empty() && code.location.bytes().all(|b| b.is_ascii_hexdigit());
    if code.digest.is_some() && is_version {
        return Ok(());
    }
    let message = format!("`{}` is no receipt of delivered code", code.location);
    Err(Error::new(ErrorKind::Conflict, message).with_help("call `prepare` of this service first"))
}
