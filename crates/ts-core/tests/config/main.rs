//! Configuration files as users have them, good and bad: what they read as, and where their problems are.

mod past;
mod yaml;

use std::{fmt::Write as _, path::Path, time::Duration};
use tempfile::TempDir;
use ts_core::{
    Ctx, Error, ErrorKind, ExperimentSpec, Finding, GpuCount, Platform, Result, TrainingService,
    config::{
        AlgorithmKind, ConfigSource, LogLevel, Parsed, PlatformSection, Problems, Schema, Section, parse, parse_past,
        reference,
    },
};

fn no_service(_: &PlatformSection, _: &ExperimentSpec, _: &Ctx) -> Result<std::sync::Arc<dyn TrainingService>> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "this platform exists for reading configurations",
    ))
}

fn nothing_to_diagnose<'a>(
    _: Option<&'a PlatformSection>,
    _: &'a Ctx,
) -> futures_util::future::BoxFuture<'a, Vec<Finding>> {
    Box::pin(async { Vec::new() })
}

fn placement(s: &mut Section<'_>) {
    s.gpu_indices("gpuIndices");
    s.u32_or(("maxTrialNumberPerGpu", "maxTrialNumPerGpu"), 1..=99_999, 1);
    s.bool_or("useActiveGpu", false);
}

fn check_local(section: &PlatformSection, problems: &mut Problems) {
    section.read(problems, |s| match s.schema() {
        Schema::V1 => s.section("localConfig", placement).unwrap_or_default(),
        Schema::V2 => {
            placement(s);
            s.bool("reuseMode");
        }
    });
}

fn check_remote(section: &PlatformSection, problems: &mut Problems) {
    section.read(problems, |s| {
        s.required_list("machineList", |s| {
            s.required_string(("host", "ip"));
            s.u32_or("port", 1..=65535, 22);
            s.required_string(("user", "username"));
            s.secret(("password", "passwd"));
        });
    });
}

const LOCAL: Platform = Platform {
    name: "local",
    aliases: &[],
    v1_sections: &["localConfig"],
    v1_trial_keys: &[],
    check: check_local,
    build: no_service,
    diagnose: nothing_to_diagnose,
};
const REMOTE: Platform = Platform {
    name: "remote",
    v1_sections: &["machineList"],
    v1_trial_keys: &["extra"],
    check: check_remote,
    ..LOCAL
};

struct Folder {
    dir: TempDir,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("search_space.json"),
            "{\n\t\"lr\": {\"_type\": \"loguniform\", \"_value\": [1e-4, 0.1]}\n}",
        )
        .unwrap();
        Self { dir }
    }
    fn source(&self) -> ConfigSource {
        ConfigSource {
            file: "config.yml".into(),
            base_dir: self.dir.path().to_owned(),
            home: Some("/home/u".into()),
        }
    }
    fn parse(&self, text: &str) -> Parsed {
        parse(text, &self.source(), &[LOCAL, REMOTE])
    }
    fn parse_past(&self, text: &str) -> Parsed {
        parse_past(text, &self.source(), &[LOCAL, REMOTE])
    }
    fn path(&self) -> &Path {
        self.dir.path()
    }
}

const V1: &str = "\
authorName: default
experimentName: example_mnist
trialConcurrency: 2
maxExecDuration: 1h
maxTrialNum: 10
trainingServicePlatform: local
searchSpacePath: search_space.json
useAnnotation: false
tuner:
  builtinTunerName: TPE
  classArgs:
    optimize_mode: maximize
  gpuIndices: 0
trial:
  command: python3 mnist.py
  codeDir: .
  gpuNum: 0
localConfig:
  gpuIndices: 0,1
";

const V2: &str = "\
experimentName: example
searchSpaceFile: search_space.json
trial_command: python3 mnist.py
trialGpuNumber: 1
trialConcurrency: 4
maxExperimentDuration: 0.5h
MAXTRIALNUMBER: 20
tuner:
  name: TPE
  classArgs: {optimize_mode: maximize}
trainingService:
  platform: local
  useActiveGpu: yes
";

#[track_caller]
fn good(parsed: Parsed) -> ts_core::config::ExperimentConfig {
    assert!(parsed.problems.is_empty(), "{:#?}", parsed.problems.sorted());
    parsed.config.expect("no problems, so there is a model")
}

/// `line:column key: message` of each problem.
fn problems(parsed: &Parsed) -> Vec<String> {
    let sorted = parsed.problems.sorted();
    sorted
        .iter()
        .map(|p| format!("{}:{} {}: {}", p.line, p.column, p.key, p.message))
        .collect()
}

#[test]
fn an_experiment_of_nni_1() {
    let folder = Folder::new();
    let config = good(folder.parse(V1));
    assert_eq!(config.schema, Schema::V1);
    assert_eq!(config.trial_command.as_deref(), Some("python3 mnist.py"));
    assert_eq!(config.code.path, folder.path());
    assert_eq!(config.trial_gpus, GpuCount::Exactly(0));
    assert_eq!(config.trial_concurrency, 2);
    assert_eq!(config.max_trial_number, Some(10));
    assert_eq!(config.max_experiment_duration, Some(Duration::from_hours(1)));
    assert_eq!(config.tuner_gpu_indices, Some(vec![0]));
    assert_eq!(config.working_dir, Path::new("/home/u/nni-experiments"));
    assert_eq!(config.log_level, LogLevel::Info);
    let tuner = config.tuner.unwrap();
    assert_eq!(tuner.kind, AlgorithmKind::Named("TPE".into()));
    assert_eq!(tuner.class_args["optimize_mode"], "maximize");
    assert_eq!(config.search_space.unwrap()["lr"]["_value"][0], 1e-4);
}

#[test]
fn an_experiment_of_nni_2() {
    let folder = Folder::new();
    let parsed = folder.parse(V2);
    let config = good(parsed);
    assert_eq!(config.schema, Schema::V2);
    assert_eq!(config.max_trial_number, Some(20));
    assert_eq!(config.max_experiment_duration, Some(Duration::from_mins(30)));
    assert_eq!(config.code.path, folder.path());
    assert_eq!(config.platforms[0].shortcuts().trial_gpu_number, GpuCount::Exactly(1));
    assert_eq!(config.retry.platform, 1);
}

#[test]
fn an_advisor_replaces_the_tuner_and_nulls_are_absent() {
    let text = V1.replace(
        "tuner:\n  builtinTunerName: TPE\n  classArgs:\n    optimize_mode: maximize\n  gpuIndices: 0\n",
        "tuner: null\nmaxTrialDuration: ~\nadvisor: {builtinAdvisorName: Hyperband, classArgs: {R: 60}}\n",
    );
    let config = good(Folder::new().parse(&text));
    assert!(config.tuner.is_none());
    assert_eq!(config.advisor.unwrap().kind, AlgorithmKind::Named("Hyperband".into()));
}

#[test]
fn hybrid_sections_get_the_shortcuts() {
    let text = V2.replace(
        "trainingService:\n  platform: local\n  useActiveGpu: yes\n",
        "trainingService:\n- platform: local\n- platform: remote\n  trialCommand: other\n  machineList: [{host: a, user: u}]\n",
    );
    let config = good(Folder::new().parse(&text));
    let commands: Vec<_> = config
        .platforms
        .iter()
        .map(|p| p.shortcuts().trial_command.as_deref())
        .collect();
    assert_eq!(commands, [Some("python3 mnist.py"), Some("other")]);
}

#[test]
fn platforms_of_a_hybrid_experiment_have_their_shares_and_sections() {
    let folder = Folder::new();
    let v2 = V2.replacen(
        "trainingService:\n  platform: local\n  useActiveGpu: yes\n",
        "trainingService:\n- {platform: local, trialConcurrency: 2}\n- {platform: remote, weight: 3, machineList: [{host: a, user: u}]}\n",
        1,
    );
    let platforms = good(folder.parse(&v2)).platforms;
    let shares = [0, 1].map(|at| (platforms[at].share().concurrency, platforms[at].share().weight));
    assert_eq!(shares, [(Some(2), None), (None, Some(3))]);
    let alone = V2.replacen("useActiveGpu: yes", "weight: 3", 1);
    let found = problems(&folder.parse(&alone));
    assert!(found.iter().any(|p| p.contains("`weight` is unknown")), "{found:#?}");

    let v1 = V1.replacen("trainingServicePlatform: local", "trainingServicePlatform: hybrid", 1)
        + "machineList: [{ip: a, username: u}]\nhybridConfig: {trainingServicePlatforms: [remote, local]}\n";
    let platforms = good(folder.parse(&v1)).platforms;
    let sections: Vec<_> = platforms
        .iter()
        .map(|p| (p.platform(), p.node().entries().map_or(0, <[_]>::len)))
        .collect();
    assert_eq!(sections, [("remote", 1), ("local", 1)]);
    for (wrong, expected) in [
        ("[remote, remote, local]", "`remote` is listed twice"),
        ("[local, nowhere]", "the platform `nowhere` is unknown"),
        ("[]", "no platform is listed"),
    ] {
        let found = problems(&folder.parse(&v1.replacen("[remote, local]", wrong, 1)));
        assert!(found.iter().any(|p| p.contains(expected)), "{wrong}: {found:#?}");
    }
}

/// Each case replaces a part of a good file and says what must be reported.
#[test]
#[expect(clippy::too_many_lines, reason = "a table, one case per entry")]
fn faults_are_reported_with_their_place() {
    let cases = [
        (
            V2,
            "trialConcurrency: 4",
            "trialConcurrency: 0",
            "5:19 trialConcurrency: `0` is out of range: 1 to 99999",
        ),
        (
            V2,
            "trialConcurrency: 4",
            "trialConcurency: 4",
            "5:1 trialConcurency: the key `trialConcurency` is unknown",
        ),
        (
            V2,
            "trialConcurrency: 4",
            "trialConcurrency: '4'",
            "5:19 trialConcurrency: a whole number is expected, found the text `4`",
        ),
        (
            V2,
            "trialGpuNumber: 1",
            "trialGpuNumber: 1.0",
            "4:17 trialGpuNumber: a whole number is expected, found the number `1.0`",
        ),
        (
            V2,
            "0.5h",
            "soon",
            "6:24 maxExperimentDuration: a duration (a number and `s`, `m`, `h` or `d`, such as `2h`) is expected, found the text `soon`",
        ),
        (
            V2,
            "platform: local",
            "platform: locl",
            "12:3 trainingService.platform: the platform `locl` is unknown",
        ),
        (
            V2,
            "useActiveGpu: yes",
            "useActiveGpu: y",
            "13:17 trainingService.useActiveGpu: `true` or `false` is expected, found the text `y`",
        ),
        (
            V2,
            "useActiveGpu",
            "useActiveGpus",
            "13:3 trainingService.useActiveGpus: the key `useActiveGpus` is unknown",
        ),
        (
            V2,
            "trialGpuNumber: 1",
            "trialCommand: x",
            "4:1 trialCommand: `trial_command` and `trialCommand` are the same key: case and underscores do not count",
        ),
        (
            V2,
            "trialGpuNumber: 1",
            "useAnnotation: true",
            "4:1 useAnnotation: annotations in the trial code are not supported, as in NNI 3.0",
        ),
        (
            V2,
            "trialGpuNumber: 1",
            "trialCodeDirectory: nowhere",
            "4:1 trialCodeDirectory: the code directory `{dir}/nowhere` is no directory",
        ),
        (
            V2,
            "searchSpaceFile: search_space.json",
            "searchSpace: {}",
            "2:14 searchSpace: the search space is empty",
        ),
        (
            V2,
            "searchSpaceFile: search_space.json",
            "searchSpace: {x: {_type: choice, _value: []}}",
            "2:42 searchSpace.x._value: `choice` has nothing to choose from",
        ),
        (
            V2,
            "searchSpaceFile: search_space.json",
            "searchSpace: {x: {_type: chioce, _value: [1]}}",
            "2:26 searchSpace.x._type: `chioce` is no type of a search space",
        ),
        (
            V2,
            "searchSpaceFile: search_space.json",
            "searchSpace: {x: {_type: uniform, _value: [1e-4, 1]}}",
            "2:44 searchSpace.x._value[0]: `1e-4` is a text in YAML, not a number",
        ),
        (
            V2,
            "searchSpaceFile: search_space.json",
            "debug: no",
            "1:1 searchSpace: there is no search space",
        ),
        (
            V1,
            "gpuNum: 0",
            "gpuNumber: 0",
            "17:3 trial.gpuNumber: the key `gpuNumber` is unknown",
        ),
        (
            V1,
            "maxTrialNum: 10",
            "maxTrialNumber: 10",
            "5:1 maxTrialNumber: the key `maxTrialNumber` is unknown",
        ),
        (
            V1,
            "maxTrialNum: 10",
            "maxTrialNum: 100000",
            "5:14 maxTrialNum: `100000` is out of range: 1 to 99999",
        ),
        (
            V1,
            "maxTrialNum: 10",
            "advisor: {builtinAdvisorName: BOHB}",
            "5:1 advisor: `advisor` excludes `tuner` and `assessor`",
        ),
        (
            V1,
            "maxTrialNum: 10",
            "trainingService: {platform: local}",
            "6:1 trainingServicePlatform: `trainingServicePlatform` and `trainingService` (line 5) are keys of two different schemas",
        ),
        (
            V1,
            "maxTrialNum: 10",
            "useAnnotation: false",
            "8:1 useAnnotation: the key `useAnnotation` is given twice",
        ),
        (
            V1,
            "search_space.json",
            "nope.json",
            "0:0 searchSpacePath: the file `{dir}/nope.json` does not exist",
        ),
        (V1, "maxTrialNum: 10", "maxTrialNum: [1", "6:24 : not valid YAML"),
    ];
    let folder = Folder::new();
    let mut failures = String::new();
    for (base, from, to, expected) in cases {
        assert!(base.contains(from));
        let parsed = folder.parse(&base.replacen(from, to, 1));
        let expected = expected.replace("{dir}", &folder.path().display().to_string());
        let found = problems(&parsed);
        if parsed.config.is_some() || !found.iter().any(|p| p.starts_with(&expected)) {
            writeln!(failures, "{to}\n  expected {expected}\n  found    {found:#?}").unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn a_command_may_be_in_a_file_that_the_platform_reads() {
    let folder = Folder::new();
    let v1 = V1.replacen("  command: python3 mnist.py\n", "", 1);
    let v2 = V2.replacen("trial_command: python3 mnist.py\n", "", 1);
    let lacks = |text: &str| {
        let found = problems(&folder.parse(text));
        found.iter().any(|p| p.contains("there is no command for trials"))
    };
    assert!(lacks(&v1) && lacks(&v2));
    assert!(!lacks(&v1.replacen("gpuIndices: 0,1", "configPath: job.yml", 1)));
    for giver in ["openpaiConfigFile: job.yml", "openpaiConfig: {taskRoles: {}}"] {
        assert!(!lacks(&v2.replacen("useActiveGpu: yes", giver, 1)), "{giver}");
    }
}

#[test]
fn all_problems_come_in_one_error() {
    let text = V2
        .replace("trialConcurrency: 4", "trialConcurency: 4")
        .replace("yes", "maybe");
    let parsed = Folder::new().parse(&text);
    let error = parsed.problems.into_result().unwrap_err();
    assert!(error.message().starts_with("3 problems"), "{}", error.message());
    assert!(
        error.message().contains("did you mean `trialConcurrency`?"),
        "{}",
        error.message()
    );
}

#[test]
fn keys_of_the_other_schema_are_explained() {
    let parsed = Folder::new().parse(&V1.replace("maxTrialNum:", "maxTrialNumber:"));
    assert_eq!(
        parsed.problems.sorted()[0].help.as_deref(),
        Some("in a file with `trainingServicePlatform` it is called `maxTrialNum`")
    );
}

#[test]
fn sections_of_other_platforms_and_lost_search_spaces_are_warnings() {
    let parsed = Folder::new().parse(&format!("{V1}machineList: []\n"));
    assert_eq!(parsed.warnings[0].key, "machineList");
    good(parsed);
    let parsed = Folder::new().parse(&format!("searchSpace: {{}}\n{V2}"));
    assert_eq!(parsed.warnings[0].key, "searchSpace");
    good(parsed);
}

#[test]
fn remote_machines_are_handed_over_with_secrets_masked() {
    let machines =
        "machineList:\n- {ip: a, username: u, passwd: hunter2}\n- {ip: b, username: u, passwd: '${env:PW}'}\n";
    let text = V1
        .replace("Platform: local", "Platform: remote")
        .replace("localConfig:\n  gpuIndices: 0,1\n", machines);
    let parsed = Folder::new().parse(&text);
    let yaml = parsed.resolved.to_yaml().unwrap();
    assert!(
        !yaml.contains("hunter2") && yaml.contains("***") && yaml.contains("${env:PW}"),
        "{yaml}"
    );
    assert!(!format!("{:?}", parsed.resolved).contains("hunter2"));
    good(parsed);
}

#[test]
fn the_resolved_view_reads_back_as_the_same_model() {
    let folder = Folder::new();
    for text in [V1, V2] {
        let first = folder.parse(text);
        let yaml = first.resolved.to_yaml().unwrap();
        let second = folder.parse(&yaml);
        let tree = (first.resolved.to_json(), second.resolved.to_json());
        let model = |parsed: Parsed| {
            let mut config = good(parsed);
            config.platforms.clear();
            format!("{config:?}")
        };
        assert_eq!(tree.0, tree.1);
        assert_eq!(model(first), model(second), "{yaml}");
    }
}

#[test]
fn every_key_that_is_read_is_in_the_reference() {
    let folder = Folder::new();
    let sections = [
        "",
        "tuner",
        "assessor",
        "advisor",
        "trial",
        "sharedStorage",
        "tsctl",
        "tsctl.codeLimits",
        "tsctl.retry",
    ];
    for (schema, discriminator) in [
        (Schema::V1, "trainingServicePlatform: local"),
        (Schema::V2, "trainingService: {platform: local}"),
    ] {
        for section in sections.into_iter().filter(|s| *s != "trial" || schema == Schema::V1) {
            let mut text = format!("{discriminator}\n");
            let mut depth = 0;
            for step in section.split('.').filter(|s| !s.is_empty()) {
                writeln!(text, "{}{step}:", "  ".repeat(depth)).unwrap();
                depth += 1;
            }
            let storage = if section == "sharedStorage" {
                "  storageType: AzureBlob\n"
            } else {
                ""
            };
            writeln!(text, "{storage}{}qqqqqqqq: 1", "  ".repeat(depth)).unwrap();
            let parsed = folder.parse(&text);
            let sorted = parsed.problems.sorted();
            let unknown = sorted.iter().find(|p| p.key.ends_with("qqqqqqqq")).expect(&text);
            let known = unknown
                .help
                .as_deref()
                .unwrap()
                .strip_prefix("known keys here: ")
                .unwrap();
            for key in known.split(", ") {
                let full = if section.is_empty() {
                    key.to_owned()
                } else {
                    format!("{section}.{key}")
                };
                let is_there = reference::KEYS.iter().any(|row| row.key(schema) == full);
                let is_platforms = ["localConfig", "machineList"].contains(&key);
                assert!(
                    is_there || is_platforms,
                    "{schema:?} {full} is missing in the reference"
                );
            }
        }
    }
    assert!(reference::markdown().contains("| `trialCommand` | `trial.command` |"));
    let schema = reference::json_schema();
    assert_eq!(
        schema["anyOf"][1]["properties"]["trial"]["properties"]["gpuNum"]["minimum"],
        0
    );
}
