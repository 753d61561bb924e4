//! The client's configuration file, compared with what `ssh -G` makes of it.

use super::*;
use std::process::Command;

const FILE: &str = "\
Host bastion
  HostName 10.0.0.1
  User jump
  Port 2222

# the workers
Host gpu? !gpu9
  ProxyJump bastion
  IdentityFile ~/.ssh/first
  IdentityFile=\"/keys/se cond\"
  StrictHostKeyChecking accept-new
Host *.lab
  HostName %h.example.org
Match originalhost gpu2
  User special
Match exec \"true\"
  User never
Match all
  User common
  ServerAliveInterval 7
  ProxyCommand none
Host *
  Port 2200
";

/// What files in a home of their own say; the first is read, the others may be included.
fn asked(files: &[(&str, &[u8])], host: &str, user: Option<&str>) -> HostSettings {
    let home = tempfile::tempdir().expect("a folder");
    read_in(home.path(), files, host, user)
}

fn read_in(home: &Path, files: &[(&str, &[u8])], host: &str, user: Option<&str>) -> HostSettings {
    for (name, text) in files {
        let path = home.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("room");
        fs::write(path, text).expect("room");
    }
    let file = |name: &str| ConfigFile {
        path: home.join(name),
        include_base: home.join(".ssh"),
    };
    let query = Query {
        host,
        user,
        local_user: Some("me"),
        home: Some(home),
    };
    read(&[file(files[0].0), file("absent")], query).expect("readable")
}

fn settings(host: &str) -> HostSettings {
    asked(&[("config", FILE.as_bytes())], host, None)
}

#[test]
fn the_first_value_wins_and_identity_files_add_up() {
    let gpu = settings("gpu1");
    assert_eq!(gpu.get("proxyjump"), Some("bastion"));
    assert_eq!(gpu.all("identityfile"), ["~/.ssh/first", "/keys/se cond"]);
    assert_eq!((gpu.get("user"), gpu.get("port")), (Some("common"), Some("2200")));
    assert_eq!(settings("gpu2").get("user"), Some("special"));
    assert_eq!(settings("gpu9").get("proxyjump"), None, "forbidden by its pattern");
    assert_eq!(settings("GPU1").get("proxyjump"), None, "case counts");
    assert_eq!(settings("a.lab").host_name("a.lab"), "a.lab.example.org");
    let bastion = settings("bastion");
    assert_eq!((bastion.get("user"), bastion.get("port")), (Some("jump"), Some("2222")));
}

#[test]
fn included_files_count_where_they_are_included() {
    let files: [(&str, &[u8]); 2] = [
        (
            ".ssh/config",
            b"Host a\n Include d/*.conf\n User late\nHost *\n Include config\n",
        ),
        (".ssh/d/1.conf", b"User early\n"),
    ];
    assert_eq!(asked(&files, "a", None).get("user"), Some("early"));
    assert_eq!(
        asked(&files, "b", None).get("user"),
        None,
        "ends, although it includes itself"
    );
}

#[test]
fn relative_names_of_include_count_from_the_users_folder_wherever_the_file_is() {
    let files: [(&str, &[u8]); 3] = [
        ("elsewhere/config", b"Include d[0-9]/outer\n"),
        (".ssh/d1/outer", b"Include d2/in?er\n"),
        (".ssh/d2/inner", b"User nested\n"),
    ];
    assert_eq!(asked(&files, "a", None).get("user"), Some("nested"));
}

#[test]
fn other_encodings_and_folders_among_included_files_do_no_harm() {
    let files: [(&str, &[u8]); 3] = [
        (".ssh/config", b"# caf\xe9\nInclude d/*\nPort 7\n"),
        (".ssh/d/a-folder/x", b"Port 8\n"),
        (".ssh/d/file", b"User found # \xff\n"),
    ];
    let settings = asked(&files, "a", None);
    assert_eq!((settings.get("user"), settings.get("port")), (Some("found"), Some("7")));
}

/// A file, a host, a login name, and what counts then: each as OpenSSH has it.
const CASES: [(&str, &str, Option<&str>, &str, &str); 19] = [
    ("Match user me\n Port 33", "x", None, "port", "33"),
    ("Match user bob\n Port 33", "x", None, "port", "22"),
    ("User bob\nMatch user bob\n Port 33", "x", None, "port", "33"),
    ("Match user bob\n Port 33", "x", Some("bob"), "port", "33"),
    ("Match localuser me\n Port 33", "x", Some("bob"), "port", "33"),
    ("HostName %h.lab\nMatch host x.lab\n Port 34", "x", None, "port", "34"),
    ("HostName %h.lab\nMatch host x\n Port 34", "x", None, "port", "22"),
    ("Match host=x user=me\n Port 7", "x", None, "port", "7"),
    ("Match host \"y,x\" !user bob\n Port 7", "x", None, "port", "7"),
    ("Match host y,!x,*\n Port 7", "x", None, "port", "22"),
    ("Match host X\n Port 7", "x", None, "port", "7"),
    (
        "Host y.lab\n User no\nHost x\n HostName %h.lab\nMatch final host x.lab\n Port 36\nHost x.lab\n User yes",
        "x",
        None,
        "user",
        "yes",
    ),
    ("Host x\n Port 5 # why", "x", None, "port", "5"),
    ("Host=x\nPort = 5", "x", None, "port", "5"),
    ("IdentityFile 'a b' # c", "x", None, "identityfile", "a b"),
    ("IdentityFile a\\ c", "x", None, "identityfile", "a c"),
    (r#"IdentityFile "q\"r""#, "x", None, "identityfile", r#"q"r"#),
    ("ProxyJump a:7,b\nProxyCommand c", "x", None, "proxyjump", "a:7,b"),
    (
        "ProxyCommand \"nc -x\" %h # foo",
        "x",
        None,
        "proxycommand",
        "\"nc -x\" %h # foo",
    ),
];

#[test]
fn sections_and_words_mean_what_they_mean_to_openssh() {
    for (text, host, user, key, value) in CASES {
        let settings = asked(&[("config", text.as_bytes())], host, user);
        let default = if key == "port" { Some("22") } else { None };
        assert_eq!(settings.get(key).or(default), Some(value), "{text}");
    }
}

#[test]
fn a_way_that_is_set_is_not_replaced_by_one_of_the_other_kind() {
    let ask = |text: &[u8], key: &str| asked(&[("config", text)], "x", None).get(key).map(str::to_owned);
    assert_eq!(ask(b"ProxyCommand none\nProxyJump a", "proxyjump"), None);
    // Not asked of OpenSSH: Debian's 9.2p1 still passed the command over here, later patches of the same version take it.
    assert_eq!(
        ask(b"ProxyJump none\nProxyCommand b", "proxycommand").as_deref(),
        Some("b")
    );
}

#[test]
fn times_may_have_units() {
    for (text, time) in [
        ("90", Some(90)),
        ("1m30", Some(90)),
        ("1H2s", Some(3602)),
        ("none", None),
    ] {
        assert_eq!(seconds(text), time, "{text}");
    }
}

/// OpenSSH itself is the judge of `CASES`, where it is installed; its login name is that of the tests' user.
#[test]
fn openssh_agrees_on_sections_and_words() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config");
    let me = nix::unistd::User::from_uid(nix::unistd::Uid::current());
    let Ok(Some(me)) = me else { return };
    for (text, host, user, key, value) in CASES {
        fs::write(
            &file,
            text.replace("user me", &format!("user {}", me.name))
                .replace("user=me", &format!("user={}", me.name)),
        )
        .expect("room");
        let mut ssh = Command::new("ssh");
        ssh.args(["-G", "-F"])
            .arg(&file)
            .args(user.iter().flat_map(|user| ["-l", user]));
        let Ok(output) = ssh.arg(host).output() else {
            tracing::warn!("no `ssh` here: nothing was compared");
            return;
        };
        let theirs = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            theirs.lines().any(|line| line == format!("{key} {value}")),
            "{text}\n{theirs}"
        );
    }
}

/// OpenSSH itself is the judge, where it is installed.
#[test]
fn openssh_agrees() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config");
    // Without `Match exec`, which we pass over.
    let text: String = FILE.replace("Match exec \"true\"\n  User never\n", "");
    fs::write(&file, &text).expect("room");
    for host in ["bastion", "gpu1", "gpu2", "gpu9", "a.lab", "other"] {
        let Ok(output) = Command::new("ssh").args(["-G", "-F"]).arg(&file).arg(host).output() else {
            tracing::warn!("no `ssh` here: nothing was compared");
            return;
        };
        let theirs = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = read_in(dir.path(), &[("config", text.as_bytes())], host, None);
        for key in ["user", "port", "proxyjump", "serveraliveinterval"] {
            if let Some(value) = ours.get(key) {
                assert!(
                    theirs.lines().any(|line| line == format!("{key} {value}")),
                    "{host}: {key} {value}\n{theirs}"
                );
            } else {
                assert!(
                    key != "proxyjump" || !theirs.contains("proxyjump "),
                    "{host}: {key}\n{theirs}"
                );
            }
        }
    }
}
