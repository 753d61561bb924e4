//! Clones: the same tree, safe from writes unless hard links were asked for, and whole or not there.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};
use ts_codedir::{CloneMethod, CloneMode, clone_package, clone_tree, scan};
use ts_core::{CodeDirectory, ErrorKind};

fn tree(root: &Path) {
    fs::create_dir_all(root.join("sub/empty")).expect("make folder");
    fs::write(root.join("sub/a.py"), "original").expect("write file");
    fs::write(root.join("run.sh"), "#!/bin/sh").expect("write file");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o750)).expect("set mode");
    fs::set_permissions(root.join("sub/empty"), fs::Permissions::from_mode(0o555)).expect("set mode");
    symlink("sub/a.py", root.join("link")).expect("make link");
    symlink("nowhere", root.join("dead")).expect("make link");
    fs::write(root.join("secret.log"), "stays at home").expect("write file");
    fs::write(root.join(".nniignore"), "*.log").expect("write file");
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("look").permissions().mode() & 0o777
}

#[test]
fn a_tree_is_cloned_with_links_and_modes_and_writes_stay_apart() {
    for how in [CloneMode::Auto, CloneMode::Copy] {
        let home = tempfile::tempdir().expect("temporary folder");
        let (source, clone) = (home.path().join("source"), home.path().join("deep/down/clone"));
        tree(&source);
        let method = clone_tree(&source, &clone, how).expect("clone");
        assert_ne!(method, CloneMethod::HardLink);
        assert!(how == CloneMode::Auto || method == CloneMethod::Copy);
        assert_eq!(
            (mode(&clone.join("run.sh")), mode(&clone.join("sub/empty"))),
            (0o750, 0o555)
        );
        assert_eq!(fs::read_link(clone.join("link")).expect("link"), Path::new("sub/a.py"));
        assert_eq!(fs::read_link(clone.join("dead")).expect("link"), Path::new("nowhere"));
        assert!(
            clone.join("secret.log").exists(),
            "no ignore rule applies to a plain tree"
        );
        fs::write(clone.join("sub/a.py"), "changed!").expect("write file");
        assert_eq!(fs::read(source.join("sub/a.py")).expect("read"), b"original");
    }
}

#[test]
fn hard_links_come_on_request_only() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (source, clone) = (home.path().join("source"), home.path().join("clone"));
    tree(&source);
    assert_eq!(
        clone_tree(&source, &clone, CloneMode::HardLink).expect("clone"),
        CloneMethod::HardLink
    );
    let inode = |root: &Path| fs::metadata(root.join("sub/a.py")).expect("look").ino();
    assert_eq!(inode(&source), inode(&clone));
}

#[test]
fn a_package_is_cloned_exactly_and_followed_links_become_files() {
    for how in [CloneMode::Auto, CloneMode::Copy, CloneMode::HardLink] {
        let home = tempfile::tempdir().expect("temporary folder");
        let (source, clone) = (home.path().join("source"), home.path().join("clone"));
        tree(&source);
        fs::write(home.path().join("outside.py"), "outside").expect("write file");
        symlink("../outside.py", source.join("out.py")).expect("make link");
        let package = scan(&CodeDirectory::new(&source)).expect("scan");
        clone_package(&package, &clone, how).expect("clone");
        let again = scan(&CodeDirectory::new(&clone)).expect("scan");
        assert_eq!(again.entries, package.entries);
        assert!(!clone.join("secret.log").exists());
        let meta = fs::symlink_metadata(clone.join("out.py")).expect("look");
        assert!(meta.is_file());
    }
}

#[test]
fn a_clone_that_fails_leaves_nothing() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (source, clone) = (home.path().join("source"), home.path().join("clone"));
    tree(&source);
    let package = scan(&CodeDirectory::new(&source)).expect("scan");
    fs::remove_file(source.join("sub/a.py")).expect("remove");
    let error = clone_package(&package, &clone, CloneMode::Auto).expect_err("vanished");
    assert!(error.is_retryable() && error.message().contains("sub/a.py"), "{error}");
    let left: Vec<_> = fs::read_dir(home.path())
        .expect("list")
        .map(|i| i.expect("item").file_name())
        .collect();
    assert_eq!(left, ["source"]);
}

#[test]
fn an_occupied_destination_or_one_within_the_source_is_a_conflict() {
    let home = tempfile::tempdir().expect("temporary folder");
    let source = home.path().join("source");
    tree(&source);
    for destination in [source.clone(), source.join("inside")] {
        let error = clone_tree(&source, &destination, CloneMode::Auto).expect_err("conflict");
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    assert!(!source.join("inside").exists());
}
