//! The HTTP API and the portal as the command line serves them, and what is said about it.

use crate::{cli_web, nni_portal::NniPortal, output::Output};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use ts_core::{Ctx, Error, ErrorKind, Result, write_private};
use ts_manager::{
    ExperimentDirectory,
    rest::{self, Address, Api, Asset, Assets, Commands, Listen, Port, Served},
    store::{ExperimentRow, Optimize},
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

/// What is served of an experiment and where: the port is bound, the page is there.
#[derive(Debug)]
pub(crate) struct Front {
    port: Port,
    page: Arc<dyn Assets>,
    is_opened: bool,
}

impl Front {
    /// Finds the page and binds the port: what is amiss with them costs nothing before anything is asked or made.
    ///
    /// `python` is the Python that the experiment's tuner runs in, whose package of NNI has the page that may be wanted.
    ///
    /// # Errors
    /// Those of the port and of NNI's page; `Unsupported` for that page where a token is needed.
    pub(crate) fn new(
        listen: &Listen,
        page: cli_web::Page,
        python: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Self> {
        let assets: Arc<dyn Assets> = if page.nni_portal {
            if listen.token_file.is_some() || !listen.address.is_loopback() {
                return Err(Error::new(ErrorKind::Unsupported, "NNI's page sends no token")
                    .with_help("leave out `--nni-portal`, or serve it at 127.0.0.1 and use `ssh -L`"));
            }
            Arc::new(NniPortal::find(python()?.as_deref())?)
        } else {
            Arc::new(Portal)
        };
        Ok(Self {
            port: Port::bind(listen)?,
            page: assets,
            is_opened: page.open,
        })
    }

    /// The same where it is asked for.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn wanted(
        listen: &cli_web::Listen,
        python: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Option<Self>> {
        let wanted = listen.wanted();
        wanted.map(|at| Self::new(&at, listen.page, python)).transpose()
    }

    /// Serves the API of an experiment and the page, and opens the page if that is wanted.
    pub(crate) fn serve(
        self,
        directory: &ExperimentDirectory,
        optimize: Optimize,
        ctx: &Ctx,
        commands: Arc<dyn Commands>,
        trial_channel: bool,
        output: &Output,
    ) -> Result<Served> {
        let served = rest::serve(
            self.port,
            Api {
                ctx: ctx.clone(),
                directory: directory.clone(),
                optimize,
                commands,
                assets: Some(self.page),
                trial_channel,
            },
        )?;
        if self.is_opened {
            show(directory, served.address(), output);
        }
        Ok(served)
    }
}

/// Opens the page in the browser of this desktop. Whoever cannot be shown it is told, and can still go there.
pub(crate) fn show(directory: &ExperimentDirectory, address: &Address, output: &Output) {
    if let Err(error) = open(directory, address) {
        output.error(&error);
    }
}

/// Checks that trials which need the HTTP API have it.
///
/// # Errors
/// `Config`, with the remedy.
pub(crate) fn check_channel(is_needed: bool, front: Option<&Front>) -> Result<()> {
    if !is_needed || front.is_some() {
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

fn open(directory: &ExperimentDirectory, address: &Address) -> Result<()> {
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

/// The Python that the tuner of a stored experiment runs in, as its configuration says.
pub(crate) fn python(row: &ExperimentRow) -> Option<String> {
    let python = row.config["resolved"]["tsctl"]["python"].as_str();
    python.map(str::to_owned)
}

/// Where an experiment is served, if the process that says so still runs it.
pub(crate) fn address(directory: &ExperimentDirectory) -> Option<Address> {
    let address = rest::address(directory)?;
    let is_there = Path::new("/proc").join(address.pid.to_string()).exists();
    is_there.then_some(address)
}
