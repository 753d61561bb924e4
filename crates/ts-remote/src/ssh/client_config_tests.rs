//! The client's configuration file, compared with what `ssh -G` makes of it.

use super::*;
use std::process::Command;

const FILE: &str = "\
Host bastion
  HostName 10.0.0.1
  User jump
  Port 2222

# the workers
Host gpu? !gpu9
  ProxyJump bastion
  IdentityFile ~/.ssh/first
  IdentityFile=\"/keys/se cond\"
  StrictHostKeyChecking accept-new
Host *.lab
  HostName %h.example.org
Match originalhost gpu2
  User special
Match exec \"true\"
  User never
Match all
  User common
  ServerAliveInterval 7
  ProxyCommand none
Host *
  Port 2200
";

fn settings(host: &str) -> HostSettings {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config");
    fs::write(&file, FILE).expect("room");
    let query = Query {
        host,
        user: None,
        home: None,
    };
    read(&[file, dir.path().join("absent")], query).expect("readable")
}

#[test]
fn the_first_value_wins_and_identity_files_add_up() {
    let gpu = settings("gpu1");
    assert_eq!(gpu.get("proxyjump"), Some("bastion"));
    assert_eq!(gpu.all("identityfile"), ["~/.ssh/first", "/keys/se cond"]);
    assert_eq!((gpu.get("user"), gpu.get("port")), (Some("common"), Some("2200")));
    assert_eq!(settings("gpu2").get("user"), Some("special"));
    assert_eq!(settings("gpu9").get("proxyjump"), None, "forbidden by its pattern");
    assert_eq!(settings("a.lab").get("hostname"), Some("%h.example.org"));
    let bastion = settings("bastion");
    assert_eq!((bastion.get("user"), bastion.get("port")), (Some("jump"), Some("2222")));
}

#[test]
fn included_files_count_where_they_are_included() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config");
    fs::create_dir(dir.path().join("d")).expect("room");
    fs::write(
        &file,
        "Host a\n Include d/*.conf\n User late\nHost *\n Include config\n",
    )
    .expect("room");
    fs::write(dir.path().join("d/1.conf"), "User early\n").expect("room");
    let query = |host| Query {
        host,
        user: None,
        home: None,
    };
    let read = |host| read(std::slice::from_ref(&file), query(host)).expect("ends, although it includes itself");
    assert_eq!(read("a").get("user"), Some("early"));
    assert_eq!(read("b").get("user"), None);
}

/// OpenSSH itself is the judge, where it is installed.
#[test]
fn openssh_agrees() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config");
    // Without `Match exec`, which we pass over.
    let text: String = FILE.replace("Match exec \"true\"\n  User never\n", "");
    fs::write(&file, &text).expect("room");
    for host in ["bastion", "gpu1", "gpu2", "gpu9", "a.lab", "other"] {
        let Ok(output) = Command::new("ssh").args(["-G", "-F"]).arg(&file).arg(host).output() else {
            tracing::warn!("no `ssh` here: nothing was compared");
            return;
        };
        let theirs = String::from_utf8_lossy(&output.stdout).into_owned();
        let query = Query {
            host,
            user: None,
            home: None,
        };
        let ours = read(std::slice::from_ref(&file), query).expect("readable");
        for key in ["user", "port", "proxyjump", "serveraliveinterval"] {
            if let Some(value) = ours.get(key) {
                assert!(
                    theirs.lines().any(|line| line == format!("{key} {value}")),
                    "{host}: {key} {value}\n{theirs}"
                );
            } else {
                assert!(
                    key != "proxyjump" || !theirs.contains("proxyjump "),
                    "{host}: {key}\n{theirs}"
                );
            }
        }
    }
}
