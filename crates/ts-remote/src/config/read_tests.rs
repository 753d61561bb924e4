//! Machines of both schemas, and what is said about mistakes in them.

use super::*;
use ts_core::config::{ConfigSource, Shortcuts};

fn read_text(schema: Schema, text: &str) -> (RemoteConfig, Problems) {
    let mut problems = Problems::new();
    let source = ConfigSource {
        file: "exp.yml".into(),
        base_dir: "/base".into(),
        home: None,
    };
    let section = PlatformSection::from_text("remote", schema, text, &source, Shortcuts::default(), &mut problems);
    let config = RemoteConfig::read(&section.expect("YAML"), &mut problems);
    (config, problems)
}

#[test]
fn every_key_is_read_in_both_schemas() {
    let ours = "hostKeyPolicy: acceptNew, connectTimeout: 3s, keepalive: 2s, directory: /data/x, nvidiaSmi: /opt/smi, \
                gpuIndices: '0,2', useActiveGpu: true, pythonPath: /opt/py/bin, port: 2222";
    let v1 = format!(
        "{{remoteConfig: {{reuse: true, gracePeriod: 2s, cancelSignal: SIGINT, sshConfig: c}}, machineList: [{{ip: gpu1, \
         username: me, sshKeyPath: /bin/sh, passphrase: secret, maxTrialNumPerGpu: 1, preCommand: source activate x, {ours}}}]}}"
    );
    let v2 = format!(
        "{{reuseMode: true, gracePeriod: 2s, cancelSignal: SIGINT, sshConfig: c, machineList: [{{host: gpu1, user: me, \
         sshKeyFile: /bin/sh, sshPassphrase: secret, maxTrialNumberPerGpu: 1, trialPrepareCommand: source activate x, {ours}}}]}}"
    );
    for (schema, text) in [(Schema::V1, v1), (Schema::V2, v2)] {
        let (config, problems) = read_text(schema, &text);
        let faults = problems.sorted();
        assert!(faults.is_empty(), "{schema:?}: {faults:#?}");
        assert_eq!(config.grace_period, Duration::from_secs(2));
        assert_eq!(config.cancel_signal, CancelSignal::Interrupt);
        assert_eq!(config.ssh_config.as_deref(), Some("/base/c".as_ref()));
        let [machine] = config.machines.as_slice() else {
            panic!("{config:?}")
        };
        assert_eq!((machine.host.as_str(), machine.port), ("gpu1", Some(2222)));
        assert_eq!(machine.user.as_deref(), Some("me"));
        assert_eq!(machine.ssh_key_file.as_deref(), Some("/bin/sh".as_ref()));
        assert!(machine.ssh_passphrase.is_some() && machine.password.is_none());
        assert_eq!(machine.host_key_policy, Some(HostKeyPolicy::AcceptNew));
        assert_eq!((machine.connect_timeout.as_secs(), machine.keepalive.as_secs()), (3, 2));
        assert_eq!(machine.gpu_indices, Some(vec![0, 2]));
        assert!(machine.use_active_gpu);
        assert_eq!(machine.pre_command.as_deref(), Some("source activate x"));
        assert_eq!(machine.python_path.as_deref(), Some("/opt/py/bin"));
        assert_eq!(machine.directory.as_deref(), Some("/data/x"));
        assert_eq!(machine.nvidia_smi, "/opt/smi");
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
    }
}

#[test]
fn each_wrong_entry_is_told_and_all_at_once() {
    for (text, n) in [
        ("{}", 1),
        ("{machineList: []}", 1),
        ("{machineList: [{user: me}]}", 1),
        (
            "{machineList: [{host: a, port: 0}, {host: '-oProxyCommand=x'}, {host: 'b c'}]}",
            3,
        ),
        ("{machineList: [{host: a, sshKeyFile: /no/such/key}]}", 1),
        (
            "{machineList: [{host: a, user: x}, {host: A, user: x}, {host: a, user: y}]}",
            1,
        ),
        (
            "{machineList: [{host: a, directory: rel, pythonPath: bin, maxTrialNumberPerGpu: 0}]}",
            3,
        ),
        (
            "{machineList: [{host: a, hostKeyPolicy: maybe, connectTimeout: 0s, keepalive: 2h}]}",
            3,
        ),
        ("{machineList: [{host: a, passwd: x}]}", 1),
        ("{machineList: [10.1.1.4]}", 1),
        ("{machineList: [{host: 'a;reboot'}, {host: b, user: '$(reboot)'}]}", 2),
        ("{machineList: [{host: a, user: '', password: ''}]}", 2),
        ("{reuseMode: maybe, machineList: [{host: a}]}", 1),
    ] {
        let (_, problems) = read_text(Schema::V2, text);
        let faults = problems.sorted();
        assert_eq!(faults.len(), n, "{text}: {faults:#?}");
    }
    let (_, problems) = read_text(
        Schema::V1,
        "machineList: [{ip: a, username: u, passwd: p, sshKeyPath: /bin/sh}]",
    );
    assert_eq!(problems.len(), 1, "{:#?}", problems.sorted());
    let twice = "machineList: [{ip: a, username: u, passwd: p}, {ip: a, port: 22, username: u, passwd: p}]";
    assert_eq!(
        read_text(Schema::V1, twice).1.len(),
        1,
        "22 is the port that schema 1 has in mind"
    );
}

#[test]
fn the_other_schemas_name_of_a_key_is_translated() {
    for (schema, text, meant) in [
        (
            Schema::V2,
            "{machineList: [{ip: a, host: b}]}",
            "schema 2 calls it `host`",
        ),
        (
            Schema::V1,
            "machineList: [{host: a, ip: b, username: u, passwd: p}]",
            "schema 1 calls it `ip`",
        ),
    ] {
        let (_, problems) = read_text(schema, text);
        let faults = problems.sorted();
        let help = faults.iter().filter_map(|fault| fault.help.as_deref());
        assert_eq!(help.collect::<Vec<_>>(), [meant], "{faults:#?}");
    }
}

#[test]
fn a_word_that_yaml_reads_as_a_truth_value_is_the_policy() {
    let (config, problems) = read_text(Schema::V2, "{machineList: [{host: a, hostKeyPolicy: off}]}");
    assert!(problems.is_empty(), "{:#?}", problems.sorted());
    assert_eq!(config.machines[0].host_key_policy, Some(HostKeyPolicy::Off));
}
