//! Runs a manager in this process: its runtime, its signals, its display, and what its end means.

#[cfg(feature = "otel")]
use crate::telemetry::Telemetry;
use crate::{
    exit::Exit,
    follow::Display,
    load::{Assembly, Failure},
    output::Output,
    render::{experiment::State, json},
    web::{self, Front},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::json;
use std::sync::Arc;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::broadcast::error::RecvError,
};
use ts_core::{Error, ErrorKind, Result};
use ts_manager::{
    ExperimentDirectory, Manager, ManagerHandle, ManagerLock, Notice, Outcome,
    control::{Request, Response},
    store::{ExperimentStatus, Optimize, Store, StoreReader},
};

/// The runtime that managers and platforms run on; the one place that chooses it.
///
/// One thread: a manager waits nearly all of the time, and what blocks runs on threads of its own.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Io, "cannot start the runtime").with_source(e))
}

/// An experiment that is created, locked and about to run.
pub(crate) struct Session {
    /// On which the platform was asked, and on which it goes on.
    pub(crate) runtime: Runtime,
    pub(crate) directory: ExperimentDirectory,
    pub(crate) lock: ManagerLock,
    pub(crate) store: Store,
    pub(crate) assembly: Assembly,
    pub(crate) optimize: Optimize,
    /// What the manager is asked before it starts anything.
    pub(crate) requests: Vec<Request>,
    /// What is served over HTTP.
    pub(crate) front: Option<Front>,
    /// Whether the trials report by the HTTP API.
    pub(crate) trial_channel: bool,
}

/// Who is told about the start.
pub(crate) trait Ready {
    /// The manager runs and can be asked.
    fn ready(&mut self) -> Result<()>;
}

impl Ready for () {
    fn ready(&mut self) -> Result<()> {
        Ok(())
    }
}

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The experiment ended, or was stopped.
    Outcome(Outcome),
    /// The user left; trials may still be ending.
    Left,
}

impl Session {
    /// Runs it to its end.
    pub(crate) fn run(self, output: &Output, ready: &mut impl Ready) -> Result<End, Failure> {
        web::check_channel(self.trial_channel, self.front.as_ref())?;
        if !self.trial_channel {
            // Of a manager that was killed, before the key was removed.
            ts_core::withdraw_trial_channel(self.directory.path())?;
        }
        let runtime = self.runtime;
        let display = Display::start(output, StoreReader::open(&self.directory.store())?, self.optimize)?;
        let _lock = self.lock;
        let ctx = self.assembly.ctx.clone();
        let tasks = ctx.tasks.clone();
        #[cfg(feature = "otel")]
        let telemetry = Telemetry::start(output, &self.assembly);
        let mut manager = Manager::new(self.assembly.with_store(self.store, self.requests));
        #[cfg(feature = "otel")]
        if let Some(telemetry) = &telemetry {
            manager.observed_by(telemetry.observer());
        }
        let end = runtime.block_on(async {
            manager.listen(&self.directory)?;
            let commands = Arc::new(manager.handle());
            let (directory, optimize, channel) = (&self.directory, self.optimize, self.trial_channel);
            let served = self
                .front
                .map(|front| front.serve(directory, optimize, &ctx, commands, channel, output));
            let served = served.transpose()?;
            if let Some(served) = &served {
                web::say(output, served);
            }
            let end = drive(manager, &display, ready).await;
            if matches!(end, Ok(End::Outcome(_))) {
                if let Some(served) = &served {
                    served.tell_the_end().await;
                }
                tasks.close().await;
            }
            end
        });
        drop(display);
        #[cfg(feature = "otel")]
        if let Some(telemetry) = telemetry {
            let is_left = matches!(end, Ok(End::Left));
            runtime.block_on(telemetry.finish(output, &ctx.tasks, is_left));
        }
        // Whoever leaves early waits for nothing.
        runtime.shutdown_background();
        Ok(end?)
    }
}

/// The manager with its helpers: signals, warnings, and who waits for the start.
async fn drive(manager: Manager, display: &Display, ready: &mut impl Ready) -> Result<End> {
    let mut signals = Signals::listen()?;
    let handle = manager.handle();
    let mut notices = handle.notices();
    let mut snapshots = handle.snapshot();
    let mut asked: FuturesUnordered<BoxFuture<'static, Result<Response>>> = FuturesUnordered::new();
    let mut run = std::pin::pin!(manager.run());
    let mut is_asked_to_stop = false;
    let mut stalled: Option<String> = None;
    let mut is_ready = false;
    loop {
        tokio::select! {
            biased;
            outcome = &mut run => {
                if !is_ready && outcome.is_ok() {
                    ready.ready()?; // it ended before anybody looked
                }
                return outcome.map(End::Outcome);
            }
            () = signals.next() => {
                if is_asked_to_stop {
                    return Ok(End::Left);
                }
                is_asked_to_stop = true;
                display.say("stopping: trials are canceled and waited for; again to leave at once");
                asked.push(ask(&handle, Request::Stop));
            }
            Some(answer) = asked.next(), if !asked.is_empty() => {
                // An experiment that has ended meanwhile answers nothing, and nothing is left to do.
                for problem in answer.unwrap_or_default().problems {
                    display.say(format!("warning: {problem}"));
                }
            }
            notice = notices.recv() => match notice {
                Ok(Notice::Warning(text)) => display.say(format!("warning: {text}")),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                // The manager is about to end; `run` is ready next.
                Err(RecvError::Closed) => return run.await.map(End::Outcome),
            },
            Ok(()) = snapshots.changed() => {
                let (status, now) = {
                    let snapshot = snapshots.borrow_and_update();
                    (snapshot.status, snapshot.stalled.clone())
                };
                if !is_ready && status != ExperimentStatus::Initialized {
                    is_ready = true;
                    ready.ready()?;
                }
                if now != stalled {
                    match &now {
                        Some(why) => display.say(format!("warning: nothing can be stored at present: {why}")),
                        None => display.say("the store takes changes again"),
                    }
                    stalled = now;
                }
            }
        }
    }
}

fn ask(handle: &ManagerHandle, request: Request) -> BoxFuture<'static, Result<Response>> {
    let handle = handle.clone();
    async move { handle.ask(request).await }.boxed()
}

/// SIGINT and SIGTERM ask to stop. SIGHUP is taken and ignored: a closed terminal ends nothing.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| Error::new(ErrorKind::Io, "cannot listen for signals").with_source(e));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => {}
            }
        }
    }
}

/// Shows how an experiment ended, and says what it means for the shell.
pub(crate) fn report(output: &Output, directory: &ExperimentDirectory, optimize: Optimize) -> Result<Exit> {
    let reader = StoreReader::open(&directory.store())?;
    let state = State::read(&reader, optimize)?;
    let now = ts_core::Clock::now(&ts_core::SystemClock::new());
    let object = json::experiment(&reader, optimize, directory.path(), None, now)?;
    output.data(&json!({ "experiment": object }), || {
        state.page(directory.path(), None, None, now)
    })?;
    Ok(meaning(&state))
}

/// The exit code of an experiment that nobody runs any more.
pub(crate) fn meaning(state: &State) -> Exit {
    match state.row.status {
        ExperimentStatus::Error => Exit::ExperimentError,
        ExperimentStatus::Done if state.counts.total() > 0 && state.succeeded() == 0 => Exit::NoTrialSucceeded,
        ExperimentStatus::Done => Exit::Success,
        _ => Exit::Stopped,
    }
}

/// What is said when the user leaves before the end.
pub(crate) fn say_left(output: &Output, id: &ts_core::ExperimentId) {
    output.say(format_args!(
        "left at once; trials may still run: `tsctl stop {id}` ends them, `tsctl resume {id}` goes on"
    ));
}
