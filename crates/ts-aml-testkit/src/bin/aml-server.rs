//! The platform as a program, for clients of others: runs until it is told to end.
//!
//! `aml-server [--port PORT] [--public URL] [--no-default-output] [--identity CLIENT_ID] [--pace MILLISECONDS]
//! [--environment NAME=VALUE]…`. A line of JSON on standard output tells the addresses and credentials.

use std::{io::Write as _, process::ExitCode, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use ts_aml_testkit::{AmlServer, Setting};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match setting(std::env::args().skip(1)) {
        Ok(setting) => run(setting).await,
        Err(why) => Err(why.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "aml-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn setting(mut words: impl Iterator<Item = String>) -> Result<Setting, String> {
    let mut setting = Setting::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "--port" => setting.port = value()?.parse().map_err(|_| "`--port` needs a number".to_owned())?,
            "--public" => setting.public = Some(value()?),
            "--no-default-output" => setting.default_output = false,
            "--identity" => setting.managed_identity = Some(value()?),
            "--pace" => {
                let millis = value()?.parse().map_err(|_| "`--pace` needs a number".to_owned())?;
                setting.pace.waiting = Duration::from_millis(millis);
                setting.pace.finalizing = Duration::from_millis(millis);
                setting.pace.canceling = Duration::from_millis(millis);
            }
            "--environment" => {
                let pair = value()?;
                let (name, value) = pair.split_once('=').ok_or("`--environment` needs NAME=VALUE")?;
                setting.image_environment.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(format!("`{word}` is not known")),
        }
    }
    Ok(setting)
}

async fn run(setting: Setting) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let server = AmlServer::start(setting).await?;
    let (account, account_key) = server.account();
    let setting = server.setting();
    let addresses = serde_json::json!({
        "local": server.imds(),
        "arm": server.arm(),
        "login": server.login(),
        "cloudMetadata": server.cloud_metadata_url(),
        "workspacePath": server.workspace_path(),
        "subscription": setting.subscription,
        "resourceGroup": setting.resource_group,
        "workspace": setting.workspace,
        "tenant": setting.tenant,
        "clientId": setting.client_id,
        "clientSecret": setting.client_secret,
        "compute": setting.computes.first().map(|compute| &compute.name),
        "container": server.default_container(),
        "account": account,
        "accountKey": account_key,
    });
    writeln!(std::io::stdout(), "{addresses}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    drop(server);
    Ok(())
}
