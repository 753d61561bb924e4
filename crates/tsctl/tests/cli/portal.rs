//! The page as the command line serves and opens it.

use crate::lab::{Lab, wait};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
};

/// A `tsctl web` that is killed with the test.
struct Web {
    child: Child,
    /// `127.0.0.1:PORT`.
    host: String,
    url: String,
}

impl Web {
    fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let mut command = lab.command(&[&["web"], arguments].concat());
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(lab.path("bin")).chain(std::env::split_paths(&inherited));
        command.env("PATH", std::env::join_paths(folders).expect("plain folders"));
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
        let mut socket = TcpStream::connect(&self.host).expect("it listens");
        write!(socket, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host).expect("a listener");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("a reply");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        (head.to_lowercase(), body.to_owned())
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
    let opener = lab.write(
        "bin/xdg-open",
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$HOME/new\"; mv \"$HOME/new\" \"$HOME/opened\"\n",
    );
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("a script");
    let shown = || {
        let page = wait("the browser", || fs::read_to_string(lab.path("opened")).ok());
        fs::remove_file(lab.path("opened")).expect("it was opened");
        page.trim().to_owned()
    };

    let web = Web::start(&lab, &["--open"]);
    assert_eq!(shown(), format!("{}/", web.url));
    drop(web);

    let token = lab.write("token", "0123456789abcdef&<\"\n");
    let web = Web::start(&lab, &["--open", "--token-file", &token.to_string_lossy()]);
    let page = shown();
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
fn the_page_of_nni_is_not_served_where_a_token_is_needed() {
    let lab = ended_experiment();
    let token = lab.write("token", "0123456789abcdef");
    let refused = lab.run(&["web", "--nni-portal", "--token-file", &token.to_string_lossy()]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("NNI's page sends no token"), "{refused:?}");
}
