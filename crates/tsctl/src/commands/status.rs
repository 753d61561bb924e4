//! `status`: an experiment on a page, or followed to its end from any terminal.

use super::now;
use crate::{
    cli::Status,
    environment::Environment,
    exit::Exit,
    follow::{Display, INTERVAL, News},
    load::Failure,
    locate::{self, Place},
    output::Output,
    render::{experiment::State, json},
    session, web,
};
use serde_json::json;
use ts_core::{Clock, Result, SystemClock};
use ts_manager::{store::Optimize, view};

/// Shows an experiment.
pub(crate) fn status(environment: &Environment, output: &Output, args: &Status) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let reader = place.reader()?;
    let optimize = view::optimize(&reader.experiment()?);
    if args.follow {
        return Ok(follow(output, &place, optimize)?);
    }
    let manager = place.directory.manager();
    let state = State::read(&reader, optimize)?;
    let path = place.directory.path();
    let mut object = json::experiment(&reader, optimize, path, manager, now())?;
    let url = web::address(&place.directory).map(|address| address.url);
    object["url"] = json!(url);
    output.data(&json!({ "experiment": object }), || {
        state.page(path, manager, url.as_deref(), now())
    })?;
    Ok(Exit::Success)
}

/// Stays until no manager runs the experiment. Leaving it (Ctrl-C) does nothing to the experiment.
fn follow(output: &Output, place: &Place, optimize: Optimize) -> Result<Exit> {
    let clock = SystemClock::new();
    let display = if output.json {
        None
    } else {
        Some(Display::start(output, place.reader()?, optimize)?)
    };
    let mut news = News::from_now(place.reader()?)?;
    let runtime = session::runtime()?;
    loop {
        // Asked before the store is read: what the manager stored at its end is then seen below.
        let is_over = place.directory.manager().is_none();
        if display.is_none() && news.changed()? {
            for row in news.next()? {
                output.line(json!({ "trial": json::trial(&row) }))?;
            }
        }
        if is_over || output.is_closed() {
            break;
        }
        runtime.block_on(clock.sleep(INTERVAL));
    }
    drop(display);
    session::report(output, &place.directory, optimize)
}
