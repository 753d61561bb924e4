//! A trial's request, stored in its folder before the platform hears of it.

use crate::{Error, ErrorKind, Result, follow::write_whole, launch::TrialPaths};
use serde::{Serialize, de::DeserializeOwned};
use std::{fs, io};

const REQUEST: &str = "job";

/// Stores the request, all of it or none.
///
/// # Errors
/// `Io`.
pub fn save_request(paths: &TrialPaths, request: &impl Serialize) -> Result<()> {
    let path = paths.exchange().join(REQUEST);
    let text = serde_json::to_vec(request).map_err(|e| {
        let message = format!("cannot write `{}` as JSON", path.display());
        Error::new(ErrorKind::Internal, message).with_source(e)
    })?;
    write_whole(&path, &text)
}

/// The stored request; `None` if there is none.
///
/// # Errors
/// `Io`, also for one that cannot be understood.
pub fn load_request<R: DeserializeOwned>(paths: &TrialPaths) -> Result<Option<R>> {
    let path = paths.exchange().join(REQUEST);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::io("understand", &path, e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &path, e)),
    }
}
