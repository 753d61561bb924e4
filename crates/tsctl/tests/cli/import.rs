//! `import`: NNI's folder stays as it is, everything shows, and `resume` goes on.

use crate::lab::Lab;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

pub(crate) const V1_9: &str = include_str!("../../../ts-manager/tests/fixtures/nni_v1_9.sql");
pub(crate) const V2_10: &str = include_str!("../../../ts-manager/tests/fixtures/nni_v2_10.sql");
pub(crate) const V3_0: &str = include_str!("../../../ts-manager/tests/fixtures/nni_v3_0.sql");

/// An experiment folder with the logs of its first trial.
pub(crate) fn folder(lab: &Lab, name: &str, sql: &str, trials: &str) -> PathBuf {
    let folder = lab.path(name);
    fs::create_dir_all(folder.join("db")).expect("made");
    fs::create_dir_all(lab.path("code")).expect("made");
    let sql = sql
        .replace("FOLDER", &folder.display().to_string())
        .replace("CODE", &lab.path("code").display().to_string());
    let db = rusqlite::Connection::open(folder.join("db/nni.sqlite")).expect("a database");
    db.execute_batch(&sql).expect("the fixture's SQL");
    let logs = folder.join(trials).join("aaaaa");
    fs::create_dir_all(&logs).expect("made");
    let prefix = if trials == "trials" { "" } else { "trial." };
    fs::write(logs.join(format!("{prefix}stdout")), "epoch 1\n").expect("written");
    fs::write(logs.join("trial.log"), "sdk\n").expect("written");
    folder
}

/// Every file below a directory with its content.
pub(crate) fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).expect("readable")));
        }
    }
    found.sort();
    found
}

#[test]
fn an_experiment_of_every_version_is_shown_and_goes_on() {
    for (id, sql, trials) in [
        ("Ab1cd2Ef", V1_9, "trials"),
        ("ab12cd34", V2_10, "trials"),
        ("ab12cd34", V3_0, "environments/local-env/trials"),
    ] {
        let lab = Lab::new();
        let folder = folder(&lab, &format!("nni-experiments/{id}"), sql, trials);
        let before = files(&folder);
        let imported = lab.json(&["import", id]);
        assert_eq!(
            (&imported["trials"], &imported["metrics"]),
            (&3.into(), &4.into()),
            "{imported}"
        );
        let status = lab.json(&["status", id]);
        assert_eq!(status["experiment"]["status"], "STOPPED");
        assert_eq!(status["experiment"]["best"]["number"], 0.875, "{status}");
        let trials = lab.json(&["trials", id]);
        let statuses: Vec<_> = trials["trials"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|t| t["status"].clone())
            .collect();
        assert_eq!(statuses, ["SUCCEEDED", "FAILED", "SYS_CANCELED"]);
        let metrics = lab.run(&["metrics", "aaaaa"]).exits(0);
        assert!(metrics.stdout.contains("NaN"), "{metrics:#?}");
        assert_eq!(lab.run(&["logs", "aaaaa"]).exits(0).stdout, "epoch 1\n");
        assert_eq!(lab.run(&["logs", "aaaaa", "--trial"]).exits(0).stdout, "sdk\n");
        lab.run(&["show", "#1", "-e", id]).exits(0);
        let exported = lab.json(&["export", id]);
        assert_eq!(exported[0]["parameter"]["x"], 0.25, "{exported}");
        let again = lab.run(&["import", &folder.display().to_string()]).exits(5);
        assert!(again.stderr.contains("is there already"), "{again:#?}");

        // Of four trials three have been; what NNI's trials were tells the tuner where to go on.
        lab.run(&["resume", id]).exits(0);
        let trials = lab.json(&["trials", id]);
        let last = &trials["trials"][3];
        assert_eq!(
            (&last["status"], &last["sequenceId"]),
            (&"SUCCEEDED".into(), &3.into()),
            "{trials}"
        );
        assert_eq!(last["parameters"]["parameter_id"], 3, "{last}");
        assert_eq!(files(&folder), before, "NNI's folder stays as it is");
    }
}

#[test]
fn an_experiment_whose_code_is_gone_is_shown_and_says_what_it_needs() {
    let lab = Lab::new();
    let folder = folder(&lab, "moved/ab12cd34", V2_10, "trials");
    fs::remove_dir_all(lab.path("code")).expect("removed");
    let imported = lab
        .run(&["import", &folder.display().to_string(), "--to", "mine"])
        .exits(0);
    assert!(
        imported.stderr.contains("the experiment cannot go on here"),
        "{imported:#?}"
    );
    let status = lab.json(&["status", "ab12cd34"]);
    assert_eq!(status["experiment"]["best"]["number"], 0.875, "{status}");
    lab.run(&["resume", "ab12cd34"]).exits(2);
    fs::create_dir(lab.path("code")).expect("made");
    lab.run(&["resume", "ab12cd34"]).exits(0);
}

#[test]
fn secrets_of_nni_go_into_a_file_that_only_its_owner_reads() {
    let lab = Lab::new();
    let sql = V2_10.replace(
        r#""trainingService":{"platform":"local","#,
        r#""trainingService":{"platform":"remote","machineList":[{"host":"a","user":"u","password":"hunter2"}],"#,
    );
    let sql = sql.replace(r#""maxTrialNumberPerGpu":1,"#, "");
    let folder = folder(&lab, "nni-experiments/ab12cd34", &sql, "trials");
    let imported = lab.json(&["import", &folder.display().to_string()]);
    let directory = PathBuf::from(imported["experiment"]["directory"].as_str().expect("a path"));
    let store = fs::read(directory.join("experiment.db")).expect("there");
    assert!(!String::from_utf8_lossy(&store).contains("hunter2"));
    let config = directory.join("config.yml");
    assert!(fs::read_to_string(&config).expect("there").contains("hunter2"));
    assert_eq!(
        fs::metadata(&config).expect("there").permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn what_is_no_experiment_of_nni_is_refused() {
    let lab = Lab::new();
    lab.run(&["import", "nobody1"]).exits(4);
    lab.run(&["import", "./nowhere"]).exits(4);
    fs::create_dir_all(lab.path("odd/db")).expect("made");
    lab.write("odd/db/nni.sqlite", "no database");
    lab.run(&["import", "./odd"]).exits(9);
    lab.config(1, "true", "");
    lab.run(&["run", "config.yml"]).exits(0);
    let ours = lab.json(&["ls"]);
    let directory = ours["experiments"][0]["directory"].as_str().expect("a path").to_owned();
    let refused = lab.run(&["import", &directory]).exits(5);
    assert!(refused.stderr.contains("experiment of tsctl already"), "{refused:#?}");
    assert!(fs::read_dir(lab.path("nni-experiments/imported")).map_or(true, |mut all| all.next().is_none()));
}
