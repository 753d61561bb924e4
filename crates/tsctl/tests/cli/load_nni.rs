//! `load` of archives as `nnictl experiment save` lays them out: shown, continued, their code and search space put where they were
//! asked for; and whatever is wrong with one leaves nothing behind.

use crate::{
    import::{V1_9, V2_10, V3_0, files, folder},
    lab::Lab,
    nnictl::nnictl,
};
use flate2::{Compression, write::DeflateEncoder};
use rawzip::{CompressionMethod, ZipArchiveWriter, path::EntryPath};
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// An archive that is being put together.
struct Archive {
    files: Vec<(String, Vec<u8>)>,
    method: CompressionMethod,
}

impl Archive {
    /// Of an experiment, whose folder is gone afterwards. Source of the layout: nni v2.10, `nnictl_utils.py`, `save_experiment`.
    fn new(lab: &Lab, id: &str, sql: &str, trials: &str) -> Self {
        let folder = folder(lab, "elsewhere", sql, trials);
        let mut archive = Self {
            files: Vec::new(),
            method: CompressionMethod::DEFLATE,
        };
        for (path, content) in files(&folder) {
            let own = path.strip_prefix(&folder).expect("below it");
            archive.add(&format!("experiment/{}", own.display()), &content);
        }
        archive.add("experiment/checkpoint/", b"");
        let label = format!(r#"{{"id": "{id}", "port": 8080, "status": "STOPPED", "logDir": "/somewhere"}}"#);
        archive.add("nnictl/.experiment", label.as_bytes());
        archive.add(&format!("nnictl/{id}/log/nnictl_stdout.log"), b"started\n");
        fs::remove_dir_all(folder).expect("removed");
        archive
    }

    fn add(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.files.retain(|(there, _)| there != name);
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipArchiveWriter::new(Vec::new());
        for (name, content) in &self.files {
            let kind = if name.ends_with('/') { 0o040_000 } else { 0o100_000 };
            let file = zip.new_file(EntryPath::verbatim(name.as_bytes()));
            let file = file.unix_permissions(kind | 0o755).compression_method(self.method);
            let (mut entry, config) = file.start().expect("begun");
            let packs: Box<dyn Write> = if self.method == CompressionMethod::DEFLATE {
                Box::new(DeflateEncoder::new(&mut entry, Compression::default()))
            } else {
                Box::new(&mut entry)
            };
            let mut writer = config.wrap(packs);
            writer.write_all(content).expect("added");
            let (packs, descriptor) = writer.finish().expect("added");
            // An encoder writes its end when it goes.
            drop(packs);
            entry.finish(descriptor).expect("added");
        }
        zip.finish().expect("a zip file")
    }

    fn write(&self, lab: &Lab, name: &str) -> PathBuf {
        let path = lab.path(name);
        fs::write(&path, self.bytes()).expect("written");
        path
    }
}

/// All that is in this directory, hidden or not.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn an_archive_of_every_version_is_shown_and_goes_on() {
    for (id, sql, trials, method) in [
        ("Ab1cd2Ef", V1_9, "trials", CompressionMethod::DEFLATE),
        ("ab12cd34", V2_10, "trials", CompressionMethod::STORE),
        (
            "ab12cd34",
            V3_0,
            "environments/local-env/trials",
            CompressionMethod::DEFLATE,
        ),
    ] {
        let lab = Lab::new();
        let mut archive = Archive::new(&lab, id, sql, trials);
        archive.method = method;
        archive.write(&lab, "named.anyhow");
        // NNI's database says that the logs of this trial are here.
        lab.write(&format!("elsewhere/{trials}/bbbbb/stdout"), "of another machine");
        let loaded = lab.json(&["load", "named.anyhow"]);
        assert_eq!(
            (&loaded["trials"], &loaded["metrics"]),
            (&3.into(), &4.into()),
            "{loaded}"
        );
        assert_eq!(names(&lab.path("nni-experiments")), [id], "and nothing else");
        let links = lab.path(&format!("nni-experiments/{id}/trials"));
        assert_eq!(names(&links), ["aaaaa"], "and no link to anywhere else");
        let status = lab.json(&["status", id]);
        assert_eq!(status["experiment"]["best"]["number"], 0.875, "{status}");
        assert_eq!(lab.run(&["logs", "aaaaa"]).exits(0).stdout, "epoch 1\n");
        assert_eq!(lab.run(&["logs", "aaaaa", "--trial"]).exits(0).stdout, "sdk\n");
        assert_eq!(lab.json(&["export", id])[0]["parameter"]["x"], 0.25);
        let again = lab.run(&["load", "named.anyhow", "--to", "other"]).exits(5);
        assert!(again.stderr.contains("is there already"), "{again:#?}");

        lab.run(&["resume", id]).exits(0);
        let trials = lab.json(&["trials", id]);
        assert_eq!(trials["trials"][3]["status"], "SUCCEEDED", "{trials}");
        lab.run(&["gc", id, "--yes"]).exits(0);
        assert_eq!(names(&lab.path("nni-experiments")), [""; 0], "all of it goes with it");
    }
}

#[test]
fn code_and_search_space_go_where_nnictl_was_told() {
    for (id, sql) in [("Ab1cd2Ef", V1_9), ("ab12cd34", V2_10)] {
        let lab = Lab::new();
        // Only the saved code has the script; only the named place has the saved code.
        let sql = sql
            .replace(r#""trialCommand":"true""#, r#""trialCommand":"sh run.sh""#)
            .replace(
                r#"{"key":"command","value":"true"}"#,
                r#"{"key":"command","value":"sh run.sh"}"#,
            );
        let mut archive = Archive::new(&lab, id, &sql, "trials");
        let saved_space = r#"{ "x": {"_type": "uniform", "_value": [0, 1]} }"#;
        archive
            .add("code/", b"")
            .add("code/run.sh", b"test -f sub/data && echo here\n")
            .add("code/sub/data", b"1")
            .add("searchSpace/mine.json", saved_space.as_bytes());
        archive.write(&lab, "a.zip");
        fs::remove_dir_all(lab.path("code")).expect("removed");
        lab.write("new/own.txt", "mine");
        lab.write("new/sub/data", "1");
        let line = "experiment load --path a.zip --codeDir new --logDir logs --searchSpacePath spaces/s.json --json";
        let loaded = nnictl(&lab, line).exits(0).json();
        assert_eq!(loaded["code"], lab.path("new").display().to_string(), "{loaded}");
        assert_eq!(
            loaded["experiment"]["directory"],
            lab.path(&format!("logs/{id}")).display().to_string()
        );
        assert_eq!(
            fs::read_to_string(lab.path("spaces/s.json")).expect("there"),
            saved_space
        );
        let mode = fs::metadata(lab.path("new/run.sh"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o700, 0o700, "it stays a program");
        let config = fs::read_to_string(lab.path(&format!("logs/{id}/config.yml"))).expect("there");
        assert!(config.contains("spaces/s.json"), "{config}");

        lab.run(&["resume", id]).exits(0);
        let trials = lab.json(&["trials", id]);
        let last = trials["trials"][3]["id"].as_str().expect("a fourth trial").to_owned();
        assert_eq!(lab.run(&["logs", &last]).exits(0).stdout, "here\n", "{trials}");
        assert_eq!(fs::read_to_string(lab.path("new/own.txt")).expect("there"), "mine");
    }
}

#[test]
fn code_goes_into_the_experiments_directory_unless_something_is_where_it_was() {
    let lab = Lab::new();
    let mut archive = Archive::new(&lab, "ab12cd34", V2_10, "trials");
    archive.add("code/run.sh", b"true\n").write(&lab, "a.zip");
    let loaded = lab.json(&["load", "a.zip"]);
    assert_eq!(loaded["code"], serde_json::Value::Null, "{loaded}");
    assert!(!lab.path("code/run.sh").exists());
    lab.run(&["gc", "ab12cd34", "--yes"]).exits(0);
    fs::remove_dir_all(lab.path("code")).expect("removed");
    let loaded = lab.json(&["load", "a.zip"]);
    let code = lab.path("nni-experiments/ab12cd34/code");
    assert_eq!(loaded["code"], code.display().to_string(), "{loaded}");
    assert!(code.join("run.sh").is_file());
    assert!(
        !lab.path("code").exists(),
        "the archive does not say where else it goes"
    );
    let config = fs::read_to_string(lab.path("nni-experiments/ab12cd34/config.yml")).expect("there");
    assert!(config.contains(&code.display().to_string()), "{config}");
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let lab = Lab::new();
    let mut archive = Archive::new(&lab, "ab12cd34", V2_10, "trials");
    archive
        .add("code/a.sh", b"saved")
        .add("code/b.sh", b"saved")
        .add("code/c.sh", b"saved")
        .write(&lab, "a.zip");
    lab.write("new/b.sh", "other");
    lab.write("new/c.sh", "other, too");
    lab.write("s.json", "{}");
    let untouched = |said: &crate::lab::Ran| {
        assert_eq!(names(&lab.path("new")), ["b.sh", "c.sh"], "{said:#?}");
        assert_eq!(fs::read_to_string(lab.path("new/b.sh")).expect("there"), "other");
        assert_eq!(fs::read_to_string(lab.path("s.json")).expect("there"), "{}");
        assert!(
            !lab.path("nni-experiments").exists() && !lab.path("fresh").exists(),
            "{said:#?}"
        );
        assert_eq!(lab.json(&["ls"])["experiments"], serde_json::json!([]));
    };
    let refused = lab.run(&["load", "a.zip", "--code", "new"]).exits(5);
    assert!(refused.stderr.contains("new/b.sh` is there already"), "{refused:#?}");
    assert!(refused.stderr.contains("and 1 more"), "{refused:#?}");
    untouched(&refused);
    // What was made until then is taken back.
    let line = ["load", "a.zip", "--code", "fresh/code", "--search-space", "s.json"];
    let refused = lab.run(&line).exits(5);
    assert!(refused.stderr.contains("s.json` is there already"), "{refused:#?}");
    untouched(&refused);
    let directory = lab.run(&["load", "a.zip", "--search-space", "new"]).exits(2);
    assert!(directory.stderr.contains("is a directory"), "{directory:#?}");
    untouched(&directory);

    let nni = folder(&lab, "nni-experiments/ab12cd34", V2_10, "trials");
    let before = files(&nni);
    let refused = lab.run(&["load", "a.zip"]).exits(5);
    assert!(refused.stderr.contains("tsctl import"), "{refused:#?}");
    assert_eq!(files(&nni), before, "NNI's own folder stays as it is");
    assert_eq!(names(&lab.path("nni-experiments")), ["ab12cd34"]);
}

#[test]
fn what_is_wrong_with_an_archive_is_said_and_leaves_nothing() {
    let lab = Lab::new();
    let archive = || Archive::new(&lab, "ab12cd34", V2_10, "trials");
    let refused = |bytes: &[u8], code: i32, expected: &str| {
        fs::write(lab.path("bad.zip"), bytes).expect("written");
        let line = ["load", "bad.zip", "--to", "to/here", "--code", "new"];
        let ran = lab.run(&line).exits(code);
        assert!(ran.stderr.contains(expected), "{expected}: {ran:#?}");
        assert!(ran.stderr.contains("help: "), "{ran:#?}");
        assert!(!lab.path("to").exists() && !lab.path("new").exists(), "{ran:#?}");
        assert!(!lab.path("escaped").exists());
        assert_eq!(lab.json(&["ls"])["experiments"], serde_json::json!([]));
    };
    let whole = archive().bytes();
    for end in [2, 30, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..end], 9, "it is damaged or incomplete");
    }
    let bytes = archive().add("code/../../escaped", b"x").bytes();
    refused(&bytes, 9, "leads out of it");
    let absolute = lab.path("escaped").display().to_string();
    refused(&archive().add(&absolute, b"x").bytes(), 9, "leads out of it");
    let other = archive().add("nnictl/.experiment", br#"{"id": "another1"}"#).bytes();
    refused(&other, 5, "its database is of ab12cd34");
    let upwards = archive().add("nnictl/.experiment", br#"{"id": "../escaped"}"#).bytes();
    refused(&upwards, 9, "names no experiment");
    let broken = archive().add("experiment/db/nni.sqlite", b"no database").bytes();
    refused(&broken, 9, "is damaged");
    let mut strange = archive();
    strange.files.retain(|(name, _)| !name.starts_with("nnictl"));
    refused(&strange.bytes(), 5, "is no archive of NNI");
}
