//! `.nniignore` beside the real `git check-ignore`: a table by hand, and random patterns on random trees.

use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use ts_codedir::{Decision, scan, why};
use ts_core::CodeDirectory;

fn git_is_here() -> bool {
    let here = Command::new("git")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !here {
        // Straight to the terminal: a skipped comparison must be seen.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: comparison with git, which is not installed"
        );
    }
    here
}

/// Makes the tree; a path that ends in `/` is a folder. Ignore files are written under both names.
fn make(root: &Path, paths: &[&str], rules: &[(&str, &[u8])]) {
    for path in paths {
        let full = root.join(path);
        let folder = if path.ends_with('/') {
            full.as_path()
        } else {
            full.parent().expect("has a parent")
        };
        fs::create_dir_all(folder).expect("make folder");
        if !path.ends_with('/') {
            fs::write(&full, "x").expect("write file");
        }
    }
    for (folder, text) in rules {
        fs::create_dir_all(root.join(folder)).expect("make folder");
        for name in [".nniignore", ".gitignore"] {
            fs::write(root.join(folder).join(name), text).expect("write rules");
        }
    }
}

/// Every path below `root`, folders too.
fn all_paths(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for item in fs::read_dir(folder).expect("list folder") {
            let path = item.expect("list folder").path();
            let name = path
                .strip_prefix(root)
                .expect("below root")
                .to_str()
                .expect("text")
                .to_owned();
            if name == ".git" {
                continue;
            }
            if path.is_dir() {
                pending.push(path);
            }
            found.insert(name);
        }
    }
    found
}

/// The paths that git ignores, folders and all beneath them.
fn git_ignores(root: &Path, ignore_case: bool) -> BTreeSet<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command
            .args([
                "-c",
                &format!("core.ignorecase={ignore_case}"),
                "-c",
                "core.excludesFile=/dev/null",
            ])
            .args(arguments)
            .current_dir(root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stderr(Stdio::null());
        command
    };
    if !root.join(".git").exists() {
        assert!(
            git(&["init", "-q", "--template="])
                .status()
                .expect("git init")
                .success()
        );
    }
    let mut check = git(&["check-ignore", "--no-index", "-z", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git check-ignore");
    let paths = all_paths(root)
        .into_iter()
        .fold(String::new(), |all, path| all + &path + "\0");
    check
        .stdin
        .take()
        .expect("stdin")
        .write_all(paths.as_bytes())
        .expect("feed git");
    let output = check.wait_with_output().expect("git check-ignore");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The paths that we leave at home, told by `scan`; `why` must say the same of each.
fn we_ignore(root: &Path, ignore_case: bool) -> BTreeSet<String> {
    let mut code = CodeDirectory::new(root);
    code.ignore_case = ignore_case;
    let package = scan(&code).expect("scan");
    let kept: BTreeSet<_> = package
        .entries
        .iter()
        .map(|e| e.path.to_str().expect("text").to_owned())
        .collect();
    let all = all_paths(root);
    for path in &all {
        let decision = why(&code, Path::new(path)).expect("why");
        assert_eq!(decision.is_included(), kept.contains(path), "{path}: {decision:?}");
    }
    all.difference(&kept).cloned().collect()
}

fn agree(paths: &[&str], rules: &[(&str, &[u8])], ignore_case: bool) {
    let home = tempfile::tempdir().expect("temporary folder");
    make(home.path(), paths, rules);
    let (ours, git) = (
        we_ignore(home.path(), ignore_case),
        git_ignores(home.path(), ignore_case),
    );
    let shown: Vec<_> = rules
        .iter()
        .map(|(f, text)| (f, String::from_utf8_lossy(text)))
        .collect();
    assert_eq!(
        ours, git,
        "left ours, right git; rules {shown:?}, case ignored: {ignore_case}"
    );
}

/// Names that the patterns of the table and of the random test speak about.
#[rustfmt::skip]
const TREE: &[&str] = &[
    "a", "b.log", "B.LOG", "a.py", "foo", "foo ", "foo\t", "fo]o", "#x", "!x", "\\x", "a\\", "{a,b}", "*", "[", "-",
    "a b", "é", "data/x", "data/y.log", "data/deep/x", "data/deep/data/z", "build/a", "src/build/a", "src/a.py",
    "src/b.log", "src/foo/bar", "foo.d/bar", "foo.d/x/bar", "x/y/z/bar", "x/y/z/w/a", "empty/", ".hidden/a",
    ".hidden/b.log", "abc/abc/abc", "Data2/a", "s p/q r", "a]", "^a", "x-y", "nl\nnl",
];

/// One ignore file each; most have one line.
#[rustfmt::skip]
const LINES: &[&[u8]] = &[
    b"", b"#x", b"\\#x", b"!x", b"\\!x", b"*", b"/*", b"*/", b"**", b"/**", b"**/", b"*.log", b"*.LOG", b"/b.log",
    b"data", b"data/", b"/data", b"/data/", b"data/*", b"data/**", b"data/**/x", b"**/data", b"**/data/", b"**/deep",
    b"/deep", b"deep/", b"src/build", b"src/build/", b"build/a", b"/build", b"**/build/a", b"src/**", b"src/**/",
    b"src/**/bar", b"**/bar", b"**/y/**", b"x/**/bar", b"x/**/y/**/bar", b"x/*/bar", b"x/*/*/bar", b"*/bar", b"foo*",
    b"foo**", b"foo?", b"foo ", b"foo\\ ", b"foo  ", b"foo\\  ", b"foo\t", b"foo\\", b"foo\\/", b"foo\\\\", b"\\foo",
    b"f\\oo", b"a\\\\", b"\\\\x", b"{a,b}", b"{a,b", b"a,b}", b"*.{py,log}", b"[ab]", b"[!a]", b"[^a]", b"[a-c]",
    b"[c-a]", b"[]]", b"fo[]]o", b"fo[!]]o", b"[", b"[a", b"[[]", b"\\[", b"[\\]]", b"fo[\\]]o", b"[-]", b"[a-]",
    b"x[-]y", b"x[--0]y", b"[[:alpha:]]", b"[[:digit:]]", b"[[:nope:]]", b"[[:alpha:]", b"[[:alpha]", b"[[:upper:]]*",
    b"[[:space:]]", b"a[[:space:]]b", b"[[:punct:]]*", b"a[/]b", b"data[/]x", b"data?x", b"data*x", b"data/[x]", b"?",
    b"??", b"\xc3\xa9", b"\xc3?", b"[\xc3\xa9]*", b"//", b"/", b"!", b"///", b"data//x", b"data///", b"./a", b"../a",
    b"a/", b"a/.", b"**a", b"a**", b"***", b"**/**", b"**/*/x", b"/**/x", b"/**/data/x", b"**/**/bar", b"x/**/**/bar",
    b"x/***/bar", b"***/bar", b"*/**/bar", b"**/*", b"*.*", b".*", b".hidden", b".hidden/*.log", b" a", b"a b",
    b"a\\ b", b"s p", b"s p/", b"s*/q*", b"nl*", b"nl?nl", b"\\*", b"\\?", b"a\r", b"*.log\r\n!b.log\r", b"*\n!*.py",
    b"*\n!*/\n!*.py", b"/*\n!/src\n/src/*\n!/src/foo", b"data/\n!data/x", b"data/*\n!data/x", b"data\n!data",
    b"!data\ndata", b"*.log\n!/b.log", b"\xef\xbb\xbf*.log", b"\xef\xbb\xbf# x\ndata", b"*.log\0x", b"\xff",
    b"abc/abc", b"/abc/abc/abc", b"abc/**/abc", b"**/abc/abc", b"abc/", b"*bc/a*", b"data2", b"DATA", b"data/DEEP",
    b"**/foo/bar", b"foo/bar", b"*/foo", b"src/*/bar", b"**/\\bar", b"x/**\\/bar", b"\\a", b"a\\.py", b"*\\.py",
    b"x-?", b"^a", b"a]", b"-", b"\t", b"  ", b" #x",
];

#[test]
fn every_line_of_the_table_means_what_git_means() {
    if !git_is_here() {
        return;
    }
    let home = tempfile::tempdir().expect("temporary folder");
    make(home.path(), TREE, &[]);
    for line in LINES {
        make(home.path(), &[], &[("", line)]);
        for ignore_case in [false, true] {
            let (ours, git) = (
                we_ignore(home.path(), ignore_case),
                git_ignores(home.path(), ignore_case),
            );
            let shown = String::from_utf8_lossy(line);
            assert_eq!(
                ours, git,
                "left ours, right git; rules {shown:?}, case ignored: {ignore_case}"
            );
        }
    }
}

#[test]
fn nested_files_speak_for_their_own_folder() {
    if !git_is_here() {
        return;
    }
    let cases: &[&[(&str, &[u8])]] = &[
        &[("", b"*.log"), ("src", b"!b.log")],
        &[("", b"!*.log"), ("src", b"*.log")],
        &[("src", b"/build\na.py")],
        &[("src", b"/src/build\nsrc/a.py")],
        &[("src", b"foo/bar")],
        &[("", b"data/"), ("data", b"!*")],
        &[("", b"data/*"), ("data", b"!deep"), ("data/deep", b"x")],
        &[("", b"*"), ("src", b"!*")],
        &[("", b"*\n!src"), ("src", b"!foo\n!foo/**")],
        &[("x", b"y/**/bar"), ("x/y", b"!z/bar")],
        &[("x/y", b"/z/*\n!/z/w"), ("x/y/z", b"w/\n")],
        &[("abc", b"/abc/abc"), ("abc/abc", b"!/abc")],
    ];
    for rules in cases {
        agree(TREE, rules, false);
        agree(TREE, rules, true);
    }
}

/// A pattern made of pieces that are special to git. `text**/` is left out, which git before 2.53 misreads.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "ab",
        "?",
        "*",
        "[ab]",
        "[!a]",
        "[a-b]",
        "[]a]",
        "[b-a]",
        "[[:alpha:]]",
        "[^b",
        "\\a",
        "\\*",
        "\\",
        " ",
        ".",
        "{a,b}",
    ]);
    let part = prop_oneof![
        3 => prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat()),
        1 => Just("**".to_owned()),
    ];
    let parts = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"));
    (any::<[bool; 3]>(), parts)
        .prop_map(|([negated, anchored, folder], parts)| {
            let sign = |on, text| if on { text } else { "" };
            format!(
                "{}{}{parts}{}",
                sign(negated, "!"),
                sign(anchored, "/"),
                sign(folder, "/")
            )
        })
        .prop_filter("glued stars", |text| !has_glued_stars(text))
}

fn has_glued_stars(text: &str) -> bool {
    let parts = text.trim_start_matches(['!', '/']).split('/');
    parts.into_iter().any(|part| part != "**" && part.contains("**"))
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a", "b", "ab", "ba", "aab", "c", "a.b", "a b", "{a,b}", "*", "[^b",
    ]);
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_rules_on_random_trees_agree(
        paths in prop::collection::vec(path(), 1..12),
        top in prop::collection::vec(pattern(), 1..6),
        nested in prop::collection::vec(pattern(), 0..4),
        ignore_case: bool,
    ) {
        if git_is_here() {
            // A name that is both file and folder stays what it was first.
            let mut files: Vec<String> = Vec::new();
            for path in paths {
                let clash = |other: &String| {
                    other == &path || path.starts_with(&format!("{other}/")) || other.starts_with(&format!("{path}/"))
                };
                if !files.iter().any(clash) && path != "ab" {
                    files.push(path);
                }
            }
            let files: Vec<_> = files.iter().map(String::as_str).chain(["ab/a", "ab/b/a"]).collect();
            let files: Vec<_> = files.iter().copied().filter(|f| *f != "ab/b" && !f.starts_with("ab/a/") && !f.starts_with("ab/b/a/")).collect();
            agree(&files, &[("", top.join("\n").as_bytes()), ("ab", nested.join("\n").as_bytes())], ignore_case);
        }
    }
}

#[test]
fn only_nniignore_counts_and_the_deciding_line_is_named() {
    let home = tempfile::tempdir().expect("temporary folder");
    make(home.path(), &["kept.txt", ".git/HEAD", "sub/run.LOG", "data/x"], &[]);
    fs::write(home.path().join(".gitignore"), "kept.txt\n").expect("write rules");
    fs::write(home.path().join(".nniignore"), "# comment\n\ndata/\n").expect("write rules");
    fs::write(home.path().join("sub/.nniignore"), "*.log\r\n").expect("write rules");
    let mut code = CodeDirectory::new(home.path());
    let say = |code: &CodeDirectory, path: &str| why(code, Path::new(path)).expect("why").to_string();
    assert_eq!(say(&code, "kept.txt"), "included: no line excludes it");
    assert_eq!(say(&code, ".git/HEAD"), "included: no line excludes it");
    assert_eq!(say(&code, "sub/run.LOG"), "excluded by sub/.nniignore:1: *.log");
    assert_eq!(
        say(&code, "data/x"),
        "excluded with its folder `data` by .nniignore:3: data/"
    );
    assert_eq!(why(&code, Path::new("nowhere")).expect("why"), Decision::Missing);
    code.ignore_case = false;
    assert_eq!(say(&code, "sub/run.LOG"), "included: no line excludes it");
}

#[test]
fn two_stars_beside_text_are_one_star_as_the_manual_says() {
    let home = tempfile::tempdir().expect("temporary folder");
    make(
        home.path(),
        &["foo1/bar", "foo1/x/bar", "foo/bar"],
        &[("", b"foo**/bar")],
    );
    let ours = we_ignore(home.path(), false);
    assert_eq!(ours, BTreeSet::from(["foo1/bar".to_owned(), "foo/bar".to_owned()]));
}
