//! A machine of busybox alone: its shell, its `ls`, its `head`, its `tar`.

use super::{
    lab::{BUSYBOX, Lab},
    load,
    machine::Machine,
    study::Study,
};
use crate::{
    e2e::{Place, packages},
    shell,
};
use anyhow::{Context, Result};
use serde_json::json;
use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    process::Command,
};

/// Trials run, and a canceled one ends with its whole tree.
pub(super) fn alone(place: &Place, lab: &Lab) -> Result<()> {
    packages::provide(&[("busybox", "busybox")])?;
    let folder = lab.dir.join("applets");
    fs::create_dir(&folder)?;
    let path = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("busybox"))
        .find(|path| path.is_file());
    let path = path.context("`busybox` is not on the `PATH`")?;
    for applet in shell::output(Command::new(&path).arg("--list"))?.lines() {
        symlink(&path, folder.join(applet))?;
    }
    let login = lab.dir.join("busybox-login");
    fs::write(
        &login,
        format!("#!/bin/sh\nPATH={}\nexport PATH\nexec sh \"$@\"\n", folder.display()),
    )?;
    fs::set_permissions(&login, fs::Permissions::from_mode(0o755))?;
    shell::output(Command::new("usermod").arg("--shell").arg(&login).arg(BUSYBOX))?;
    let machine = Machine::new(lab, &[])?;
    let entry = machine.entry(lab, BUSYBOX, &json!({}));
    Study::short(vec![entry.clone()]).run(place, lab, "busybox")?;
    load::canceled(place, lab, "busybox-cancel", entry)
}
