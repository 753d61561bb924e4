//! The HTTP API and the portal as the command line serves them, and what is said about it.

use crate::output::Output;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use ts_core::{Ctx, Error, ErrorKind, Result, write_private};
use ts_manager::{
    ExperimentDirectory,
    rest::{self, Api, Asset, Assets, Commands, Port, Served},
    store::Optimize,
};

/// The page that is built in.
#[derive(Debug)]
struct Portal;

impl Assets for Portal {
    fn file(&self, path: &str) -> Option<Asset> {
        let asset = ts_portal::file(path)?;
        Some(Asset {
            content_type: asset.content_type,
            bytes: asset.bytes.into(),
            etag: Some(asset.etag()),
        })
    }

    fn content_security_policy(&self) -> &'static str {
        ts_portal::CONTENT_SECURITY_POLICY
    }
}

/// The page that is built in.
pub(crate) fn portal() -> Arc<dyn Assets> {
    Arc::new(Portal)
}

/// Serves the API of an experiment and a page on a bound port.
pub(crate) fn serve(
    port: Port,
    directory: &ExperimentDirectory,
    optimize: Optimize,
    ctx: &Ctx,
    commands: Arc<dyn Commands>,
    page: Arc<dyn Assets>,
    trial_channel: bool,
) -> Result<Served> {
    rest::serve(
        port,
        Api {
            ctx: ctx.clone(),
            directory: directory.clone(),
            optimize,
            commands,
            assets: Some(page),
            trial_channel,
        },
    )
}

/// Checks that trials which need the HTTP API have it.
///
/// # Errors
/// `Config`, with the remedy.
pub(crate) fn check_channel(is_needed: bool, port: Option<&Port>) -> Result<()> {
    if !is_needed || port.is_some() {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Config, "the trials are to report by HTTP, and nothing is served")
            .with_key("tsctl.trialChannel")
            .with_help("name a port with `--port`, the same one whenever the experiment is resumed; or remove the key, and they report by files"),
    )
}

/// Says where it is.
pub(crate) fn say(output: &Output, served: &Served) {
    let address = served.address();
    output.say(format_args!("served at {}", address.url));
    if let Some(file) = &address.token_file {
        output.say(format_args!("clients need the token in {}", file.display()));
    }
}

/// Opens the page in the browser of this desktop.
///
/// # Errors
/// `Unsupported` where there is none; those of the file with the token.
pub(crate) fn open(directory: &ExperimentDirectory, served: &Served) -> Result<()> {
    let address = served.address();
    let page = match &address.token_file {
        None => format!("{}/", address.url),
        Some(file) => token_page(directory, &address.url, file)?.display().to_string(),
    };
    let opener = "xdg-open";
    Command::new(opener)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|e| {
            Error::new(
                ErrorKind::Unsupported,
                format!("cannot start a browser with `{opener}`"),
            )
            .with_source(e)
            .with_help(format!("open {} yourself", address.url))
        })
}

/// A page that leads to the portal with the token: the arguments of a process are for everybody to read, this file is not.
fn token_page(directory: &ExperimentDirectory, url: &str, token_file: &Path) -> Result<PathBuf> {
    let token = fs::read_to_string(token_file).map_err(|e| Error::io("read the token", token_file, e))?;
    // Neither has characters that HTML or an address would read otherwise: tokens of ours are digits, and these are escaped.
    let escaped: String = token
        .trim()
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let text = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0; url={url}/#token={escaped}\">"
    );
    let file = directory.path().join("rest.open.html");
    write_private(&file, text.as_bytes())?;
    Ok(file)
}

/// Where an experiment is served, if the process that says so still runs it.
pub(crate) fn url(directory: &ExperimentDirectory) -> Option<String> {
    let address = rest::address(directory)?;
    std::path::Path::new("/proc")
        .join(address.pid.to_string())
        .exists()
        .then_some(address.url)
}
