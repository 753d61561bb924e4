//! `web`: serves the portal and the HTTP API of an experiment that runs without them, or that has ended.

use crate::{
    cli_web::Web,
    environment::Environment,
    exit::Exit,
    load::{self, Failure},
    locate,
    output::Output,
    session::{self, Signals},
    web,
};
use serde_json::json;
use std::sync::Arc;
use ts_manager::{
    rest::{OverSocket, Port},
    view,
};

/// Serves until it is told to end.
pub(crate) fn web(environment: &Environment, output: &Output, args: &Web) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let optimize = view::optimize(&place.reader()?.experiment()?);
    let port = Port::bind(&args.listen())?;
    let ctx = load::context(&place.directory);
    let runtime = session::runtime()?;
    runtime.block_on(async {
        let commands = Arc::new(OverSocket::new(place.directory.clone(), ctx.tasks.clone()));
        let served = web::serve(port, &place.directory, optimize, &ctx, commands)?;
        let mut signals = Signals::listen()?;
        let address = served.address();
        output.data(
            &json!({ "experimentId": place.id, "url": address.url, "tokenFile": address.token_file }),
            || format!("{}\n", address.url),
        )?;
        if let Some(file) = &address.token_file {
            output.say(format_args!("clients need the token in {}", file.display()));
        }
        if args.open
            && let Err(error) = web::open(&place.directory, &served)
        {
            // Whoever cannot be shown the page can still go there.
            output.error(&error);
        }
        signals.next().await;
        ctx.tasks.close().await;
        Ok::<_, ts_core::Error>(())
    })?;
    Ok(Exit::Success)
}
