//! The only look at the file system: directories and files that a configuration names must be there.
//!
//! Nothing is written, and no file is read but the search space.

use std::path::Path;

pub(super) fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

pub(super) fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// The text of a file, without a byte-order mark; a message if it cannot be read as UTF-8.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("the file `{}` does not exist", path.display()),
        _ => format!("the file `{}` cannot be read: {e}", path.display()),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the file `{}` is not UTF-8", path.display()))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
