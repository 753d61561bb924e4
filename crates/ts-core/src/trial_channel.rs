//! Where trials on this machine find NNI's HTTP channel: said by whoever serves it, in the experiment's directory, and read by the
//! platform that starts them. Neither knows the other.

use crate::{Error, Result, Secret, TrialId, write_private};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What the SDK is told it by.
///
/// Source: nni v3.0, `nni/runtime/env_vars.py` and `nni/runtime/trial_command_channel/__init__.py`.
pub const TRIAL_CHANNEL_VARIABLE: &str = "NNI_TRIAL_COMMAND_CHANNEL";

fn file_in(experiment: &Path) -> PathBuf {
    experiment.join("channel.url")
}

/// Says that trials of the experiment in this directory find their channel below `base`, an address without a slash at its end. It
/// holds what entitles to use it, so only the user may read the file.
///
/// # Errors
/// Those of the file.
pub fn offer_trial_channel(experiment: &Path, base: &Secret) -> Result<()> {
    write_private(&file_in(experiment), base.expose().as_bytes())
}

/// Says that there is none; fine if there was none.
///
/// # Errors
/// Those of the file.
pub fn withdraw_trial_channel(experiment: &Path) -> Result<()> {
    let file = file_in(experiment);
    match fs::remove_file(&file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &file, e)),
        _ => Ok(()),
    }
}

/// The address of a trial's channel, if there is one.
///
/// # Errors
/// Those of the file.
pub fn trial_channel(experiment: &Path, trial: &TrialId) -> Result<Option<Secret>> {
    let file = file_in(experiment);
    match fs::read_to_string(&file) {
        Ok(base) => Ok(Some(Secret::new(format!("{base}/{trial}")))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &file, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_there_from_the_offer_to_the_withdrawal() {
        let dir = tempfile::tempdir().expect("a folder");
        let trial = TrialId::new("Ab1cd").expect("an id");
        let channel = || trial_channel(dir.path(), &trial).expect("readable");
        assert!(channel().is_none());
        offer_trial_channel(dir.path(), &Secret::new("http://127.0.0.1:80/env/x")).expect("room");
        assert_eq!(channel().expect("one").expose(), "http://127.0.0.1:80/env/x/Ab1cd");
        withdraw_trial_channel(dir.path()).expect("gone");
        withdraw_trial_channel(dir.path()).expect("gone already");
        assert!(channel().is_none());
    }
}
