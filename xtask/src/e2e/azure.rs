//! Microsoft's own clients against the Azure of the tests, and that one's storage against Azurite: what they cannot tell from the
//! real platform may stand for it elsewhere.
//!
//! The clients come from the package indexes of Python and of Node, as released; without these they are skipped by name.

use super::{Place, packages::Lacking, python};
use crate::{
    report::{Outcome, Report},
    shell,
};
use anyhow::{Context, Error, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// What is installed for Python. `azureml-mlflow` uses `azure-common` without asking for it.
const REQUIREMENTS: &[&str] = &["azure-ai-ml==1.35.2", "azureml-mlflow==1.62.0", "azure-common==1.1.28"];
const PYTHONS: &[&str] = &["3.11", "3.12", "3.10"];
const AZURITE: &str = "azurite@3.37.0";
/// Azurite's own account, which everybody knows. Source: Azurite, `README.md`, "Default storage account".
const AZURITE_ACCOUNT: [&str; 2] = [
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
];

type Scenario = fn(&Place) -> Result<()>;

/// Runs the scenarios whose names contain `only`.
pub(super) fn run(place: &Place, report: &mut Report, only: &str) {
    let scenarios: [(&str, Scenario); 3] = [
        ("azure-ai-ml submits, streams, lists and cancels", |place| {
            with_https(place, "sdk.py")
        }),
        ("azureml-mlflow in a job, mlflow outside", |place| {
            with_https(place, "metrics.py")
        }),
        ("azure-storage-blob sees no difference from Azurite", blobs),
    ];
    for (name, scenario) in scenarios.iter().filter(|(name, _)| name.contains(only)) {
        report.step(&format!("Azure: {name}"), || match scenario(place) {
            Err(error) if error.is::<Lacking>() => Ok(Outcome::Skipped(format!("{error:#}"))),
            ended => ended.map(|()| Outcome::Passed),
        });
    }
}

/// Runs a script against a server behind HTTPS: Microsoft's clients give tokens to no other.
fn with_https(place: &Place, script: &str) -> Result<()> {
    let python = python(place)?;
    let folder = place.fresh(&format!("azure/{script}"))?;
    let certificate = certificate(&folder)?;
    let port = free_port()?;
    let public = format!("https://127.0.0.1:{port}");
    let arguments = ["--public", &public, "--no-default-output", "--pace", "100"];
    let server = server(place, &arguments)?;
    let addresses = server.told.to_string();
    let local = server.told["local"]
        .as_str()
        .and_then(|url| url.strip_prefix("http://"))
        .context("no address")?
        .to_owned();
    let mut tls = Running::start(
        Command::new(&python)
            .arg(scripts(place).join("tls.py"))
            .args([&certificate, &folder.join("key.pem")])
            .args([&local, &port.to_string()]),
    )?;
    ensure!(tls.line()? == "ready", "the HTTPS side did not start");
    let mut command = Command::new(&python);
    command
        .arg(scripts(place).join(script))
        .arg(&addresses)
        .arg(scripts(place).join("code"))
        .env("REQUESTS_CA_BUNDLE", &certificate)
        .env("SSL_CERT_FILE", &certificate)
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(&folder);
    super::passes(&mut command).map(drop)
}

/// Does the same to both storages.
fn blobs(place: &Place) -> Result<()> {
    let python = python(place)?;
    let azurite = azurite(place)?;
    let folder = place.fresh("azure/blobs")?;
    let server = server(place, &[])?;
    let text = |name: &str| server.told[name].as_str().unwrap_or_default().to_owned();
    let port = free_port()?;
    let mut other = Running::start(
        Command::new(azurite)
            .args([
                "--inMemoryPersistence",
                "--skipApiVersionCheck",
                "--blobPort",
                &port.to_string(),
            ])
            .current_dir(&folder),
    )?;
    while !other.line()?.contains("successfully listens") {}
    let [account, key] = AZURITE_ACCOUNT;
    let mut command = Command::new(python);
    command
        .arg(scripts(place).join("blobs.py"))
        .arg(format!("{}/{}", text("local"), text("account")))
        .args([text("account"), text("accountKey")])
        .arg(format!("http://127.0.0.1:{port}/{account}"))
        .args([account, key])
        .env("NO_PROXY", "127.0.0.1")
        .current_dir(&folder);
    super::passes(&mut command).map(drop)
}

fn scripts(place: &Place) -> PathBuf {
    place.root.join("xtask/e2e/azure")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A certificate for this machine's own address, with its key beside it.
fn certificate(folder: &Path) -> Result<PathBuf> {
    let new = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ];
    let mut openssl = Command::new("openssl");
    openssl
        .args(new)
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "certificate.pem",
        ])
        .current_dir(folder);
    shell::output(&mut openssl).map_err(|error| Error::new(Lacking(format!("{error:#}"))))?;
    Ok(folder.join("certificate.pem"))
}

/// The server of the tests as a program, while this lives.
#[derive(Debug)]
pub(crate) struct AzureMl {
    /// Its addresses, names and credentials.
    pub(crate) told: Value,
    _running: Running,
}

impl AzureMl {
    /// Builds and starts it; `program` is where it is built.
    pub(crate) fn start(root: &Path, program: &Path, arguments: &[&str]) -> Result<Self> {
        let built = shell::succeeds(&mut shell::cargo(root, &["build", "-p", "ts-aml-testkit"]))?;
        ensure!(built, "`aml-server` does not build");
        let mut running = Running::start(Command::new(program).args(arguments))?;
        Ok(Self {
            told: serde_json::from_str(&running.line()?)?,
            _running: running,
        })
    }
}

fn server(place: &Place, arguments: &[&str]) -> Result<AzureMl> {
    AzureMl::start(&place.root, &place.tsctl.with_file_name("aml-server"), arguments)
}

/// The Python with Microsoft's clients.
fn python(place: &Place) -> Result<PathBuf> {
    python::packages(
        place,
        "azure",
        PYTHONS,
        REQUIREMENTS,
        "import azure.ai.ml, azureml.mlflow",
    )
}

/// The program of Azurite, made once and kept.
fn azurite(place: &Place) -> Result<PathBuf> {
    let folder = place.work.join("node");
    let program = folder.join("node_modules/.bin/azurite-blob");
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == AZURITE) {
        return Ok(program);
    }
    fs::create_dir_all(&folder)?;
    println!("installing {AZURITE}");
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--silent",
        "--no-fund",
        "--no-audit",
        "--prefix",
        ".",
        AZURITE,
    ])
    .current_dir(&folder);
    let lacking = |error: Error| Error::new(Lacking(format!("Azurite cannot be installed: {error:#}")));
    shell::output(&mut npm).map_err(lacking)?;
    fs::write(stamp, AZURITE)?;
    Ok(program)
}

/// A program that ends with this.
#[derive(Debug)]
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let output = child.stdout.take().context("a program without output")?;
        Ok(Self {
            child,
            output: BufReader::new(output),
        })
    }

    /// The next line that it tells.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        ensure!(read > 0, "a program ended before it was ready");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
