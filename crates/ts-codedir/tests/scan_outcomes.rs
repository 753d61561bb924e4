//! What becomes of every kind of thing that a code directory may hold, and of one that holds too much.

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::geteuid,
};
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};
use ts_codedir::{CodePackage, Decision, EntryKind, NoteKind, scan, why};
use ts_core::{CodeDirectory, ErrorKind};

/// A code directory named `code` within a temporary folder.
struct Home {
    _temporary: tempfile::TempDir,
    outside: PathBuf,
    code: CodeDirectory,
}

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().expect("temporary folder");
        let outside = temporary.path().to_owned();
        let home = Self {
            code: CodeDirectory::new(outside.join("code")),
            outside,
            _temporary: temporary,
        };
        fs::create_dir(home.root()).expect("make folder");
        for (path, text) in files {
            home.write(path, text.as_bytes());
        }
        home
    }
    fn root(&self) -> &Path {
        &self.code.path
    }
    fn write(&self, path: &str, bytes: &[u8]) {
        let full = self.root().join(path);
        fs::create_dir_all(full.parent().expect("has a parent")).expect("make folder");
        fs::write(full, bytes).expect("write file");
    }
    fn link(&self, path: &str, target: impl AsRef<Path>) {
        symlink(target, self.root().join(path)).expect("make link");
    }
    fn scan(&self) -> CodePackage {
        scan(&self.code).expect("scan")
    }
    fn why(&self, path: &str) -> Decision {
        why(&self.code, Path::new(path)).expect("why")
    }
}

/// Paths with their kind: `/` behind a folder, ` -> target` behind a link.
fn listed(package: &CodePackage) -> Vec<String> {
    let line = |entry: &ts_codedir::Entry| {
        let path = entry.path.display();
        match &entry.kind {
            EntryKind::Directory => format!("{path}/"),
            EntryKind::Symlink { target } => format!("{path} -> {}", target.display()),
            _ => path.to_string(),
        }
    };
    package.entries.iter().map(line).collect()
}

fn noted(package: &CodePackage) -> Vec<(String, NoteKind)> {
    package
        .notes
        .iter()
        .map(|n| (n.path.display().to_string(), n.kind))
        .collect()
}

/// The tree on which NNI's two walkers list 21 and 10 entries and ship files that they ignore.
/// Source: nni v3.0, `training_service/common/util.ts` and `common/tarball.ts`, executed.
#[test]
fn the_tree_on_which_both_nni_walkers_err() {
    let home = Home::new(&[
        (".git/HEAD", "ref"),
        (".nniignore", "data/\n*.log\n/build\n"),
        ("data/big.bin", "big"),
        ("main.py", "main"),
        ("root.LOG", "log"),
        ("sub/.nniignore", "y.py\n/z\n!x.log\n"),
        ("sub/deep/build", "b"),
        ("sub/deep/y.py", "y"),
        ("sub/x.log", "x"),
        ("sub/x.py", "x"),
        ("sub/z", "z"),
    ]);
    fs::create_dir(home.root().join("emptydir")).expect("make folder");
    home.link("link.py", "main.py");
    home.link("linkdir", "sub");
    let package = home.scan();
    assert_eq!(
        listed(&package),
        [
            ".git/",
            ".git/HEAD",
            ".nniignore",
            "emptydir/",
            "link.py -> main.py",
            "linkdir -> sub",
            "main.py",
            "sub/",
            "sub/.nniignore",
            "sub/deep/",
            "sub/deep/build",
            "sub/x.log",
            "sub/x.py"
        ]
    );
    let excluded: Vec<_> = package
        .excluded
        .iter()
        .map(|e| format!("{} by {}", e.path.display(), e.rule))
        .collect();
    assert_eq!(
        excluded,
        [
            "data by .nniignore:1: data/",
            "root.LOG by .nniignore:2: *.log",
            "sub/deep/y.py by sub/.nniignore:1: y.py",
            "sub/z by sub/.nniignore:2: /z",
        ]
    );
    assert_eq!((package.n_files, package.n_bytes), (7, 3 + 19 + 4 + 15 + 1 + 1 + 1));
    assert!(package.notes.is_empty());
}

#[test]
fn links_within_stay_links_out_of_the_tree_are_followed_and_dead_ones_are_kept() {
    let home = Home::new(&[("sub/a.py", "a")]);
    fs::write(home.outside.join("shared.py"), "shared!").expect("write file");
    fs::create_dir_all(home.outside.join("lib/inner")).expect("make folder");
    fs::write(home.outside.join("lib/inner/l.py"), "l").expect("write file");
    symlink("inner/l.py", home.outside.join("lib/within")).expect("make link");
    symlink("../shared.py", home.outside.join("lib/upward")).expect("make link");
    home.link("absolute_inside", home.root().join("sub/a.py"));
    home.link("sub/back_in", "../../code/sub");
    home.link("sub/up", "../sub/a.py");
    home.link("out_file", "../shared.py");
    home.link("out_dir", home.outside.join("lib"));
    home.link("dead", "nowhere");
    home.link("dead_outside", "/nowhere/at/all");
    home.link("circle", "circle");
    let package = home.scan();
    assert_eq!(
        listed(&package),
        [
            "absolute_inside -> sub/a.py",
            "circle -> circle",
            "dead -> nowhere",
            "dead_outside -> /nowhere/at/all",
            "out_dir/",
            "out_dir/inner/",
            "out_dir/inner/l.py",
            "out_dir/upward",
            "out_dir/within -> inner/l.py",
            "out_file",
            "sub/",
            "sub/a.py",
            "sub/back_in -> ../sub",
            "sub/up -> ../sub/a.py"
        ]
    );
    assert_eq!(package.n_bytes, 1 + 1 + 7 + 7);
    let followed = |path: &str| (path.to_owned(), NoteKind::Followed);
    assert_eq!(
        noted(&package),
        [
            ("dead_outside".to_owned(), NoteKind::DeadLink),
            followed("out_dir"),
            followed("out_dir/upward"),
            followed("out_file"),
        ]
    );
    assert!(home.why("out_dir/inner/l.py").is_included());
    assert!(matches!(home.why("sub/back_in/a.py"), Decision::BehindLink { .. }));
}

#[test]
fn folders_that_contain_themselves_end_and_are_named() {
    let home = Home::new(&[("sub/a.py", "a")]);
    home.link("sub/parent", "../..");
    home.link("everything", home.outside.as_path());
    let package = home.scan();
    let loops: Vec<_> = noted(&package)
        .into_iter()
        .filter(|(_, kind)| *kind == NoteKind::Loop)
        .collect();
    assert_eq!(
        loops,
        [
            ("everything/code".to_owned(), NoteKind::Loop),
            ("sub/parent/code".to_owned(), NoteKind::Loop)
        ]
    );
    assert_eq!(listed(&package), ["everything/", "sub/", "sub/a.py", "sub/parent/"]);
    assert!(matches!(home.why("everything/code"), Decision::Unfit { .. }));
}

#[test]
fn pipes_and_sockets_are_left_out_with_a_note_even_as_ignore_files() {
    let home = Home::new(&[("a.py", "a")]);
    for name in ["pipe", ".nniignore"] {
        mknodat(CWD, home.root().join(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("make pipe");
    }
    let _socket = UnixListener::bind(home.root().join("socket")).expect("make socket");
    home.link("null", "/dev/null");
    let package = home.scan();
    assert_eq!(listed(&package), ["a.py"]);
    let pipe = |name: &str| (name.to_owned(), NoteKind::Fifo);
    let device = ("null".to_owned(), NoteKind::Device);
    assert_eq!(
        noted(&package),
        [
            pipe(".nniignore"),
            device,
            pipe("pipe"),
            ("socket".to_owned(), NoteKind::Socket)
        ]
    );
    assert!(matches!(home.why("pipe"), Decision::Unfit { .. }));
}

#[test]
fn any_name_travels() {
    let home = Home::new(&[("@name", ""), ("a b", ""), ("nl\nnl", ""), ("-rf", ""), ("é", "")]);
    let bytes = OsStr::from_bytes(b"\xff\xfe.py");
    fs::write(home.root().join(bytes), "x").expect("write file");
    let long = "d".repeat(200) + "/" + &"e".repeat(250) + "/f.py";
    home.write(&long, b"f");
    let package = home.scan();
    let paths: Vec<_> = package.entries.iter().map(|e| e.path.as_os_str()).collect();
    for name in ["@name", "a b", "nl\nnl", "-rf", "é", &long]
        .map(OsStr::new)
        .into_iter()
        .chain([bytes])
    {
        assert!(paths.contains(&name), "{name:?}");
    }
}

#[test]
fn an_empty_folder_and_a_link_to_a_folder_are_code_directories_but_a_file_is_none() {
    let home = Home::new(&[]);
    assert!(home.scan().entries.is_empty());
    symlink("code", home.outside.join("link")).expect("make link");
    assert!(scan(&CodeDirectory::new(home.outside.join("link"))).is_ok());
    fs::write(home.outside.join("file"), "").expect("write file");
    for (name, kind) in [("file", ErrorKind::CodeDir), ("absent", ErrorKind::NotFound)] {
        let error = scan(&CodeDirectory::new(home.outside.join(name))).expect_err(name);
        assert_eq!((error.kind(), error.key()), (kind, Some("trial.codeDir")));
    }
}

#[test]
fn exactly_the_limit_passes_and_folders_do_not_count() {
    let mut home = Home::new(&[]);
    home.code.max_entries = 20;
    home.code.max_bytes = 100;
    for i in 0..20 {
        home.write(&format!("folder{i}/file"), b"12345");
    }
    assert_eq!((home.scan().n_files, home.scan().n_bytes), (20, 100));
    home.code.max_bytes = 99;
    let error = scan(&home.code).expect_err("one byte too many");
    assert!(error.message().ends_with("holds more than 99 bytes"), "{error}");
    assert_eq!((error.kind(), error.key()), (ErrorKind::CodeDir, Some("trial.codeDir")));
}

#[test]
fn too_many_files_name_the_folder_and_its_line_solves_it() {
    let mut home = Home::new(&[("main.py", "")]);
    home.code.max_entries = 50;
    for i in 0..70 {
        home.write(&format!("my data/raw/{i}"), b"");
    }
    let error = scan(&home.code).expect_err("too many");
    assert!(error.message().ends_with("holds more than 50 files"), "{error}");
    let help = error.help().expect("has help");
    assert!(
        help.contains("70 of the 71 files counted are in `my data/raw/`"),
        "{help}"
    );
    let line = help
        .split("(line `")
        .nth(1)
        .and_then(|rest| rest.split("`)").next())
        .expect("offers a line");
    home.write(".nniignore", line.as_bytes());
    assert_eq!(home.scan().n_files, 2);
}

#[test]
fn too_many_bytes_name_the_file() {
    let mut home = Home::new(&[("main.py", "x")]);
    home.code.max_bytes = 10_000;
    home.write("models/best[1].pt", &vec![0; 20_000]);
    let error = scan(&home.code).expect_err("too big");
    let help = error.help().expect("has help");
    assert!(
        help.contains("20000 bytes of the 20001 bytes counted are the file `models/best[1].pt`"),
        "{help}"
    );
    assert!(help.contains("(line `/models/best\\[1].pt`)"), "{help}");
}

/// Root may read everything, so for root the test runs itself once more as nobody.
#[test]
fn unreadable_files_are_named_all_at_once() {
    const AS_NOBODY: &str = "TS_CODEDIR_TEST_AS_NOBODY";
    const NOBODY: u32 = 65_534;
    if geteuid().is_root() {
        // A copy, because nobody may not enter the build folder everywhere.
        let open = tempfile::tempdir().expect("temporary folder");
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).expect("open folder");
        let program = open.path().join("test");
        fs::copy(std::env::current_exe().expect("own path"), &program).expect("copy test");
        let run = Command::new(&program)
            .args(["--exact", "unreadable_files_are_named_all_at_once"])
            .env(AS_NOBODY, "1")
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .output();
        match run {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => {
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped: unreadable files, cannot become nobody: {error}"
                );
            }
        }
        return;
    }
    let home = Home::new(&[("fine.py", ""), ("secret/a", ""), ("key.pem", ""), ("ignored.pem", "")]);
    home.write(".nniignore", b"ignored.pem");
    for name in ["secret", "key.pem", "ignored.pem"] {
        fs::set_permissions(home.root().join(name), fs::Permissions::from_mode(0o000)).expect("close");
    }
    let error = scan(&home.code).expect_err("unreadable");
    fs::set_permissions(home.root().join("secret"), fs::Permissions::from_mode(0o700)).expect("open");
    assert_eq!((error.kind(), error.key()), (ErrorKind::Denied, Some("trial.codeDir")));
    let message = error.message();
    assert!(message.contains("key.pem") && message.contains("secret"), "{message}");
    assert!(
        !message.contains("ignored.pem") && !message.contains("fine.py"),
        "{message}"
    );
}

#[test]
fn why_answers_for_awkward_spellings_and_refuses_to_look_outside() {
    let home = Home::new(&[("a/b.py", ""), (".nniignore", "*\n!*.py\n!a\n")]);
    assert_eq!(home.why("./a/../a/b.py").to_string(), "included by .nniignore:2: !*.py");
    assert!(
        why(&home.code, &home.root().join("a/b.py"))
            .expect("absolute")
            .is_included()
    );
    assert_eq!(home.why("a/b.py/c"), Decision::Missing);
    assert_eq!(
        why(&home.code, Path::new("../x")).expect_err("outside").kind(),
        ErrorKind::CodeDir
    );
}
