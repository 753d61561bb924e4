//! Host keys: known, unknown, changed, and what is written for the next time.

use super::*;
use std::time::Duration;

const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJkNl9L5bIVI0mCqMcEmbqjv6KzdQcVMJO8jUPfXWfZF";
const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIKc3V3m2Xn6bHrXl5cB9VqkGZl7mYv0bJ0c4o7m6Ww9h";

fn target(file: &Path, key_name: &str, policy: HostKeyPolicy) -> Target {
    Target {
        name: "gpu1".into(),
        host: "gpu1".into(),
        port: 22,
        user: "me".into(),
        credentials: Vec::new(),
        policy,
        known_hosts: vec![file.to_owned(), file.with_extension("absent")],
        new_keys: Some(file.to_owned()),
        portless_key_name: key_name.starts_with('[').then(|| "gpu1".into()),
        key_name: key_name.into(),
        jump: None,
        proxy_command: None,
        connect_timeout: Duration::from_secs(1),
        keepalive: Duration::from_secs(1),
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("sub/known_hosts");
    if !text.is_empty() {
        fs::create_dir(dir.path().join("sub")).expect("room");
        fs::write(&file, text).expect("room");
    }
    (dir, file)
}

fn checked(text: &str, key_name: &str, policy: HostKeyPolicy, key: &str) -> Result<String> {
    let (_dir, file) = file(text);
    let target = target(&file, key_name, policy);
    let session = Session::new().expect("memory");
    check(
        &target,
        &lines(&session, &target),
        &STANDARD.decode(key).expect("base64"),
    )
}

#[test]
fn known_keys_are_found_by_name_port_pattern_and_hash() {
    // Made with `ssh-keygen -H` of the line `gpu1 ssh-ed25519 …`.
    let hash = hashed("gpu1");
    for (hosts, name) in [
        ("gpu1", "gpu1"),
        ("a,gpu1,b", "gpu1"),
        ("*.lab,!bad.lab", "good.lab"),
        ("[gpu1]:2222", "[gpu1]:2222"),
        ("GPU1,B", "gpu1"),
        (hash.as_str(), "gpu1"),
    ] {
        let text = format!("# a comment\n\n@cert-authority * ssh-ed25519 {OTHER}\n{hosts} ssh-ed25519 {KEY} me@home\n");
        let found = checked(&text, name, HostKeyPolicy::Strict, KEY).expect(hosts);
        assert!(found.contains("line 4") && found.contains("SHA256:"), "{found}");
    }
    let text = format!("*.lab,!bad.lab ssh-ed25519 {KEY}\n");
    assert!(checked(&text, "bad.lab", HostKeyPolicy::Strict, KEY).is_err());
}

/// A name hashed as OpenSSH does, by libssh2.
fn hashed(name: &str) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("k");
    fs::write(&file, format!("{name} ssh-ed25519 {KEY}\n")).expect("room");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-H", "-f"])
        .arg(&file)
        .output();
    match made {
        Ok(output) if output.status.success() => {
            let text = fs::read_to_string(&file).expect("readable");
            text.split_whitespace().next().expect("a name").to_owned()
        }
        _ => name.to_owned(), // no OpenSSH here: the case is that of a plain name
    }
}

#[test]
fn a_changed_key_is_refused_by_every_policy_with_both_fingerprints() {
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::AcceptNew, HostKeyPolicy::Off] {
        let text = format!("gpu1 ssh-ed25519 {OTHER}\n");
        let error = checked(&text, "gpu1", policy, KEY).expect_err("changed");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let message = error.to_string();
        assert_eq!(message.matches("SHA256:").count(), 2, "{message}");
        assert!(error.help().is_some_and(|help| help.contains("ssh-keygen")));
    }
    let text = format!("gpu1 ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {KEY}\n");
    let error = checked(&text, "gpu1", HostKeyPolicy::Off, KEY).expect_err("revoked");
    assert!(error.to_string().contains("revoked"), "{error}");
}

#[test]
fn a_new_key_is_refused_added_or_passed_by_policy() {
    let error = checked("", "gpu1", HostKeyPolicy::Strict, KEY).expect_err("unknown");
    assert!(error.help().is_some_and(|help| help.contains("acceptNew")));
    checked("", "gpu1", HostKeyPolicy::Off, KEY).expect("passed");
    let (_dir, file) = file("");
    let target = target(&file, "gpu1", HostKeyPolicy::AcceptNew);
    let key = STANDARD.decode(KEY).expect("base64");
    let session = Session::new().expect("memory");
    for expected in ["added", "known by"] {
        let said = check(&target, &lines(&session, &target), &key).expect("trusted");
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(
        fs::read_to_string(&file).expect("there"),
        format!("gpu1 ssh-ed25519 {KEY}\n")
    );
    let known = lines(&session, &target);
    let order = preferred_algorithms(&session, &known).expect("known");
    assert!(order.starts_with("ssh-ed25519,"), "{order}");
}

/// OpenSSH calls it "checking without port identifier".
#[test]
fn a_key_that_is_listed_without_the_port_vouches_for_the_same_key_and_against_none() {
    let ask = |text: String, key| checked(&text, "[gpu1]:2222", HostKeyPolicy::Strict, key);
    let found = ask(format!("gpu1 ssh-ed25519 {KEY}\n"), KEY).expect("the same host");
    assert!(found.contains("line 1"), "{found}");
    let error = ask(format!("gpu1 ssh-ed25519 {OTHER}\n"), KEY).expect_err("unknown");
    assert!(error.to_string().contains("not known"), "{error}");
    let both = format!("gpu1 ssh-ed25519 {KEY}\n[gpu1]:2222 ssh-ed25519 {OTHER}\n");
    let error = ask(both, KEY).expect_err("the port has a key of its own");
    assert!(error.to_string().contains("changed"), "{error}");
    let revoked = format!("gpu1 ssh-ed25519 {KEY}\n@revoked gpu1 ssh-ed25519 {KEY}\n");
    ask(revoked, KEY).expect_err("revoked");
}

#[test]
fn without_a_file_of_the_users_a_new_key_is_refused_and_nothing_is_written() {
    let (_dir, file) = file("");
    let mut target = target(&file, "gpu1", HostKeyPolicy::AcceptNew);
    target.new_keys = None;
    let key = STANDARD.decode(KEY).expect("base64");
    let error = check(&target, &[], &key).expect_err("it could not be known the next time");
    assert!(error.help().is_some_and(|help| help.contains("UserKnownHostsFile")));
    assert!(!file.exists());
}

#[test]
fn a_file_that_cannot_be_read_is_passed_over() {
    let (dir, file) = file(&format!("gpu1 ssh-ed25519 {KEY}\n"));
    let mut target = target(&file, "gpu1", HostKeyPolicy::Strict);
    target.known_hosts = vec![dir.path().to_owned(), file];
    let session = Session::new().expect("memory");
    assert_eq!(lines(&session, &target).len(), 1);
}
