//! `web`: serves the portal and the HTTP API of an experiment that runs without them, or that has ended.

use crate::{
    cli_web::Web,
    environment::Environment,
    exit::Exit,
    load::{self, Failure},
    locate,
    output::Output,
    session::{self, Signals},
    web::{self, Front},
};
use serde_json::json;
use std::sync::Arc;
use ts_manager::{rest::OverSocket, view};

/// Serves until it is told to end.
pub(crate) fn web(environment: &Environment, output: &Output, args: &Web) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let row = place.reader()?.experiment()?;
    let optimize = view::optimize(&row);
    let front = Front::new(&args.listen(), args.page, || Ok(web::python(&row)))?;
    let ctx = load::context(&place.directory);
    let runtime = session::runtime()?;
    runtime.block_on(async {
        let commands = Arc::new(OverSocket::new(place.directory.clone(), ctx.tasks.clone()));
        let served = front.serve(&place.directory, optimize, &ctx, commands, false, output)?;
        let mut signals = Signals::listen()?;
        let address = served.address();
        output.data(
            &json!({ "experimentId": place.id, "url": address.url, "tokenFile": address.token_file }),
            || format!("{}\n", address.url),
        )?;
        if let Some(file) = &address.token_file {
            output.say(format_args!("clients need the token in {}", file.display()));
        }
        signals.next().await;
        ctx.tasks.close().await;
        Ok::<_, ts_core::Error>(())
    })?;
    Ok(Exit::Success)
}
