//! `migrate` as a command: where its output goes, what shows, and how it ends.

use crate::lab::Lab;

const OLD: &str = "authorName: me\ntrialConcurrency: 1\ntrainingServicePlatform: remote\nsearchSpacePath: space.json\nuseAnnotation: false\n\
                   tuner: {builtinTunerName: Random}\ntrial: {command: 'true', codeDir: .}\n\
                   machineList:\n  - ip: a\n    username: u\n    passwd: hunter2   # not hunter2\n";

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("old.yml", OLD);
    lab.write("space.json", r#"{"x": {"_type": "choice", "_value": [1]}}"#);
    lab
}

#[test]
fn the_new_file_goes_where_it_is_wanted() {
    let lab = lab();
    let printed = lab.run(&["migrate", "old.yml"]).exits(0);
    assert!(printed.stdout.contains("    password: hunter2"), "{printed:#?}");
    assert!(
        printed
            .stderr
            .contains("note: old.yml:4: `searchSpacePath`: is now `searchSpaceFile`"),
        "{printed:#?}"
    );
    lab.run(&["migrate", "old.yml", "-o", "new.yml", "--quiet"]).exits(0);
    let new = std::fs::read_to_string(lab.path("new.yml")).expect("written");
    assert_eq!(new, printed.stdout);
    lab.run(&["config", "new.yml"]).exits(0);
    let again = lab.run(&["migrate", "old.yml", "-o", "new.yml"]).exits(5);
    assert!(again.stderr.contains("exists already"), "{again:#?}");
    std::fs::create_dir(lab.path("other")).expect("made");
    lab.run(&["migrate", "old.yml", "-o", "other/new.yml"]).exits(0);
    lab.run(&["config", "other/new.yml"]).exits(0);
    lab.run(&["migrate", "old.yml", "--in-place"]).exits(0);
    assert_eq!(std::fs::read_to_string(lab.path("old.yml")).expect("there"), new);
    let done = lab.run(&["migrate", "old.yml"]).exits(0);
    assert!(done.stderr.contains("already schema 2: nothing to mend"), "{done:#?}");
    assert_eq!(done.stdout, new);
}

#[test]
fn a_difference_shows_no_secret() {
    let lab = lab();
    let shown = lab.run(&["migrate", "old.yml", "--diff"]).exits(0);
    assert!(!format!("{shown:?}").contains("hunter2"), "{shown:#?}");
    assert!(shown.stdout.contains("-    passwd: \"***\""), "{shown:#?}");
    assert!(
        shown.stdout.contains("+      password: \"***\"  # not ***"),
        "{shown:#?}"
    );
    let json = lab.json(&["migrate", "old.yml", "--diff"]);
    assert_eq!((&json["schema"], &json["changed"]), (&1.into(), &true.into()));
    assert!(!json.to_string().contains("hunter2"));
}

#[test]
fn mistakes_are_told_as_by_validate() {
    let lab = lab();
    lab.write(
        "bad.yml",
        &OLD.replace("trialConcurrency: 1", "trialConcurency: 1")
            .replace("ip: a", "ip: 7"),
    );
    let ran = lab.run(&["migrate", "bad.yml", "--in-place"]).exits(2);
    assert!(
        ran.stderr.contains("bad.yml:2:1: the key `trialConcurency` is unknown"),
        "{ran:#?}"
    );
    assert!(ran.stderr.contains("bad.yml:9:9:"), "{ran:#?}");
    lab.run(&["migrate", "missing.yml"]).exits(4);
}
