//! Every key of both schemas, and every mistake at its place with what to do.

use super::*;
use ts_core::config::{ConfigSource, Problem, Shortcuts};

struct Read {
    config: Option<DltsConfig>,
    /// `key: message`.
    faults: Vec<String>,
    warnings: Vec<String>,
}

const TOKEN: &str = "0123456789abcdef0123456789ABCDEF";

fn read(schema: Schema, text: &str, gpus: GpuCount) -> Read {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), "x").unwrap();
    std::fs::create_dir(dir.path().join("mount")).unwrap();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: dir.path().into(),
        home: (!text.contains("NOHOME")).then(|| "/home/alice".into()),
    };
    let mut shortcuts = Shortcuts::default();
    shortcuts.trial_gpu_number = gpus;
    let mut problems = Problems::new();
    let section = PlatformSection::from_text("dlts", schema, text, &source, shortcuts, &mut problems);
    let config = DltsConfig::read(&section.unwrap(), &mut problems);
    let told = |list: Vec<&Problem>| {
        let told = |problem: &&Problem| {
            assert!(
                problem.line > 0 && problem.help.is_some(),
                "no place or no help: {problem:?}"
            );
            format!("{}: {}", problem.key, problem.message)
        };
        list.iter().map(told).collect()
    };
    Read {
        config,
        faults: told(problems.sorted()),
        warnings: told(problems.warnings()),
    }
}

#[track_caller]
fn good(schema: Schema, text: &str) -> DltsConfig {
    let read = read(schema, text, ONE);
    assert!(
        read.faults.is_empty() && read.warnings.is_empty(),
        "{text}: {:#?} {:#?}",
        read.faults,
        read.warnings
    );
    read.config.unwrap()
}

const ONE: GpuCount = GpuCount::Exactly(1);
const V2: &str = "dashboard: dlts.example.org, cluster: c1, team: platform, email: a@example.org, password: '${env:P}', gpuType: P40, \
                  workPath: nni, localStorageMountPoint: mount, containerStorageMountPoint: /share/nni/, caFile: ca.pem, gracePeriod: 20s, \
                  dockerImage: 'a:1'";

#[test]
fn schema_1_as_nni_has_it() {
    let text = format!(
        "{{dltsConfig: {{dashboard: 'https://dlts.example.org/x/', cluster: c1, team: platform, email: a@example.org, password: {TOKEN}}}, \
         trial: {{image: 'a:1'}}}}"
    );
    let config = good(Schema::V1, &text);
    assert_eq!(config.dashboard.as_str(), "https://dlts.example.org/x/");
    assert_eq!(
        (config.cluster.as_str(), config.team.as_deref(), config.email.as_deref()),
        ("c1", Some("platform"), Some("a@example.org"))
    );
    assert!(matches!(&config.password, SecretRef::Literal(token) if token.expose() == TOKEN));
    assert_eq!((config.image.as_str(), config.gpus), ("a:1", 1));
    assert_eq!(config.local_mount, std::path::Path::new("/home/alice/nni-dlts"));
    assert_eq!(config.container_mount, "/home/alice/nni-dlts");
}

#[test]
fn within_a_job_of_dlts_the_dashboard_is_enough() {
    let text = "{dltsConfig: {dashboard: dlts.example.org}, trial: {image: 'a:1'}}";
    let config = good(Schema::V1, text);
    assert_eq!(config.dashboard.as_str(), "https://dlts.example.org/");
    assert_eq!(
        (config.cluster.as_str(), config.team, config.email),
        (".default", None, None)
    );
    assert!(matches!(&config.password, SecretRef::Reference(name) if name == "${env:DLTS_JOB_TOKEN}"));
    let config = good(Schema::V2, "{dashboard: dlts.example.org}");
    assert_eq!(config.image, "msranni/nni:latest");
}

#[test]
fn schema_2_has_every_key_and_schema_1_too() {
    let plain = V2.replace(", dockerImage: 'a:1'", "");
    let v1 = format!("{{dltsConfig: {{{plain}}}, trial: {{image: 'a:1'}}}}");
    for config in [good(Schema::V2, &format!("{{{V2}}}")), good(Schema::V1, &v1)] {
        assert_eq!(
            (
                config.gpu_type.as_deref(),
                config.work_path.as_str(),
                config.image.as_str()
            ),
            (Some("P40"), "nni", "a:1")
        );
        assert!(config.local_mount.is_absolute() && config.local_mount.ends_with("mount"));
        assert_eq!(config.container_mount, "/share/nni");
        assert_eq!(config.grace_period, Duration::from_secs(20));
        assert!(config.ca_file.unwrap().ends_with("ca.pem"));
    }
}

#[test]
fn a_token_that_travels_openly_is_told() {
    let read = read(
        Schema::V2,
        &format!(
            "{{{}}}",
            V2.replacen("dlts", "'http://dlts", 1).replacen(".org,", ".org',", 1)
        ),
        ONE,
    );
    assert!(read.faults.is_empty(), "{:?}", read.faults);
    assert!(read.warnings[0].starts_with("dashboard: the token travels unencrypted"));
}

/// `(key with a fault, what is written instead of what)`.
#[test]
fn every_mistake_is_told_at_its_key() {
    let rows = [
        ("dashboard", "dashboard: dlts.example.org, ", ""),
        ("dashboard", "dashboard: dlts.example.org", "dashboard: ''"),
        ("dashboard", "dashboard: dlts.example.org", "dashboard: 'ftp://a'"),
        ("dashboard", "dashboard: dlts.example.org", "dashboard: 'https://a?b=c'"),
        (
            "dashboard",
            "dashboard: dlts.example.org",
            "dashboard: 'https://u:hunter2@a'",
        ),
        ("cluster", "cluster: c1", "cluster: ''"),
        ("team", "team: platform", "team: ''"),
        ("email", "email: a@example.org", "email: ''"),
        ("password", "'${env:P}'", "hunter2"),
        ("password", "'${env:P}'", "12"),
        ("gpuType", "gpuType: P40", "gpuType: ''"),
        ("workPath", "workPath: nni", "workPath: /nni"),
        ("workPath", "workPath: nni", "workPath: a/../../b"),
        (
            "localStorageMountPoint",
            "StorageMountPoint: mount",
            "StorageMountPoint: /no/such",
        ),
        (
            "localStorageMountPoint",
            "localStorageMountPoint: mount, ",
            "# NOHOME\n",
        ),
        ("containerStorageMountPoint", "/share/nni/", "work"),
        ("containerStorageMountPoint", "/share/nni/", "/"),
        ("caFile", "ca.pem", "no.pem"),
        ("gracePeriod", "20s", "31s"),
        ("gracePeriod", "20s", "soon"),
        ("dockerImage", "'a:1'", "'a b'"),
        ("dockerImage", "'a:1'", "''"),
    ];
    for (key, old, new) in rows {
        let text = format!("{{{}}}", V2.replacen(old, new, 1));
        let read = read(Schema::V2, &text, ONE);
        let found: Vec<&str> = read
            .faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap())
            .collect();
        assert_eq!(found, [key], "{text}: {:#?}", read.faults);
        assert!(!format!("{:?}", read.faults).contains("hunter2"));
    }
    let unset = read(Schema::V2, &format!("{{{V2}}}"), GpuCount::Unset);
    assert_eq!(unset.faults, ["trialGpuNumber: the key `trialGpuNumber` is missing"]);
    let v1 = "{dltsConfig: {dashboard: a}, trial: {}}";
    let faults = read(Schema::V1, v1, GpuCount::Unset).faults;
    assert_eq!(faults.len(), 2, "gpuNum and image: {faults:?}");
}
