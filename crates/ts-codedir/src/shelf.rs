//! Packages on storage that manager and workers share: one file for each content, put there whole and once.
//!
//! Where workers see the folder, and who unpacks, is each platform's own.

use crate::{Compression, pack, scan};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};
use ts_core::{CodeDirectory, Ctx, Error, ErrorKind, Prepared, Result};

/// A folder of packages.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The folder need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Puts the code there as a plain tar archive, unless this content is there; the receipt's location is the file's name.
    ///
    /// # Errors
    /// `CodeDir` if it cannot be packed, `Io` and others of the file system.
    ///
    /// # Cancel safety
    /// Dropping it may leave a draft, which nobody reads and the next one replaces.
    pub async fn put(&self, ctx: &Ctx, code: &CodeDirectory) -> Result<Prepared> {
        let (folder, code) = (self.folder.clone(), code.clone());
        ctx.tasks.blocking(move || put(&folder, &code)).await
    }

    /// Whether the package of a receipt is there. Blocks.
    ///
    /// # Errors
    /// `Conflict` if it is not, or the receipt is of something else.
    pub fn check(&self, code: &Prepared) -> Result<()> {
        if code.digest.is_some() && self.path(code).is_file() {
            return Ok(());
        }
        let message = format!("`{}` is no receipt of delivered code", code.location);
        Err(Error::new(ErrorKind::Conflict, message).with_help("call `prepare` of this service first"))
    }

    /// Where the package of a receipt is.
    pub fn path(&self, code: &Prepared) -> PathBuf {
        self.folder.join(&code.location)
    }
}

fn put(folder: &Path, code: &CodeDirectory) -> Result<Prepared> {
    let package = scan(code)?;
    let digest = crate::digest(&package)?;
    let name = format!("{}.tar", digest.hex());
    let path = folder.join(&name);
    let prepared = Prepared::new(Some(digest.to_string()), name);
    if path.is_file() {
        return Ok(prepared);
    }
    fs::create_dir_all(folder).map_err(|e| Error::io("make", folder, e))?;
    // Named after us: two managers may put the same content at the same time.
    let draft = folder.join(format!("{}.{}.part", digest.hex(), std::process::id()));
    let written = write(&package, &draft, &digest, &path);
    if written.is_err() {
        // What is left of it must not fill a disk that is full.
        let _ = fs::remove_file(&draft);
    }
    written.map(|()| prepared)
}

fn write(package: &crate::CodePackage, draft: &Path, digest: &crate::Digest, path: &Path) -> Result<()> {
    let file = File::create(draft).map_err(|e| Error::io("make", draft, e))?;
    let packed = pack(package, Compression::None, &file)?;
    if packed.digest != *digest {
        return Err(
            Error::new(ErrorKind::CodeDir, "the code directory was changed while it was packed")
                .with_key("trialCodeDirectory")
                .with_help("try again once nothing writes there"),
        );
    }
    file.sync_all().map_err(|e| Error::io("write", draft, e))?;
    fs::rename(draft, path).map_err(|e| Error::io("put in place", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_content_is_put_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let code = dir.path().join("code");
        fs::create_dir(&code).expect("room");
        fs::write(code.join("a.py"), "1").expect("room");
        let (ctx, code) = (Ctx::new(dir.path().join("work")), CodeDirectory::new(&code));
        let shelf = Shelf::new(dir.path().join("shelf"));
        let first = shelf.put(&ctx, &code).await.expect("put");
        let made = fs::metadata(shelf.path(&first))
            .expect("there")
            .modified()
            .expect("a time");
        assert_eq!(shelf.put(&ctx, &code).await.expect("put"), first);
        assert_eq!(
            fs::metadata(shelf.path(&first))
                .expect("there")
                .modified()
                .expect("a time"),
            made
        );
        shelf.check(&first).expect("it is there");
        let other = Prepared::new(first.digest.clone(), "other.tar");
        assert_eq!(shelf.check(&other).unwrap_err().kind(), ErrorKind::Conflict);
        let of_nothing = Prepared::new(None, first.location.clone());
        assert_eq!(shelf.check(&of_nothing).unwrap_err().kind(), ErrorKind::Conflict);
        fs::write(code.path.join("a.py"), "2").expect("room");
        assert_ne!(shelf.put(&ctx, &code).await.expect("put"), first);
        assert_eq!(fs::read_dir(dir.path().join("shelf")).expect("there").count(), 2);
    }
}
