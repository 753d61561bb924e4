//! What takes long to make is made once for each user of a machine and kept: a folder named after the recipe it was made by.
//!
//! What is in the folder, and how it is made, is the caller's to say. Nothing here is ever removed but unfinished folders.

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of this name and recipe, which `make` fills unless it is there. Whoever comes meanwhile waits.
///
/// `make` is given an empty folder beside the final one, which gets its name only when all is well; what a killed run left
/// there is removed by the next one.
pub(super) fn provide(name: &str, recipe: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    provide_in(&folder()?, name, recipe, make)
}

fn provide_in(cache: &Path, name: &str, recipe: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let name = format!("{name}-{}", &digest_of(recipe)[..12]);
    let finished = cache.join(&name);
    if finished.is_dir() {
        return Ok(finished);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot make `{}`", cache.display()))?;
    let lock = fs::File::create(cache.join(format!(".{name}.lock")))?;
    lock.lock().context("cannot wait for whoever makes the same")?;
    if finished.is_dir() {
        return Ok(finished);
    }
    let unfinished = cache.join(format!(".{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir(&unfinished)?;
    make(&unfinished)?;
    fs::rename(&unfinished, &finished)?;
    Ok(finished)
}

/// SHA-256 of all parts, in hexadecimal.
fn digest_of(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // With its length, so that no text can move from one part to the next.
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hexadecimal(&digest.finalize())
}

/// Bytes as text.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Source: XDG Base Directory Specification 0.8, `$XDG_CACHE_HOME`.
fn folder() -> Result<PathBuf> {
    let stated = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let folder = stated.or_else(|| Some(env::home_dir()?.join(".cache")));
    Ok(folder
        .context("this user has no home directory")?
        .join("training-service-e2e"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn scratch(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("ts-xtask-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn it_is_made_once_for_each_recipe() {
        let cache = scratch("once");
        let fill = |folder: &Path| Ok(fs::write(folder.join("made"), "")?);
        let made = provide_in(&cache, "thing", &["a", "b"], fill).unwrap();
        assert!(made.join("made").is_file());
        let again = provide_in(&cache, "thing", &["a", "b"], |_| bail!("made twice")).unwrap();
        assert_eq!(made, again);
        assert_ne!(provide_in(&cache, "thing", &["ab"], fill).unwrap(), made);
        fs::remove_dir_all(cache).unwrap();
    }

    #[test]
    fn what_failed_is_not_taken_for_made_and_leaves_nothing_to_the_next() {
        let cache = scratch("failed");
        let broken = provide_in(&cache, "thing", &["a"], |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("broken")
        });
        assert_eq!(broken.unwrap_err().to_string(), "broken");
        let made = provide_in(&cache, "thing", &["a"], |folder| {
            Ok(fs::write(folder.join("whole"), "")?)
        })
        .unwrap();
        assert!(made.join("whole").is_file() && !made.join("half").exists());
        fs::remove_dir_all(cache).unwrap();
    }
}
