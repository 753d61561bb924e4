//! The HTTP API as the command line serves it, and what is said about it.

use crate::output::Output;
use std::sync::Arc;
use ts_core::{Ctx, Result};
use ts_manager::{
    ExperimentDirectory,
    rest::{self, Api, Commands, Port, Served},
    store::Optimize,
};

/// Serves the API of an experiment on a bound port.
pub(crate) fn serve(
    port: Port,
    directory: &ExperimentDirectory,
    optimize: Optimize,
    ctx: &Ctx,
    commands: Arc<dyn Commands>,
) -> Result<Served> {
    rest::serve(
        port,
        Api {
            ctx: ctx.clone(),
            directory: directory.clone(),
            optimize,
            commands,
            assets: None,
        },
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

/// Where an experiment is served, if the process that says so still runs it.
pub(crate) fn url(directory: &ExperimentDirectory) -> Option<String> {
    let address = rest::address(directory)?;
    std::path::Path::new("/proc")
        .join(address.pid.to_string())
        .exists()
        .then_some(address.url)
}
