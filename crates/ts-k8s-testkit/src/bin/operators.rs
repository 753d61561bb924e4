//! The operators of the tests as a program, for a real API server: installs the kinds and runs until it is told to end.
//!
//! `operators --tf training-operator --pytorch old --frameworks --trainer 2.2 [--init-image IMAGE] [--namespace NAMESPACE]`.
//! The server is that of the kubeconfig in the environment. A line on standard output tells that all is installed.

use std::{io::Write, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};
use ts_k8s_testkit::{Operators, Options, install_crds};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match options(std::env::args().skip(1)) {
        Ok(options) => run(options).await,
        Err(why) => Err(why.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause = Some(&*error as &dyn std::error::Error);
            while let Some(error) = cause {
                let _ = writeln!(std::io::stderr(), "operators: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "--job" => options.job = true,
            "--tf" => options.tf = Some(value()?.parse()?),
            "--pytorch" => options.pytorch = Some(value()?.parse()?),
            "--init-image" => options.init_image = Some(value()?),
            "--frameworks" => options.frameworks = true,
            "--trainer" => options.trainer = Some(value()?.parse()?),
            "--namespace" => options.namespace = Some(value()?),
            _ => return Err(format!("`{word}` is not known")),
        }
    }
    Ok(options)
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let client = kube::Client::try_default().await?;
    install_crds(&client, &options).await?;
    let operators = Operators::start(client, options);
    writeln!(std::io::stdout(), "operators are at work")?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    drop(operators);
    Ok(())
}
