//! The HTTP API as the command line serves it.

use crate::lab::{Lab, in_status, wait};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// What a path of an address says, as JSON.
fn get(url: &str, path: &str) -> Option<Value> {
    let at = url.strip_prefix("http://").expect("an address");
    let mut socket = TcpStream::connect(at).ok()?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").expect("a listener");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("a reply");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.0 200"), "{text}");
    Some(serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {text}")))
}

fn url(lab: &Lab) -> String {
    wait("the address", || Some(lab.experiment()?["url"].as_str()?.to_owned()))
}

#[test]
fn nothing_listens_unless_asked_and_then_the_status_says_where() {
    let lab = Lab::new();
    lab.config(2, "wait_for gate\nreport FINAL 0 1", "");
    let run = lab.start(&["run", "config.yml"]);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    assert_eq!(lab.experiment().expect("it runs")["url"], Value::Null);
    lab.open("gate");
    run.end().exits(0);

    let lab = Lab::new();
    lab.config(2, "wait_for gate\nreport FINAL 0 1", "");
    let run = lab.start(&["run", "config.yml", "--port", "0"]);
    let url = url(&lab);
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    let experiment = get(&url, "/api/v2/experiment").expect("it is served");
    assert_eq!(experiment["trials"]["byStatus"]["RUNNING"], 2);
    assert_eq!(
        get(&url, "/api/v1/nni/check-status").expect("it is served")["status"],
        "NO_MORE_TRIAL"
    );

    let port = url.rsplit(':').next().expect("a port");
    let busy = lab.run(&["run", "config.yml", "--port", port]).exits(5);
    assert!(busy.stderr.contains("name another port"), "{busy:?}");
    lab.run(&["run", "config.yml", "--port", port, "--detach"]).exits(5);
    assert_eq!(
        lab.json(&["ls"])["experiments"].as_array().expect("a list").len(),
        1,
        "nothing was made"
    );

    lab.open("gate");
    let ran = run.end().exits(0);
    assert!(ran.stderr.contains(&format!("served at {url}")), "{ran:?}");
    assert_eq!(lab.experiment().expect("stored")["url"], Value::Null);
}

#[test]
fn an_experiment_apart_is_served_and_one_that_has_ended_can_be_looked_at() {
    let lab = Lab::new();
    lab.config(2, "wait_for gate\nreport FINAL 0 1", "");
    let ran = lab.json(&["create", "--config", "config.yml", "--port", "0", "--url_prefix", "p"]);
    let served = ran["experiment"]["url"].as_str().expect("an address").to_owned();
    assert_eq!(url(&lab), served);
    let at = served.strip_suffix("/p").expect("the prefix");
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    assert_eq!(
        get(at, "/p/api/v2/experiment").expect("it is served")["managerRunning"],
        true
    );
    lab.open("gate");
    lab.run(&["status", "--follow"]).exits(0);

    let mut command = lab.command(&["web"]);
    let mut web = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("tsctl starts");
    let mut line = String::new();
    BufReader::new(web.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("an address");
    let experiment = get(line.trim(), "/api/v2/experiment").expect("it is served");
    assert_eq!(
        (&experiment["status"], &experiment["managerRunning"]),
        (&"DONE".into(), &false.into())
    );
    let pid = rustix::process::Pid::from_raw(i32::try_from(web.id()).expect("a process id")).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let status = wait("the end of tsctl", || web.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    assert!(get(line.trim(), "/").is_none(), "nobody listens any more");
}

#[test]
fn a_search_space_and_results_are_told_to_a_manager_or_kept_for_the_next() {
    let lab = Lab::new();
    lab.config(3, "wait_for gate\nreport FINAL 0 1", "");
    lab.write("space.json", r#"{"y": {"_type": "choice", "_value": [7]}}"#);
    lab.write("bad.json", r#"{"y": {"_type": "none", "_value": []}}"#);
    lab.write("results.json", r#"[{"parameter": {"y": 7}, "value": 0.5}]"#);
    let id = lab
        .run(&["run", "config.yml", "--detach"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    lab.wait_for_trials("two running trials", |trials| in_status(trials, "RUNNING") == 2);
    let bad = lab.run(&["update", "searchspace", &id, "--filename", "bad.json"]);
    assert_ne!(bad.code, Some(0), "{bad:?}");
    let changed = lab.json(&["update", "searchspace", &id, "--filename", "space.json"]);
    assert_eq!(changed["searchSpace"]["y"]["_value"][0], 7);
    assert_eq!(
        lab.json(&["experiment", "import", &id, "--filename", "results.json"])["imported"],
        1
    );
    lab.open("gate");
    let trials = lab.wait_for_trials("all trials", |trials| in_status(trials, "SUCCEEDED") == 3);
    assert_eq!(trials[2]["parameters"]["parameters"]["y"], 7, "{}", trials[2]);
    lab.run(&["status", &id, "--follow"]).exits(0);

    // None runs: the next one goes by it.
    lab.write("space.json", r#"{"z": {"_type": "choice", "_value": [8]}}"#);
    lab.run(&["update", "searchspace", &id, "--filename", "bad.json"])
        .exits(2);
    lab.run(&["update", "searchspace", &id, "--filename", "space.json"])
        .exits(0);
    lab.run(&["learn", &id, "--filename", "results.json"]).exits(0);
    lab.run(&["learn", &id, "--filename", "space.json"]).exits(2);
    lab.run(&["resume", &id, "--max-trials", "4"]).exits(0);
    assert_eq!(lab.trials()[3]["parameters"]["parameters"]["z"], 8);
}

#[test]
fn trials_that_report_by_http_have_an_address_of_their_own_and_need_a_port() {
    let lab = Lab::new();
    let script = "printenv NNI_TRIAL_COMMAND_CHANNEL >\"$NNI_SYS_DIR/channel\"\nreport FINAL 0 1";
    lab.config(2, script, "tsctl: {trialChannel: true}\n");
    let refused = lab.run(&["run", "config.yml"]).exits(2);
    assert!(
        refused.stderr.contains("tsctl.trialChannel") && refused.stderr.contains("--port"),
        "{refused:?}"
    );
    lab.run(&["run", "config.yml", "--detach"]).exits(2);
    assert!(lab.experiment().is_none(), "nothing was made");

    let ran = lab.run(&["run", "config.yml", "--port", "0"]).exits(0);
    let (_, url) = ran.stderr.split_once("served at ").expect("an address");
    let url = url.lines().next().expect("an address");
    let directory = std::path::PathBuf::from(lab.experiment().expect("one")["directory"].as_str().expect("a path"));
    for trial in lab.trials() {
        let id = trial["id"].as_str().expect("an id");
        let told = std::fs::read_to_string(directory.join("trials").join(id).join("channel")).expect("a variable");
        let rest = told.trim().strip_prefix(&format!("{url}/env/")).expect("our address");
        assert!(rest.len() > 64 && rest.ends_with(&format!("/{id}")), "{told}");
    }
    assert!(!directory.join("channel.url").exists(), "nobody serves any more");
    let refused = lab.run(&["resume", "--max-trials", "3"]).exits(2);
    assert!(refused.stderr.contains("the same one whenever"), "{refused:?}");

    let text = std::fs::read_to_string(lab.path("config.yml")).expect("a file");
    let text = text.replace("{platform: local}", "[{platform: local}, {platform: local}]");
    lab.write("config.yml", &text);
    let refused = lab.run(&["run", "config.yml", "--port", "0"]).exits(2);
    assert!(refused.stderr.contains("tsctl.trialChannel"), "{refused:?}");
}
