//! Archives made by somebody who means harm, or by nobody at all: refused, and nothing is left or touched.

use proptest::prelude::*;
use std::{fs, io::Write, os::unix::fs::symlink, path::Path};
use tar::{EntryType, Header};
use ts_codedir::{OutsideLinks, UnpackLimits, unpack};
use ts_core::{ErrorKind, Result};

/// One entry, its header filled by hand, so that names need not be decent.
fn entry(kind: EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut blocks = header.as_bytes().to_vec();
    blocks.extend_from_slice(content);
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

fn file(name: &str, content: &str) -> Vec<u8> {
    entry(EntryType::Regular, name, "", content.as_bytes())
}
fn link(name: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Symlink, name, target, b"")
}
fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut all = entries.concat();
    all.resize(all.len() + 1024, 0);
    all
}

/// A folder with a bystander beside the destination.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("temporary folder");
        fs::write(home.path().join("bystander"), "untouched").expect("write file");
        Self(home)
    }
    fn destination(&self) -> std::path::PathBuf {
        self.0.path().join("code")
    }
    fn unpack(&self, archive: &[u8], limits: UnpackLimits) -> Result<()> {
        unpack(archive, &self.destination(), limits).map(|_| ())
    }
    /// Nothing but the bystander, as it was.
    fn assert_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.0.path())
            .expect("list")
            .map(|i| i.expect("item").file_name())
            .collect();
        assert_eq!(names, ["bystander"]);
        assert_eq!(fs::read(self.0.path().join("bystander")).expect("read"), b"untouched");
    }
}

fn assert_refused(entries: &[Vec<u8>], word: &str) {
    let home = Home::new();
    let error = home.unpack(&archive(entries), UnpackLimits::default()).expect_err(word);
    assert_eq!(error.kind(), ErrorKind::CodeDir, "{error}");
    assert!(error.message().contains(word), "`{error}` does not say `{word}`");
    home.assert_untouched();
}

macro_rules! refused {
    ($($name:ident: [$($entry:expr),*] => $word:literal;)*) => {
        $(#[test] fn $name() { assert_refused(&[$($entry),*], $word); })*
    };
}

refused! {
    parent_path: [file("../bystander", "x")] => "leads out";
    hidden_parent_path: [file("a/../../bystander", "x")] => "leads out";
    absolute_path: [file("/tmp/ts-codedir-hostile", "x")] => "leads out";
    absolute_link: [link("l", "/etc/passwd")] => "leads out";
    parent_link: [link("l", "../bystander")] => "leads out";
    deep_parent_link: [link("a/b/l", "../../../bystander")] => "leads out";
    link_chain_that_names_alone_do_not_show: [
        entry(EntryType::Directory, "a/", "", b""), link("a/b", "."), link("t", "a/b/b/b/../../../bystander")
    ] => "leads out";
    write_through_link: [link("l", ".."), file("l/bystander", "x")] => "through a link";
    write_through_inner_link: [entry(EntryType::Directory, "d/", "", b""), link("l", "d"), file("l/x", "x")] => "through a link";
    folder_over_link: [link("l", ".."), entry(EntryType::Directory, "l/", "", b"")] => "through a link";
    hard_link_outside: [entry(EntryType::Link, "h", "../bystander", b"")] => "leads out";
    hard_link_absolute: [entry(EntryType::Link, "h", "/etc/passwd", b"")] => "leads out";
    hard_link_to_a_link: [link("l", "/etc/passwd"), entry(EntryType::Link, "h", "l", b"")] => "no file of the archive";
    hard_link_through_a_link: [link("l", "/etc"), entry(EntryType::Link, "h", "l/passwd", b"")] => "through a link";
    hard_link_to_nothing: [entry(EntryType::Link, "h", "absent", b"")] => "no file of the archive";
    character_device: [entry(EntryType::Char, "null", "", b"")] => "device";
    block_device: [entry(EntryType::Block, "sda", "", b"")] => "device";
    pipe: [entry(EntryType::Fifo, "pipe", "", b"")] => "device, pipe";
    sparse_file: [entry(EntryType::GNUSparse, "s", "", b"")] => "unknown kind";
    file_over_folder: [file("a/b", "x"), file("a", "x")] => "both folder and file";
    file_as_folder: [file("a", "x"), file("a/b", "x")] => "link or file";
    no_name: [file("", "x")] => "no name";
    link_without_target: [link("l", "")] => "no target";
    long_name_outside: [entry(EntryType::GNULongName, "L", "", b"../bystander\0"), file("x", "x")] => "leads out";
    nul_in_long_name: [entry(EntryType::GNULongName, "L", "", b"a\0b\0"), file("x", "x")] => "leads out";
    pax_path_outside: [entry(EntryType::XHeader, "p", "", b"21 path=../bystander\n"), file("x", "x")] => "leads out";
    pax_link_outside: [entry(EntryType::XHeader, "p", "", b"17 linkpath=/etc\n"), link("l", "x")] => "leads out";
    pax_size: [entry(EntryType::XHeader, "p", "", b"10 size=9\n"), file("x", "x")] => "larger than a header";
    huge_name: [entry(EntryType::GNULongName, "L", "", &vec![b'a'; 70_000]), file("x", "x")] => "longer than any";
}

#[test]
fn the_later_of_two_entries_counts_and_never_writes_through_the_earlier() {
    let home = Home::new();
    let both = [
        file("a", "one"),
        file("a", "two"),
        entry(EntryType::Link, "h", "a", b""),
        file("h", "three"),
        link("l", "a"),
        file("l", "four"),
        file("./deep/./x", "x"),
        entry(EntryType::Directory, "./", "", b""),
    ];
    home.unpack(&archive(&both), UnpackLimits::default()).expect("unpack");
    let read = |name: &str| fs::read_to_string(home.destination().join(name)).expect("read");
    assert_eq!(
        [read("a"), read("h"), read("l"), read("deep/x")],
        ["two", "three", "four", "x"]
    );
    assert!(!home.destination().join("l").is_symlink());
}

#[test]
fn outside_links_are_made_on_request_but_nothing_goes_through_them() {
    let limits = UnpackLimits::default().with_outside_links(OutsideLinks::Keep);
    let home = Home::new();
    home.unpack(&archive(&[link("l", "/nowhere")]), limits).expect("unpack");
    assert_eq!(
        fs::read_link(home.destination().join("l")).expect("link"),
        Path::new("/nowhere")
    );
    let home = Home::new();
    home.unpack(&archive(&[link("l", ".."), file("l/bystander", "x")]), limits)
        .expect_err("through a link");
    home.assert_untouched();
}

#[test]
fn a_circle_of_links_is_made_and_ends() {
    let home = Home::new();
    home.unpack(
        &archive(&[link("a", "b"), link("b", "a"), link("c", "c/d")]),
        UnpackLimits::default(),
    )
    .expect("unpack");
    assert!(home.destination().join("a").is_symlink());
}

#[test]
fn bombs_end_at_the_limit() {
    let zeros = vec![0; 3_000_000];
    let bomb = archive(&[entry(EntryType::Regular, "zeros", "", &zeros)]);
    let packed = zstd::encode_all(bomb.as_slice(), 1).expect("compress");
    assert!(packed.len() < 2000);
    let many = archive(&(0..50).map(|i| file(&i.to_string(), "")).collect::<Vec<_>>());
    // Behind its end an archive may hold anything; that is read for checksums, but not without end.
    let tail = [archive(&[]), vec![0; 3_000_000]].concat();
    let limits = UnpackLimits::new(20, 1_000_000);
    for archive in [bomb, packed, many, tail] {
        let home = Home::new();
        let error = home.unpack(&archive, limits).expect_err("bomb");
        assert!(
            error.message().contains("more than 20 entries or 1000000 bytes"),
            "{error}"
        );
        home.assert_untouched();
    }
}

#[test]
fn a_cut_or_bent_archive_leaves_nothing() {
    let whole = archive(&[file("a", "content"), file("b", "content")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&whole).expect("compress");
    let gzip = gzip.finish().expect("compress");
    let zstd = zstd::encode_all(whole.as_slice(), 1).expect("compress");
    let mut bent = whole.clone();
    bent[3] ^= 1;
    let mut cuts: Vec<Vec<u8>> = (0..4).map(|blocks| whole[..blocks * 512].to_vec()).collect();
    cuts.extend([
        whole[..700].to_vec(),
        gzip[..gzip.len() - 3].to_vec(),
        zstd[..zstd.len() - 3].to_vec(),
        bent,
    ]);
    for cut in cuts {
        let home = Home::new();
        let error = home.unpack(&cut, UnpackLimits::default()).expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::CodeDir, "{error}");
        home.assert_untouched();
    }
}

#[test]
fn an_occupied_destination_is_a_conflict_and_an_empty_one_is_not() {
    let home = Home::new();
    fs::create_dir(home.destination()).expect("make folder");
    home.unpack(&archive(&[file("a", "x")]), UnpackLimits::default())
        .expect("into an empty folder");
    let again = home
        .unpack(&archive(&[file("b", "x")]), UnpackLimits::default())
        .expect_err("occupied");
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert!(!home.destination().join("b").exists());
    let home = Home::new();
    symlink("bystander", home.destination()).expect("make link");
    let error = home
        .unpack(&archive(&[file("a", "x")]), UnpackLimits::default())
        .expect_err("a link is there");
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

/// Archives that are well-formed enough to get far.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "a",
        "b",
        "a/b",
        "b/a",
        "../bystander",
        "/x",
        ".",
        "..",
        "a/../b",
        "",
        "a/b/c",
        "./a",
    ]);
    let kind = prop::sample::select(vec![b'0', b'1', b'2', b'5', b'L', b'K', b'x', b'g', b'7', b'3', 0]);
    let entry = (kind, name.clone(), name, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, name, target, content)| entry(EntryType::new(kind), name, target, &content));
    prop::collection::vec(entry, 0..8).prop_map(|entries| archive(&entries))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic_and_never_touch_anything_outside(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2000),
            hostile(),
            (hostile(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut archive, at, byte)| {
                let at = at.index(archive.len());
                archive[at] = byte;
                archive
            }),
            hostile().prop_map(|archive| zstd::encode_all(archive.as_slice(), 1).expect("compress")),
        ],
        keep: bool,
    ) {
        let home = Home::new();
        let policy = if keep { OutsideLinks::Keep } else { OutsideLinks::Refuse };
        let limits = UnpackLimits::new(100, 100_000).with_outside_links(policy);
        if home.unpack(&bytes, limits).is_ok() {
            fs::remove_dir_all(home.destination()).expect("the destination is a folder");
        }
        home.assert_untouched();
    }
}
