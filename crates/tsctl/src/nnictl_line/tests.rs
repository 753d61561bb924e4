//! Every command line of the documentation of `nnictl`, and what it is here.

use super::*;
use clap::CommandFactory as _;

fn meaning(line: &str) -> Meaning {
    Nnictl::try_parse_from(line.split(' '))
        .unwrap_or_else(|e| panic!("{line}: {e}"))
        .meaning()
}

#[test]
fn the_definitions_agree_with_themselves() {
    Nnictl::command().debug_assert();
}

/// Each line as the documentation of nni v2.10 has it, `docs/source/reference/nnictl.rst`, and what it is here.
#[test]
fn every_command_of_nnictl_is_known() {
    for (nnictl, tsctl) in [
        ("nnictl create --config f.yml --foreground", "run f.yml"),
        (
            "nnictl create -c f.yml -p 8088 -u p -d",
            "run f.yml --detach --port 8088 --url-prefix p",
        ),
        ("nnictl resume ID --port 8088", "resume ID --detach --port 8088"),
        ("nnictl resume ID --experiment_dir d", "resume ./d/ID --detach"),
        ("nnictl view ID", "view ID"),
        ("nnictl stop", "stop"),
        ("nnictl stop ID", "stop ID"),
        ("nnictl stop all", "stop --all"),
        ("nnictl stop --all", "stop --all"),
        (
            "nnictl update searchspace ID --filename s.json",
            "update searchspace ID s.json",
        ),
        ("nnictl update concurrency ID --value 3", "update concurrency ID 3"),
        ("nnictl update duration ID -v 1h", "update duration ID 1h"),
        ("nnictl update trialnum ID -v 9", "update trialnum ID 9"),
        ("nnictl trial ls ID --head 3", "trials ID --head 3"),
        ("nnictl trial ls --tail 3", "trials --limit 3"),
        ("nnictl trial kill ID --trial_id T", "cancel T --experiment ID"),
        ("nnictl trial kill -T T", "cancel T"),
        ("nnictl top", "status --follow"),
        ("nnictl top -t 3", "status --follow"),
        ("nnictl experiment show", "status"),
        ("nnictl experiment status ID", "status ID"),
        ("nnictl experiment list", "ls --running"),
        ("nnictl experiment list --all", "ls"),
        ("nnictl experiment delete ID", "gc --yes ID"),
        (
            "nnictl experiment export ID --filename f --type csv --intermediate",
            "export ID --format csv --output f --intermediate",
        ),
        (
            "nnictl experiment import ID -f d.json",
            "experiment import ID --filename d.json",
        ),
        (
            "nnictl experiment save ID --path p.tgz --saveCodeDir",
            "save ID --output p.tgz --code",
        ),
        (
            "nnictl experiment load --path p.tgz --codeDir c --logDir l",
            "load p.tgz --code c --to l",
        ),
        (
            "nnictl experiment load -p p.zip -c c -l l -s s.json",
            "load p.zip --code c --to l --search-space s.json",
        ),
        ("nnictl log trial ID --trial_id T", "logs T --experiment ID"),
        ("nnictl log trial", "trials"),
    ] {
        let expected: Vec<OsString> = tsctl.split(' ').map(Into::into).collect();
        assert_eq!(meaning(nnictl), Meaning::Tsctl(expected), "{nnictl}");
    }
    let default = meaning("nnictl update concurrency -v 2");
    assert_eq!(
        default,
        Meaning::OfDefault(vec!["update".into(), "concurrency".into(), "2".into()], 2)
    );
    assert!(matches!(
        meaning("nnictl log stdout ID --tail 2"),
        Meaning::ManagerLog { tail: Some(2), .. }
    ));
    assert_eq!(meaning("nnictl webui url"), Meaning::WebUrl(None));
    assert_eq!(meaning("nnictl config show ID"), Meaning::ShowConfig(Some("ID".into())));
    assert_eq!(meaning("nnictl experiment delete --all"), Meaning::DeleteAll);
    assert_eq!(meaning("nnictl stop --port 8080"), Meaning::StopPort(8080));
    assert_eq!(meaning("nnictl --version"), Meaning::Version);
    for other in [
        "nnictl algo register --meta_path m.yml",
        "nnictl trainingservice list",
        "nnictl platform clean --config f.yml",
        "nnictl package install SMAC",
        "nnictl tensorboard start ID --trial_id T --port 6006",
        "nnictl ss_gen --trial_command c -d . -f f",
    ] {
        assert!(matches!(meaning(other), Meaning::Instead(..)), "{other}");
    }
}

#[test]
fn a_link_named_nnictl_is_noticed() {
    let of = |program: &str| arguments([program, "create"].map(OsString::from).into_iter());
    assert_eq!(of("/usr/bin/nnictl"), ["/usr/bin/nnictl", "nnictl", "create"]);
    assert_eq!(of("./tsctl"), ["./tsctl", "create"]);
    let json = arguments(["nnictl", "trial", "ls", "--json"].map(OsString::from).into_iter());
    assert_eq!(json, ["nnictl", "--json", "nnictl", "trial", "ls"]);
}
