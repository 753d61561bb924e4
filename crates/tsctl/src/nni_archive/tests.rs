//! Archives as NNI lays them out and as nobody should: built here, and damaged byte by byte.

use super::*;
use flate2::{Compression, write::DeflateEncoder};
use proptest::prelude::*;
use rawzip::{CompressionMethod, ZipArchiveWriter, path::EntryPath};

/// Files with their mode and, with a slash at their end, directories.
fn zip_of_modes(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut zip = ZipArchiveWriter::new(Vec::new());
    for (at, (name, content, mode)) in files.iter().enumerate() {
        // No normalization: names are as they are.
        let file = zip
            .new_file(EntryPath::verbatim(name.as_bytes()))
            .unix_permissions(*mode);
        if at % 2 == 0 {
            let (mut entry, config) = file.compression_method(CompressionMethod::DEFLATE).start().unwrap();
            let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
            writer.write_all(content).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            entry.finish(descriptor).unwrap();
        } else {
            let (mut entry, config) = file.start().unwrap();
            let mut writer = config.wrap(&mut entry);
            writer.write_all(content).unwrap();
            let (_, descriptor) = writer.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
    }
    zip.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mode = |name: &str| if name.ends_with('/') { 0o040_755 } else { 0o100_755 };
    let files: Vec<_> = files
        .iter()
        .map(|(name, content)| (*name, *content, mode(name)))
        .collect();
    zip_of_modes(&files)
}

const LABELED: (&str, &[u8]) = (LABEL, br#"{"id": "ab12cd34", "logDir": "/l"}"#);

fn whole() -> Vec<u8> {
    zip(&[
        ("experiment/", b""),
        ("experiment/db/", b""),
        (DATABASE, b"database, database, database, database"),
        LABELED,
        ("code/", b""),
        ("code/run.sh", b"true"),
        ("code/a/b.py", b"pass"),
        ("searchSpace/space.json", b"{}"),
    ])
}

fn read(bytes: &[u8]) -> Result<NniArchive<impl ReaderAt + use<>>> {
    let file = Path::new("a.zip");
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let zip = ZipArchive::from_seekable(io::Cursor::new(bytes.to_vec()), &mut buffer);
    NniArchive::check(zip.map_err(|e| damaged(file, e))?, file)
}

fn refused(bytes: &[u8]) -> Error {
    let error = read(bytes).err().expect("it is refused");
    assert!(error.help().is_some(), "{error:?}");
    error
}

/// Takes everything out; how many files there are then.
fn take_all(bytes: &[u8], target: &Path) -> Result<usize> {
    let archive = read(bytes)?;
    archive.id()?;
    archive.search_space()?;
    let mut undo = Undo::default();
    for part in [EXPERIMENT, CODE] {
        archive.in_the_way(part, target)?;
        archive.unpack(part, target, &mut undo)?;
    }
    let n = undo.n_files();
    undo.keep();
    Ok(n)
}

#[test]
fn an_archive_as_nni_lays_it_out_is_read() {
    let lab = tempfile::tempdir().unwrap();
    let bytes = whole();
    let archive = read(&bytes).unwrap();
    assert_eq!(archive.id().unwrap().as_str(), "ab12cd34");
    assert_eq!(archive.search_space().unwrap().as_deref(), Some("{}"));
    assert!(archive.holds(CODE) && archive.holds(EXPERIMENT) && !archive.holds("cod"));
    archive.refuse_without_room(lab.path()).unwrap();
    assert_eq!(take_all(&bytes, &lab.path().join("new")).unwrap(), 3);
    let content = |name: &str| fs::read(lab.path().join("new").join(name)).unwrap();
    assert_eq!(content("db/nni.sqlite"), b"database, database, database, database");
    assert_eq!(content("a/b.py"), b"pass");
    let mode = |name: &str| {
        let metadata = fs::metadata(lab.path().join("new").join(name)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions())
    };
    assert_eq!((mode("run.sh") & 0o700, mode("db/nni.sqlite") & 0o777), (0o700, 0o600));
}

#[test]
fn what_is_in_the_way_is_named_and_the_same_file_is_not() {
    let lab = tempfile::tempdir().unwrap();
    let bytes = whole();
    let in_the_way = || read(&bytes).unwrap().in_the_way(CODE, lab.path()).unwrap();
    let path = |name: &str| lab.path().join(name);
    fs::write(path("run.sh"), "true").unwrap();
    fs::create_dir(path("a")).unwrap();
    assert_eq!(in_the_way(), Vec::<PathBuf>::new());
    for other in ["fals", "longer", ""] {
        fs::write(path("run.sh"), other).unwrap();
        assert_eq!(in_the_way(), [path("run.sh")], "{other}");
    }
    fs::remove_dir(path("a")).unwrap();
    std::os::unix::fs::symlink("/nowhere", path("a")).unwrap();
    fs::remove_file(path("run.sh")).unwrap();
    fs::create_dir(path("run.sh")).unwrap();
    let mut found = in_the_way();
    found.sort();
    assert_eq!(found, [path("a"), path("run.sh")]);
}

#[test]
fn names_that_lead_out_and_kinds_that_nni_never_saves_are_refused() {
    for name in ["../x", "/x", "code/../../x", "code/./x", "code//x"] {
        let error = refused(&zip(&[(DATABASE, b""), LABELED, (name, b"")]));
        assert!(error.message().contains("leads out"), "{name}: {error}");
    }
    for kind in [0o120_000, 0o010_000, 0o020_000, 0o040_000] {
        let error = refused(&zip_of_modes(&[("code/link", b"/etc", kind | 0o777)]));
        assert!(error.message().contains("neither a file nor a directory"), "{error}");
    }
    let error = refused(&zip(&[(DATABASE, b"1"), LABELED, (DATABASE, b"2")]));
    assert!(error.message().contains("twice"), "{error}");
}

/// Two names for the same bytes, as bombs have them.
#[test]
fn parts_that_overlap_are_refused() {
    let content = "x".repeat(100);
    let mut bytes = zip(&[(DATABASE, content.as_bytes()), LABELED, ("code/aa", content.as_bytes())]);
    let directory = |bytes: &[u8], nth: usize| {
        let all = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"PK\x01\x02");
        all.map(|(at, _)| at).nth(nth).expect("a record")
    };
    // The last names the place of the first. Source: APPNOTE.TXT 4.3.12.
    let (first, last) = (directory(&bytes, 0) + 42, directory(&bytes, 2) + 42);
    bytes.copy_within(first..first + 4, last);
    let error = refused(&bytes);
    assert!(error.message().contains("overlap"), "{error}");
}

#[test]
fn what_is_no_archive_of_nni_says_what_it_lacks() {
    for (files, expected) in [
        (&[LABELED][..], DATABASE),
        (&[(DATABASE, &b""[..])][..], LABEL),
        (&[("db/nni.sqlite", &b""[..])][..], DATABASE),
    ] {
        let error = refused(&zip(files));
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(expected), "{error}");
    }
    for (label, expected) in [
        ("", "no JSON"),
        ("{}", "names no"),
        (r#"{"id": "../x"}"#, "names no"),
        ("[3]", "names no"),
    ] {
        let bytes = zip(&[(DATABASE, b""), (LABEL, label.as_bytes())]);
        let error = read(&bytes).unwrap().id().unwrap_err();
        assert!(error.message().contains(expected), "{label}: {error}");
    }
}

#[test]
fn a_cut_archive_is_never_taken_for_a_whole_one() {
    let (bytes, lab) = (whole(), tempfile::tempdir().unwrap());
    for end in 0..bytes.len() {
        let error = take_all(&bytes[..end], lab.path()).expect_err("a part is refused");
        assert_eq!(error.kind(), ErrorKind::Io, "{end}: {error:?}");
    }
    assert_eq!(fs::read_dir(lab.path()).unwrap().count(), 0, "nothing was taken out");
}

#[test]
fn changed_content_is_noticed() {
    let (mut bytes, lab) = (whole(), tempfile::tempdir().unwrap());
    let at = bytes
        .windows(4)
        .position(|four| four == b"true")
        .expect("stored as it is");
    bytes[at] = b'T';
    let error = take_all(&bytes, lab.path()).unwrap_err();
    assert!(error.message().contains("code/run.sh"), "{error}");
}

proptest! {
    /// Whatever is changed, it is an error or an archive, and nothing is written outside.
    #[test]
    fn noise_is_an_error_and_no_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let lab = tempfile::tempdir().unwrap();
        let mut bytes = whole();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = take_all(&bytes, &lab.path().join("target")) {
            prop_assert!(error.help().is_some() || error.kind() == ErrorKind::Io, "{:?}", error);
        }
        let entries = fs::read_dir(lab.path()).unwrap();
        prop_assert!(entries.into_iter().all(|entry| entry.unwrap().file_name() == "target"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let lab = tempfile::tempdir().unwrap();
        let mut begins_well = MAGIC.to_vec();
        begins_well.extend_from_slice(&bytes);
        for bytes in [bytes, begins_well] {
            prop_assert!(take_all(&bytes, lab.path()).is_err());
        }
    }
}
