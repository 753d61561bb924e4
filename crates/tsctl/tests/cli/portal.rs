//! The page as the command line serves and opens it.

use crate::lab::{Lab, wait};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};
use ts_testkit::write_program;

/// `tsctl` with the programs of the lab before those of the machine.
fn command(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = lab.command(arguments);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(lab.path("bin")).chain(std::env::split_paths(&inherited));
    command.env("PATH", std::env::join_paths(folders).expect("plain folders"));
    command
}

/// Puts a program into the lab.
fn program(lab: &Lab, name: &str, script: &str) {
    fs::create_dir_all(lab.path("bin")).expect("made");
    write_program(&lab.path("bin").join(name), &format!("#!/bin/sh\n{script}\n"));
}

/// A browser that keeps the address that it is to open.
fn browser(lab: &Lab) {
    program(
        lab,
        "xdg-open",
        "printf '%s\\n' \"$@\" > \"$HOME/new\"; mv \"$HOME/new\" \"$HOME/opened\"",
    );
}

/// The address that the browser was to open.
fn opened(lab: &Lab) -> String {
    let page = wait("the browser", || fs::read_to_string(lab.path("opened")).ok());
    fs::remove_file(lab.path("opened")).expect("it was opened");
    page.trim().to_owned()
}

/// Head and body of what is at a path of a host.
fn get(host: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(host).expect("it listens");
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("a listener");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("a reply");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.to_lowercase(), body.to_owned())
}

/// A `tsctl web` that is killed with the test.
struct Web {
    child: Child,
    /// `127.0.0.1:PORT`.
    host: String,
    url: String,
}

impl Web {
    fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = command(lab, &[&["web"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("tsctl starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("an address");
        let url = line.trim().to_owned();
        let rest = url.strip_prefix("http://").expect("an address");
        let host = rest.split('/').next().expect("a host").to_owned();
        Self { child, host, url }
    }

    /// Head and body of an answer.
    fn get(&self, path: &str) -> (String, String) {
        get(&self.host, path)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended_experiment() -> Lab {
    let lab = Lab::new();
    lab.config(1, "report FINAL 0 1", "");
    lab.run(&["run", "config.yml"]).exits(0);
    lab
}

#[test]
fn the_page_is_served_with_its_policy_and_at_the_prefix() {
    let lab = ended_experiment();
    let web = Web::start(&lab, &["--url-prefix", "team/a"]);
    for path in ["/", "/team/a/", "/index.html"] {
        let (head, body) = web.get(path);
        assert!(head.starts_with("http/1.0 200"), "{path}: {head}");
        assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'self';"), "{head}");
        assert!(body.contains("js/app.js"), "{body}");
    }
    let (head, _) = web.get("/team/a/js/app.js");
    assert!(head.contains("content-type: text/javascript"), "{head}");
    let (head, _) = web.get("/team/a");
    assert!(
        head.starts_with("http/1.0 308") && head.contains("location: a/"),
        "{head}"
    );
    for path in ["/nothing", "/js/", "/../Cargo.toml", "/js/%2e%2e/index.html"] {
        let (head, _) = web.get(path);
        assert!(head.starts_with("http/1.0 404"), "{path}: {head}");
    }
}

#[test]
fn the_browser_gets_the_token_by_a_file_that_only_its_user_reads() {
    let lab = ended_experiment();
    browser(&lab);

    let web = Web::start(&lab, &["--open"]);
    assert_eq!(opened(&lab), format!("{}/", web.url));
    drop(web);

    let token = lab.write("token", "0123456789abcdef&<\"\n");
    let web = Web::start(&lab, &["--open", "--token-file", &token.to_string_lossy()]);
    let page = opened(&lab);
    assert!(!page.contains("0123456789"), "{page}");
    let mode = fs::metadata(&page).expect("a page").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&page).expect("a page");
    let target = format!("url={}/#token=0123456789abcdef%26%3C%22\"", web.url);
    assert!(text.contains(&target), "{text}");
    assert!(web.get("/js/app.js").0.starts_with("http/1.0 200"));
    assert!(web.get("/api/v2/experiment").0.starts_with("http/1.0 401"));
}

#[test]
fn whoever_starts_an_experiment_sees_its_page_by_the_same_options() {
    let lab = Lab::new();
    lab.config(1, "wait_for gate\nreport FINAL 0 1", "");
    lab.write("page/index.html", "the page of NNI");
    browser(&lab);
    let folder = lab.path("page");
    program(&lab, "python3", &format!("echo '--page--{}'", folder.display()));
    let page = || {
        let page = opened(&lab);
        let host = page.strip_prefix("http://").expect("an address").trim_end_matches('/');
        get(host, "/").1
    };
    let shut = || {
        lab.open("gate");
        lab.run(&["status", "--follow"]).exits(0);
        fs::remove_file(lab.path("gate")).expect("it was open");
    };

    let mut run = command(&lab, &["run", "config.yml", "--open"])
        .stderr(Stdio::null())
        .spawn()
        .expect("tsctl starts");
    assert!(page().contains("js/app.js"));
    shut();
    assert!(run.wait().expect("a child").success());

    for (arguments, expected) in [
        (
            &["create", "--config", "config.yml", "--open", "--nni-portal"][..],
            "the page of NNI",
        ),
        (
            &["resume", "--detach", "--max-trials", "2", "--open", "--port", "0"],
            "js/app.js",
        ),
        (
            &["resume", "--detach", "--max-trials", "3", "--open", "--nni-portal"],
            "the page of NNI",
        ),
    ] {
        let started = command(&lab, arguments).output().expect("tsctl starts");
        assert!(started.status.success(), "{arguments:?}: {started:?}");
        let page = page();
        assert!(page.contains(expected), "{arguments:?}: {page}");
        shut();
    }
}

#[test]
fn the_page_of_nni_is_not_served_where_a_token_is_needed() {
    let lab = ended_experiment();
    let token = lab.write("token", "0123456789abcdef");
    let refused = lab.run(&["web", "--nni-portal", "--token-file", &token.to_string_lossy()]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("NNI's page sends no token"), "{refused:?}");
    let n_experiments = || lab.json(&["ls"])["experiments"].as_array().expect("a list").len();
    assert_eq!(n_experiments(), 1);
    let token = token.to_string_lossy();
    let refused = lab.run(&[
        "run",
        "config.yml",
        "--port",
        "0",
        "--nni-portal",
        "--token-file",
        &token,
    ]);
    assert!(refused.stderr.contains("NNI's page sends no token"), "{refused:?}");
    assert_eq!(n_experiments(), 1, "nothing was made");
}
