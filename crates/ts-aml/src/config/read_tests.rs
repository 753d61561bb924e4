//! Every key of both schemas, and every mistake at its place with what to do.

use super::*;
use ts_core::config::{ConfigSource, Problem, Shortcuts};

struct Read {
    config: Option<AmlConfig>,
    /// `key: message`.
    faults: Vec<String>,
}

fn read(schema: Schema, text: &str) -> Read {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), "x").unwrap();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: dir.path().into(),
        home: None,
    };
    let mut problems = Problems::new();
    let section = PlatformSection::from_text("aml", schema, text, &source, Shortcuts::default(), &mut problems);
    let config = AmlConfig::read(&section.unwrap(), &mut problems);
    let told = |problem: &Problem| {
        assert!(
            problem.line > 0 && problem.help.is_some(),
            "no place or no help: {problem:?}"
        );
        format!("{}: {}", problem.key, problem.message)
    };
    Read {
        config,
        faults: problems.sorted().into_iter().map(told).collect(),
    }
}

#[track_caller]
fn good(schema: Schema, text: &str) -> AmlConfig {
    let read = read(schema, text);
    assert!(read.faults.is_empty(), "{text}: {:#?}", read.faults);
    read.config.unwrap()
}

const KEYS: &str = "subscriptionId: 1-2, resourceGroup: team, workspaceName: w, computeTarget: gpu";

#[test]
fn schema_1() {
    let text = format!("{{amlConfig: {{{KEYS}, maxTrialNumPerGpu: 3, useActiveGpu: true}}, trial: {{image: 'a:1'}}}}");
    let config = good(Schema::V1, &text);
    assert_eq!(config.subscription_id, "1-2");
    assert_eq!(config.resource_group, "team");
    assert_eq!(config.workspace_name, "w");
    assert_eq!(config.compute_target, "gpu");
    assert_eq!(config.image, "a:1");
    assert!(config.reuse && config.use_active_gpu);
    assert_eq!((config.max_trials_per_gpu, config.max_trials_per_node), (3, 1));
    assert!(matches!(config.credential, Credential::Default));
    assert_eq!(Some(config.cloud), Cloud::named("AzureCloud"));
}

#[test]
fn schema_2() {
    let config = good(Schema::V2, &format!("{{{KEYS}}}"));
    assert_eq!(config.image, "msranni/nni:latest");
    assert!(!config.reuse);
    assert_eq!((config.max_trials_per_gpu, config.use_active_gpu), (1, false));
    let typed = good(Schema::V2, &format!("{{{KEYS}, instanceType: gpu-small}}"));
    assert_eq!(typed.instance_type.as_deref(), Some("gpu-small"));
    let sharing = "maxTrialNumberPerGpu: 2, maxTrialNumberPerNode: 4";
    let config = good(Schema::V2, &format!("{{{KEYS}, {sharing}}}"));
    assert!(config.reuse);
    assert_eq!((config.max_trials_per_gpu, config.max_trials_per_node), (2, 4));
    let text = format!(
        "{{{KEYS}, docker_image: 'b:2', maxTrialNumberPerGpu: 1, cloud: AzureChinaCloud, armEndpoint: 'https://arm.example/', \
         loginEndpoint: 'https://login.example/', caFile: ca.pem, tenantId: t, clientId: c, clientSecret: '${{env:S}}'}}"
    );
    let config = good(Schema::V2, &text);
    assert_eq!(config.image, "b:2");
    assert_eq!(config.cloud.arm.as_str(), "https://arm.example/");
    assert_eq!(config.cloud.login.as_str(), "https://login.example/");
    assert_eq!(config.cloud.audience, "https://management.chinacloudapi.cn/");
    let lookup = config.lookup.unwrap();
    assert_eq!(lookup.name.as_deref(), Some("AzureChinaCloud"));
    assert_eq!(lookup.arm, Some(config.cloud.arm));
    assert_eq!(lookup.login, Some(config.cloud.login));
    let mine = good(Schema::V2, &format!("{{{KEYS}, cloud: Mine}}"));
    assert_eq!(mine.lookup.unwrap().name.as_deref(), Some("Mine"));
    assert!(config.ca_file.unwrap().ends_with("ca.pem"));
    assert!(matches!(
        config.credential,
        Credential::ClientSecret { tenant, client, secret: SecretRef::Reference(name) }
            if tenant == "t" && client == "c" && name == "${env:S}"
    ));
}

#[test]
fn every_way_to_log_in() {
    let read = |keys: &str| good(Schema::V2, &format!("{{{KEYS}, {keys}}}")).credential;
    assert!(matches!(read("credential: azureCli"), Credential::AzureCli));
    assert!(matches!(read("credential: default"), Credential::Default));
    assert!(matches!(
        read("credential: managedIdentity"),
        Credential::ManagedIdentity { client: None }
    ));
    assert!(matches!(
        read("credential: managedIdentity, clientId: c"),
        Credential::ManagedIdentity { client: Some(client) } if client == "c"
    ));
    assert!(matches!(
        read("credential: federatedToken, tenantId: t, clientId: c, federatedToken: 'file:token'"),
        Credential::Federated { .. }
    ));
    assert!(matches!(
        read("tenantId: t, clientId: c, clientCertificate: 'file:app.pem'"),
        Credential::ClientCertificate { tenant, certificate: SecretRef::Reference(file), .. }
            if tenant == "t" && file.ends_with("/app.pem")
    ));
    assert!(matches!(
        read("credential: deviceCode"),
        Credential::DeviceCode { tenant, client } if tenant == "organizations" && client.starts_with("04b07795")
    ));
    assert!(matches!(
        read("credential: deviceCode, tenantId: t, clientId: c"),
        Credential::DeviceCode { tenant, client } if tenant == "t" && client == "c"
    ));
}

#[test]
fn every_mistake_is_told() {
    let rows = [
        (
            "subscriptionId: 'a/b'",
            "subscriptionId: `a/b` cannot be a name in Azure",
        ),
        ("resourceGroup: 'a b'", "resourceGroup: `a b` cannot be a name in Azure"),
        ("workspaceName: 'a?'", "workspaceName: `a?` cannot be a name in Azure"),
        ("computeTarget: 'a/b'", "computeTarget: `a/b` cannot be a name in Azure"),
        ("dockerImage: 'a b'", "dockerImage: `a b` is no name of an image"),
        ("instanceType: 'a b'", "instanceType: `a b` cannot be an instance type"),
        (
            "reuseMode: false, maxTrialNumberPerNode: 2",
            "maxTrialNumberPerNode: without `reuseMode` each trial is a job of its own",
        ),
        (
            "reuseMode: false, maxTrialNumberPerGpu: 2",
            "maxTrialNumberPerGpu: without `reuseMode` each trial is a job of its own",
        ),
        (
            "armEndpoint: nowhere",
            "armEndpoint: `nowhere` is no address of a server",
        ),
        ("caFile: none.pem", "caFile: the file"),
        (
            "credential: clientCertificate, tenantId: t, clientId: c",
            "credential: the key `clientCertificate` is missing",
        ),
        (
            "credential: deviceCode, clientSecret: '${env:S}'",
            "credential: `clientSecret` is not used",
        ),
        (
            "clientSecret: '${env:S}', clientCertificate: 'file:a.pem'",
            "clientCertificate: `clientSecret` and `clientCertificate` exclude each other",
        ),
        ("clientSecret: '${env:S}'", "tenantId: the key `tenantId` is missing"),
        (
            "credential: clientSecret, tenantId: t, clientId: c",
            "credential: the key `clientSecret` is missing",
        ),
        (
            "credential: azureCli, clientSecret: '${env:S}'",
            "credential: `clientSecret` is not used",
        ),
        (
            "clientSecret: '${env:S}', federatedToken: 'file:t'",
            "federatedToken: `clientSecret` and `federatedToken` exclude each other",
        ),
    ];
    for (keys, expected) in rows {
        let name = keys.split(':').next().unwrap();
        let others: Vec<&str> = KEYS.split(", ").filter(|pair| !pair.starts_with(name)).collect();
        let read = read(Schema::V2, &format!("{{{}, {keys}}}", others.join(", ")));
        assert!(
            read.faults.iter().any(|fault| fault.contains(expected)),
            "{keys}: {:#?}",
            read.faults
        );
    }
    let faults = read(Schema::V1, "{trial: {}}").faults;
    assert!(faults.iter().any(|fault| fault.contains("amlConfig")), "{faults:#?}");
    let faults = read(Schema::V2, "{}").faults;
    assert_eq!(faults.len(), 4, "{faults:#?}");
}
