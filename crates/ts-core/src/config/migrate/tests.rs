//! Migrating files: where keys, comments and values go, and what is said about them.

use super::*;
use crate::config::{PlatformSection, Problems};

fn unbuilt(
    _: &PlatformSection,
    _: &crate::ExperimentSpec,
    _: &crate::Ctx,
) -> crate::Result<std::sync::Arc<dyn crate::TrainingService>> {
    Err(crate::Error::unsupported("nothing is built here"))
}

const LOCAL: Platform = Platform {
    name: "local",
    aliases: &[],
    v1_sections: &["localConfig"],
    v1_trial_keys: &["image"],
    check: |section: &PlatformSection, problems: &mut Problems| {
        section.read(problems, |s| {
            let keys = |s: &mut crate::config::Section<'_>| {
                s.gpu_indices("gpuIndices");
                s.u32(("maxTrialNumberPerGpu", "maxTrialNumPerGpu"), 1..=9);
                s.secret(("password", "passWord"));
            };
            if s.schema() == Schema::V1 {
                s.section("localConfig", keys);
                s.section("trial", |s| s.string(("dockerImage", "image")));
            } else {
                keys(s);
                s.string(("dockerImage", "image"));
            }
        });
    },
    build: unbuilt,
    diagnose: |_, _| Box::pin(async { Vec::new() }),
};

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("code")).unwrap();
    std::fs::write(directory.path().join("code/mine.py"), "").unwrap();
    std::fs::write(
        directory.path().join("space.json"),
        r#"{"x": {"_type": "choice", "_value": [1]}}"#,
    )
    .unwrap();
    directory
}

fn migrated_to(text: &str, new: Option<&str>) -> Result<Migrated, Vec<Problem>> {
    let directory = directory();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: directory.path().to_owned(),
        home: Some("/home/u".into()),
    };
    let new = new.map(|new| directory.path().join(new));
    if let Some(new) = &new {
        std::fs::create_dir_all(new).unwrap();
    }
    migrate(text, &source, &[LOCAL], new.as_deref())
}

fn migrated(text: &str) -> Migrated {
    migrated_to(text, None).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

const OLD: &str = r#"# what this is
authorName: me          # nobody reads it
experimentName: 'it''s'
trialConcurrency: 2

# how long
maxExecDuration: 1h     # an hour
trainingServicePlatform: local  # here
searchSpacePath: space.json
useAnnotation: false
# the tuner
tuner:
  #choice: TPE, Random
  builtinTunerName: TPE
  classArgs: {optimize_mode: maximize, n: 1e-3}
  gpuIndices: 0
trial:
  # many lines
  command: |
    echo 1
    echo "2"
  codeDir: code
  image: 'a:1'
localConfig:
  gpuIndices: [0, 1]   # both
  maxTrialNumPerGpu: 2
  # the end of it
tsctl:
  seed: 7
# the end
"#;

const NEW: &str = r#"# what this is
experimentName: 'it''s'
trialConcurrency: 2

# how long
maxExperimentDuration: 1h  # an hour
searchSpaceFile: space.json
useAnnotation: false
# the tuner
tuner:
  #choice: TPE, Random
  name: TPE
  classArgs: {optimize_mode: maximize, n: 1e-3}
tunerGpuIndices: 0
# many lines
trialCommand: |
  echo 1
  echo "2"
trialCodeDirectory: code
trainingService:
  platform: local  # here
  dockerImage: 'a:1'
  gpuIndices: [0, 1]  # both
  maxTrialNumberPerGpu: 2
  # the end of it
tsctl:
  seed: 7
# the end
"#;

#[test]
fn keys_comments_and_values_keep_their_places() {
    let migrated = migrated(OLD);
    assert_eq!(migrated.from, Schema::V1);
    assert_eq!(migrated.text, NEW);
    let notes: Vec<String> = migrated
        .notes
        .iter()
        .map(|note| format!("{} {} {:?}", note.line, note.key, note.kind))
        .collect();
    let expected = [
        "0 maxTrialNum Changed",
        "2 authorName Dropped",
        "2  Comment",
        "7 maxExecDuration Renamed",
        "8 trainingServicePlatform Renamed",
        "9 searchSpacePath Renamed",
        "14 tuner.builtinTunerName Renamed",
        "16 tuner.gpuIndices Renamed",
        "17 trial Renamed",
        "19 trial.command Renamed",
        "22 trial.codeDir Renamed",
        "23 trial.image Renamed",
        "24 localConfig Renamed",
        "26 localConfig.maxTrialNumPerGpu Renamed",
    ];
    assert_eq!(notes, expected, "{:#?}", migrated.notes);
}

#[test]
fn a_file_of_schema_2_stays_and_old_spellings_are_mended() {
    let same = migrated(NEW);
    assert_eq!((same.from, same.text.as_str()), (Schema::V2, NEW));
    assert!(same.notes.is_empty(), "{:?}", same.notes);
    let old = "# mine\ntrial_concurrency: 1\ntrialcommand: 'x'   # run\nsearch_space_file: space.json\n\
               tuner:\n  className: mine.T\n  classDirectory: code\ntrainingService: {platform: local, max_trial_number_per_gpu: 2}\n";
    let mended = migrated(old);
    assert_eq!(
        mended.text,
        "# mine\ntrialConcurrency: 1\ntrialCommand: 'x'  # run\nsearchSpaceFile: space.json\n\
         tuner:\n  className: mine.T\n  codeDirectory: code\ntrainingService: {platform: local, maxTrialNumberPerGpu: 2}\n"
    );
    assert_eq!(mended.notes.len(), 5, "{:#?}", mended.notes);
}

#[test]
fn classes_are_named_with_their_module_and_paths_follow_the_file() {
    let custom = OLD.replace(
        "  builtinTunerName: TPE\n",
        "  codeDir: ./code\n  classFileName: mine.py\n  className: T  # that one\n",
    );
    let moved = migrated_to(&custom, Some("other/place")).unwrap();
    for expected in [
        "  codeDirectory: ../.././code\n",
        "  className: mine.T  # that one\n",
        "searchSpaceFile: ../../space.json\n",
        "trialCodeDirectory: ../../code\n",
    ] {
        assert!(moved.text.contains(expected), "{expected}: {}", moved.text);
    }
    assert!(!moved.text.contains("classFileName"));
}

#[test]
fn further_parameters_are_asked_for_in_our_own_section() {
    for (ours, expected) in [
        (
            "tsctl:\n  seed: 7\n",
            "tsctl:\n  seed: 7\n  # more than one\n  multiPhase: true\n",
        ),
        (
            "tsctl: {seed: 7}\n",
            "tsctl:\n  seed: 7\n  # more than one\n  multiPhase: true\n",
        ),
        ("", "tsctl:\n  # more than one\n  multiPhase: true\n"),
    ] {
        let old = OLD
            .replace("useAnnotation: false\n", "# more than one\nmultiPhase: true\n")
            .replace("tsctl:\n  seed: 7\n", ours);
        let moved = migrated(&old);
        assert!(moved.text.contains(expected), "{}", moved.text);
        let note = moved.notes.iter().find(|note| note.key == "multiPhase").unwrap();
        assert_eq!(
            (note.kind, note.message.as_str()),
            (NoteKind::Renamed, "is now `tsctl.multiPhase`")
        );
    }
    let moved = migrated(&OLD.replace("useAnnotation: false", "multiPhase: false"));
    assert!(!moved.text.contains("multiPhase"), "{}", moved.text);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = OLD
        .replace("trialConcurrency: 2", "trialConcurrency: no")
        .replace("seed", "sed");
    let problems = migrated_to(&wrong, None).unwrap_err();
    let places: Vec<u32> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(places, [4, 29]);
}

#[test]
fn secrets_stay_in_the_file_and_show_nowhere_else() {
    let text = OLD.replace("  # the end of it\n", "  passWord: hunter2  # was hunter2 before\n");
    let migrated = migrated(&text);
    assert!(migrated.text.contains("password: hunter2"));
    for (text, secrets) in [(&text, &migrated.old_secrets), (&migrated.text, &migrated.new_secrets)] {
        let shown = crate::config::masked(text, secrets);
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }
}

#[test]
fn anchors_are_written_out_and_odd_values_keep_their_meaning() {
    let text = "trialConcurrency: 1\ntrainingServicePlatform: local\nsearchSpacePath: space.json\nuseAnnotation: no\n\
                trial: &t\n  command: !!str 5\n  codeDir: code\n\
                tuner:\n  builtinTunerName: Mine\n  classArgs: &a\n    on: [1.0e+3, .inf, 'x, y', \"tab\\t\", [1, {a: b}]]\n    text: one\n      two\n    b: \"yes\"\n    nothing: ~\n\
                assessor:\n  builtinAssessorName: Medianstop\n  classArgs: {start_step: 1}\n";
    let text = text.replace(".inf, ", "");
    let migrated = migrated(&text);
    assert!(migrated.text.contains("trialCommand: \"5\"\n"), "{}", migrated.text);
    assert!(
        migrated
            .text
            .contains("\"on\": [1.0e+3, 'x, y', \"tab\\t\", [1, {a: b}]]\n"),
        "{}",
        migrated.text
    );
    assert!(migrated.text.contains("text: one two\n"), "{}", migrated.text);
    assert!(migrated.text.contains("b: \"yes\"\n"), "{}", migrated.text);
    assert!(migrated.notes.iter().any(|note| note.message.contains("anchors")));
}

#[test]
fn keys_with_points_blocks_and_empty_values_are_the_users_own() {
    let args = "classArgs:\n    lr.decay: 1\n    first: >\n    last:\n      # about it\n      one\n\n      two\n    quoted: \"a\\n\\n\"\n    none:";
    let old = OLD.replace("classArgs: {optimize_mode: maximize, n: 1e-3}", args);
    let expected = "  classArgs:\n    lr.decay: 1\n    first: \"\"\n    last: |-\n      one\n      two\n    # about it\n    \
                    quoted: \"a\\n\\n\"\n    none: null\n";
    let new = migrated(&old).text;
    assert!(new.contains(expected), "{new}");
}

proptest::proptest! {
    /// Values as nobody would write them, comments between, blocks, anchors: what reads, migrates, and reads as the same.
    #[test]
    fn whatever_reads_keeps_its_meaning(value in "([-:{}\\[\\],#\"'|>&*!a-c0-9.eE+~ \n]|\n    |\n      ){0,30}") {
        let args = format!("classArgs:\n    first: {value}\n    last: [1, 'a']");
        let old = OLD.replace("classArgs: {optimize_mode: maximize, n: 1e-3}", &args);
        let directory = directory();
        let source = ConfigSource {
            file: "exp.yml".into(),
            base_dir: directory.path().to_owned(),
            home: Some("/home/u".into()),
        };
        let arguments = |text: &str| Some(parse(text, &source, &[LOCAL]).config?.tuner?.class_args);
        let before = arguments(&old);
        let migrated = migrate(&old, &source, &[LOCAL], None);
        proptest::prop_assert_eq!(before.is_some(), migrated.is_ok());
        if let Ok(migrated) = migrated {
            proptest::prop_assert_eq!(before, arguments(&migrated.text), "{}\n-----\n{}", old, migrated.text);
        }
    }
}
