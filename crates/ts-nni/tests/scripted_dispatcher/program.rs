//! Stands in for Python with NNI: answers the probe, and is a dispatcher of the release and the manners that the arguments of its
//! "tuner" describe. For tests only.
//!
//! Arguments: `version`; `log`, a file that gets every message; `say`, the texts of proposals in their order, `null` for "no more";
//! `unasked`, one more that follows the first; `kill`, to ask for the end of the trial of each intermediate result, twice; `crash_at`, the request at
//! which it crashes, unless the file `crash_once` is there, which it makes; `fail`, not to begin; `linger`, to ignore the end.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::{
    env,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, exit},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use ts_nni::{FrameDecoder, Message, encode_frame};

enum Wire {
    Frames(FrameDecoder),
    Socket(Box<WebSocketStream<tokio::net::TcpStream>>, bool),
}

impl Wire {
    async fn send(&mut self, code: [u8; 2], content: &str) {
        let message = Message::new(code, content);
        let name = String::from_utf8_lossy(&code).into_owned();
        match self {
            Self::Frames(_) => {
                let mut out = std::io::stdout();
                out.write_all(&encode_frame(&message)).expect("a reader");
                out.flush().expect("a reader");
            }
            Self::Socket(socket, is_json) => {
                let text = if *is_json {
                    json!({ "type": name, "content": content }).to_string()
                } else {
                    format!("{name}{content}")
                };
                socket.send(tungstenite::Message::text(text)).await.expect("a reader");
            }
        }
    }

    async fn receive(&mut self) -> Option<(String, String)> {
        match self {
            Self::Frames(decoder) => loop {
                if let Some(message) = decoder.next_message().expect("frames") {
                    return Some((String::from_utf8_lossy(&message.code).into_owned(), message.content));
                }
                let mut bytes = [0; 7];
                match std::io::stdin().read(&mut bytes).expect("a socket") {
                    0 => return None,
                    n => decoder.push(&bytes[..n]),
                }
            },
            Self::Socket(socket, is_json) => loop {
                let text = match socket.next().await? {
                    Ok(tungstenite::Message::Text(text)) => text.as_str().to_owned(),
                    Ok(_) => continue,
                    Err(_) => return None,
                };
                if !*is_json {
                    return Some((text[..2].into(), text[2..].into()));
                }
                let message: Value = serde_json::from_str(&text).expect("JSON");
                let part = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
                return Some((part("type"), part("content")));
            },
        }
    }
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.as_slice() {
        [_, probe] if probe.contains("--ts-nni--") => answer_probe(),
        [_, _, flag, parameters] if flag == "--exp_params" => {
            let decoded = STANDARD.decode(parameters).expect("base64");
            let parameters: Value = serde_json::from_slice(&decoded).expect("JSON");
            let script = parameters["tuner"]["classArgs"].clone();
            let version = script["version"].as_str().expect("a version");
            let is_old = version == "1.9";
            let name = if is_old { "builtinTunerName" } else { "name" };
            assert!(parameters["tuner"][name].is_string(), "{parameters}");
            if is_old && env::var_os("MOVED").is_none() {
                // The descriptors 3 and 4, which Rust cannot open by their numbers.
                let error = Command::new("/bin/sh")
                    .args(["-c", r#"MOVED=1 exec "$0" "$@" <&3 >&4 3<&- 4>&-"#])
                    .arg(env::current_exe().expect("a path"))
                    .args(&args)
                    .exec();
                panic!("{error}");
            }
            let has_phases = parameters["multiPhase"] == true;
            assert!(is_old || parameters.get("multiPhase").is_none(), "{parameters}");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(dispatch(&script, version, has_phases));
        }
        _ => panic!("called as Python would not be: {args:?}"),
    }
}

fn answer_probe() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("text");
    let algorithms: Value = serde_json::from_str(&text).expect("JSON");
    let script = &algorithms[0]["classArgs"];
    let mut answer = json!({ "problems": [script["problem"]] });
    match script["version"].as_str() {
        Some(version) => answer["version"] = json!(version),
        None => answer["missing"] = json!("No module named 'nni'"),
    }
    let line = format!("a package that prints\n\n--ts-nni--{answer}\n");
    std::io::stdout().write_all(line.as_bytes()).expect("a reader");
}

fn complain(words: &str) {
    std::io::stderr().write_all(words.as_bytes()).expect("a log");
}

async fn dispatch(script: &Value, version: &str, has_phases: bool) {
    let mut log = File::options()
        .create(true)
        .append(true)
        .open(script["log"].as_str().expect("a log"))
        .expect("a log");
    let mut note = |code: &str, content: &str| writeln!(log, "{code} {content}").expect("room");
    note("--", &format!("{} {}", std::process::id(), variable("NNI_MODE")));
    if script["fail"] == true {
        complain("Traceback (most recent call last):\n  File \"x.py\"\nImportError: no module named torch\n");
        exit(1);
    }
    let mut wire = if version == "1.9" {
        Wire::Frames(FrameDecoder::default())
    } else {
        let url = variable("NNI_TUNER_COMMAND_CHANNEL");
        let address = url
            .strip_prefix("ws://")
            .and_then(|rest| rest.split('/').next())
            .expect("an address");
        let wrong = tokio::net::TcpStream::connect(address).await.expect("a listener");
        assert!(
            client_async(format!("ws://{address}/tuner"), wrong).await.is_err(),
            "any path is taken"
        );
        let stream = tokio::net::TcpStream::connect(address).await.expect("a listener");
        let (socket, _) = client_async(&url, stream).await.expect("a handshake");
        Wire::Socket(Box::new(socket), version.starts_with('3'))
    };
    let mut say = script["say"].as_array().into_iter().flatten().map(Value::as_str);
    let mut requests = 0;
    while let Some((code, content)) = wire.receive().await {
        if code != "PI" {
            note(&code, &content);
        }
        match code.as_str() {
            "IN" => wire.send(*b"ID", "").await,
            "GE" => {
                requests += 1;
                if script["crash_at"] == requests && first_time(script) {
                    complain("Traceback (most recent call last):\n  File \"x.py\"\nValueError: as asked\n");
                    exit(3);
                }
                if script["deaf_to"] == requests {
                    continue;
                }
                match say.next().flatten() {
                    Some(text) => wire.send(*b"TR", text).await,
                    None => wire.send(*b"NO", "").await,
                }
                if let (1, Some(more)) = (requests, script["unasked"].as_str()) {
                    wire.send(*b"TR", more).await;
                }
            }
            "ME" if content.contains("REQUEST_PARAMETER") => {
                // As nni v1.9 and later ones, `msg_dispatcher.py`: `assert multi_phase_enabled()`.
                assert!(has_phases, "no request of a trial is taken: {content}");
                requests += 1;
                if script["crash_at"] == requests && first_time(script) {
                    complain("AssertionError: as asked\n");
                    exit(3);
                }
                let metric: Value = serde_json::from_str(&content).expect("JSON");
                let (trial, index) = (&metric["trial_job_id"], &metric["parameter_index"]);
                assert!(trial.is_string() && index.is_u64(), "{content}");
                let no_more = r#"{"parameter_id": 99, "parameters": null, "parameter_index": 0}"#;
                let answer = say.next().flatten().unwrap_or(no_more);
                let end = format!(r#""trial_job_id": {trial}, "parameter_index": {index}}}"#);
                let answer = answer.replace(r#""parameter_index": 0}"#, &end);
                wire.send(*b"SP", &answer).await;
            }
            "ME" if script["kill"] == true && content.contains("PERIODICAL") => {
                let metric: Value = serde_json::from_str(&content).expect("JSON");
                for _ in 0..2 {
                    wire.send(*b"KI", &metric["trial_job_id"].to_string()).await;
                }
            }
            "TE" if script["linger"] != true => break,
            _ => {}
        }
    }
    if script["linger"] == true {
        loop {
            std::thread::park();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is told so, as Python would be")]
fn variable(name: &str) -> String {
    env::var(name).expect("a variable")
}

/// Whether it has not crashed before.
fn first_time(script: &Value) -> bool {
    let Some(mark) = script["crash_once"].as_str() else {
        return true;
    };
    let is_first = !fs::exists(mark).expect("a folder");
    fs::write(mark, "").expect("room");
    is_first
}
