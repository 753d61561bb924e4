//! `web`: serves the portal and the HTTP API of an experiment that runs without them, or that has ended.

use crate::{
    cli_web::Web,
    environment::Environment,
    exit::Exit,
    load::{self, Failure},
    locate,
    nni_portal::NniPortal,
    output::Output,
    session::{self, Signals},
    web,
};
use serde_json::json;
use std::sync::Arc;
use ts_core::{Error, ErrorKind};
use ts_manager::{
    rest::{Assets, OverSocket, Port},
    store::ExperimentRow,
    view,
};

/// Serves until it is told to end.
pub(crate) fn web(environment: &Environment, output: &Output, args: &Web) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let row = place.reader()?.experiment()?;
    let optimize = view::optimize(&row);
    let page = if args.nni_portal {
        nni_page(args, &row)?
    } else {
        web::portal()
    };
    let port = Port::bind(&args.listen())?;
    let ctx = load::context(&place.directory);
    let runtime = session::runtime()?;
    runtime.block_on(async {
        let commands = Arc::new(OverSocket::new(place.directory.clone(), ctx.tasks.clone()));
        let served = web::serve(port, &place.directory, optimize, &ctx, commands, page, false)?;
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

/// NNI's own page, of the Python that the experiment's tuner runs in.
fn nni_page(args: &Web, row: &ExperimentRow) -> Result<Arc<dyn Assets>, Failure> {
    let listen = args.listen();
    if listen.token_file.is_some() || !listen.address.is_loopback() {
        return Err(Error::new(ErrorKind::Unsupported, "NNI's page sends no token")
            .with_help("leave out `--nni-portal`, or serve it at 127.0.0.1 and use `ssh -L`")
            .into());
    }
    let python = row.config["resolved"]["tsctl"]["python"].as_str();
    Ok(Arc::new(NniPortal::find(python)?))
}
