//! Packing: same tree, same bytes; what was scanned is what arrives; files that change meanwhile have a defined outcome.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};
use ts_codedir::{CodePackage, Compression, PackOptions, UnpackLimits, digest, pack, scan, unpack};
use ts_core::{CodeDirectory, ErrorKind};

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// Path → content, mode's executable bit and kind, of a whole tree.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for item in fs::read_dir(folder).expect("list folder") {
            let path = item.expect("list folder").path();
            let meta = fs::symlink_metadata(&path).expect("look");
            let what = if meta.is_dir() {
                pending.push(path.clone());
                "folder".to_owned()
            } else if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("link").display())
            } else {
                let executable = meta.permissions().mode() & 0o111 != 0;
                format!("{executable} {:?}", fs::read(&path).expect("read"))
            };
            seen.insert(path.strip_prefix(root).expect("below root").to_owned(), what);
        }
    }
    seen
}

fn awkward_tree(root: &Path) {
    for folder in ["sub/deep", "empty", &format!("{}/{}", "d".repeat(180), "e".repeat(180))] {
        fs::create_dir_all(root.join(folder)).expect("make folder");
    }
    for (name, size) in [
        ("main.py", 5),
        ("empty.txt", 0),
        ("block", 512),
        ("block+1", 513),
        ("sub/big.bin", 700_000),
    ] {
        let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).expect("a byte")).collect();
        fs::write(root.join(name), bytes).expect("write file");
    }
    for name in ["@name", "a b", "nl\nnl", "-x", "sub/\u{e9}"] {
        fs::write(root.join(name), name).expect("write file");
    }
    fs::write(root.join(OsStr::from_bytes(b"\xff\xfe")), "bytes").expect("write file");
    let long = root.join("d".repeat(180)).join("e".repeat(180));
    fs::write(long.join("f".repeat(200)), "far down").expect("write file");
    fs::write(root.join("n".repeat(100)), "exactly one hundred").expect("write file");
    symlink("sub/../main.py", root.join("link")).expect("make link");
    symlink("x".repeat(150), root.join("long link")).expect("make link");
    fs::hard_link(root.join("main.py"), root.join("hard")).expect("hard link");
    fs::write(root.join("run.sh"), "#!/bin/sh").expect("write file");
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o777)).expect("set mode");
}

fn packed(package: &CodePackage, options: impl Into<PackOptions>) -> Vec<u8> {
    let mut archive = Vec::new();
    let summary = pack(package, options, &mut archive).expect("pack");
    assert_eq!(summary.packed_bytes, archive.len() as u64);
    archive
}

#[test]
fn every_tree_arrives_as_it_was_in_every_compression() {
    let home = tempfile::tempdir().expect("temporary folder");
    let root = home.path().join("code");
    awkward_tree(&root);
    let package = scan(&CodeDirectory::new(&root)).expect("scan");
    let name = digest(&package).expect("digest");
    for compression in COMPRESSIONS {
        let copy = home.path().join(format!("{compression:?}"));
        let summary = unpack(packed(&package, compression).as_slice(), &copy, UnpackLimits::default()).expect("unpack");
        assert_eq!(snapshot(&copy), snapshot(&root), "{compression:?}");
        assert_eq!(summary.digest, name);
        assert_eq!(
            (summary.n_entries, summary.n_bytes),
            (package.entries.len() as u64, package.n_bytes)
        );
    }
    assert!(name.as_str().starts_with("sha256:") && name.hex().len() == 64);
}

#[test]
fn the_workers_own_tar_reads_it() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (root, copy) = (home.path().join("code"), home.path().join("copy"));
    awkward_tree(&root);
    fs::create_dir(&copy).expect("make folder");
    let archive = packed(&scan(&CodeDirectory::new(&root)).expect("scan"), Compression::Gzip);
    fs::write(home.path().join("a.tgz"), archive).expect("write archive");
    let run = Command::new("tar")
        .args(["-oxzf", "../a.tgz"])
        .current_dir(&copy)
        .output();
    let Ok(output) = run else {
        let _ = writeln!(io::stderr(), "skipped: reading with tar, which is not installed");
        return;
    };
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(snapshot(&copy), snapshot(&root));
}

#[test]
fn equal_trees_give_equal_bytes_whatever_their_times_modes_and_threads() {
    let home = tempfile::tempdir().expect("temporary folder");
    let (one, two) = (home.path().join("one"), home.path().join("two"));
    awkward_tree(&one);
    awkward_tree(&two);
    fs::set_permissions(two.join("main.py"), fs::Permissions::from_mode(0o600)).expect("set mode");
    let past = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    fs::File::open(two.join("a b"))
        .expect("open")
        .set_times(past)
        .expect("set time");
    let [one, two] = [one, two].map(|root| scan(&CodeDirectory::new(root)).expect("scan"));
    for compression in COMPRESSIONS {
        assert!(
            packed(&one, compression) == packed(&two, compression),
            "{compression:?}"
        );
    }
    let threads = |n| packed(&one, PackOptions::from(Compression::Zstd).with_workers(n));
    assert!(threads(1) == threads(2) && threads(1) == threads(4));
}

#[test]
fn a_changed_tree_has_another_digest() {
    let home = tempfile::tempdir().expect("temporary folder");
    let name = || digest(&scan(&CodeDirectory::new(home.path())).expect("scan")).expect("digest");
    let mut names = vec![name()];
    fs::write(home.path().join("a"), "1").expect("write file");
    names.push(name());
    fs::write(home.path().join("a"), "2").expect("write file");
    names.push(name());
    fs::set_permissions(home.path().join("a"), fs::Permissions::from_mode(0o755)).expect("set mode");
    names.push(name());
    fs::rename(home.path().join("a"), home.path().join("b")).expect("rename");
    names.push(name());
    fs::create_dir(home.path().join("c")).expect("make folder");
    names.push(name());
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 6);
}

#[test]
fn an_empty_tree_packs_and_unpacks() {
    let home = tempfile::tempdir().expect("temporary folder");
    fs::create_dir(home.path().join("code")).expect("make folder");
    let package = scan(&CodeDirectory::new(home.path().join("code"))).expect("scan");
    for compression in COMPRESSIONS {
        let copy = home.path().join(format!("{compression:?}"));
        unpack(packed(&package, compression).as_slice(), &copy, UnpackLimits::default()).expect("unpack");
        assert!(copy.is_dir() && snapshot(&copy).is_empty());
    }
}

#[test]
fn a_file_that_shrinks_vanishes_or_turns_is_a_retryable_error_that_names_it() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("shrank", |path| fs::write(path, "1").expect("write file")),
        ("vanished", |path| fs::remove_file(path).expect("remove")),
        ("is no longer a file", |path| {
            fs::remove_file(path).expect("remove");
            fs::create_dir(path).expect("make folder");
        }),
        ("is no longer a file", |path| {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            fs::remove_file(path).expect("remove");
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).expect("make pipe");
        }),
    ];
    for (how, change) in changes {
        let home = tempfile::tempdir().expect("temporary folder");
        fs::write(home.path().join("a.py"), "12345").expect("write file");
        let package = scan(&CodeDirectory::new(home.path())).expect("scan");
        change(&home.path().join("a.py"));
        let error = pack(&package, Compression::None, io::sink()).expect_err(how);
        assert!(error.message().starts_with(&format!("`a.py` {how}")), "{error}");
        assert!(error.is_retryable());
        assert_eq!(error.kind(), ErrorKind::CodeDir);
    }
}

#[test]
fn a_file_that_grows_is_packed_as_it_was_scanned() {
    let home = tempfile::tempdir().expect("temporary folder");
    let root = home.path().join("code");
    fs::create_dir(&root).expect("make folder");
    fs::write(root.join("a.log"), "12345").expect("write file");
    fs::write(root.join("b"), "b").expect("write file");
    let package = scan(&CodeDirectory::new(&root)).expect("scan");
    fs::write(root.join("a.log"), "1234567890").expect("write file");
    let copy = home.path().join("copy");
    unpack(
        packed(&package, Compression::None).as_slice(),
        &copy,
        UnpackLimits::default(),
    )
    .expect("unpack");
    assert_eq!(fs::read(copy.join("a.log")).expect("read"), b"12345");
    assert_eq!(fs::read(copy.join("b")).expect("read"), b"b");
}

#[test]
fn a_writer_that_fails_is_reported_with_its_cause() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let home = tempfile::tempdir().expect("temporary folder");
    let package = scan(&CodeDirectory::new(home.path())).expect("scan");
    for compression in COMPRESSIONS {
        let error = pack(&package, compression, Full).expect_err("full");
        assert!(error.is_retryable() && error.help().is_some_and(|h| h.contains("disk is full")));
    }
}
