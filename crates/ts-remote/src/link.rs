//! Makes the link to a machine: the connection, the shell that takes our requests, and the stream that reports on trials.
//!
//! When it is made and made again is `machine`'s business.

use crate::{
    core::Core,
    machine::GpuShell,
    ssh::{self, Connection, ExecError, Process, Target},
    worker::{self, Facts, SetUp, Shell, WatchSession},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use ts_core::{Error, ErrorKind, Result, Retry};

/// The command of every channel: any login shell can run it, a restricted one too.
pub(crate) const SHELL: &str = "sh";

/// A connected machine.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) shell: Shell,
    pub(crate) facts: Arc<Facts>,
    /// A shell for the first delivery, begun while the machine was set up; `None` where the server allows no third session.
    spare: Mutex<Option<Process>>,
    /// A connection for the stream of reports, where the server allows one session per connection.
    _second: Option<Connection>,
}

impl Link {
    /// A shell for a delivery, and the connection that it may need of its own.
    pub(crate) async fn delivery_shell(&self, core: &Core, index: usize) -> Result<(Process, Option<Connection>)> {
        let spare = self.spare().take();
        match spare {
            Some(process) => Ok((process, None)),
            None => channel_or_second(core, index, &self.connection).await,
        }
    }

    /// Ends the shell that waits for a delivery.
    pub(crate) fn drop_spare(&self) {
        self.spare().take();
    }

    fn spare(&self) -> MutexGuard<'_, Option<Process>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects and sets up; gives the link and the stream of its reports.
///
/// # Cancel safety
/// Dropped, it closes what it has opened; the machine keeps no more than the experiment's empty directory.
pub(crate) async fn open(core: &Core, index: usize) -> Result<(Arc<Link>, Process)> {
    let machine = &core.machines[index];
    let (connection, shell) = match core.warm.take(index) {
        Some(entered) => entered,
        None => enter(core, index).await?,
    };
    let plan = SetUp {
        experiment: core.experiment.clone(),
        machine_key: machine.key().to_owned(),
        directory: machine.config().directory.clone(),
        shared_root: core.config.shared_root(&core.experiment),
        python_path: machine.config().python_path.clone(),
    };
    // A login shell may take its time, so the next ones begin meanwhile.
    let (facts, watch, spare) = tokio::join!(
        worker::set_up(&shell, &plan),
        connection.exec(SHELL),
        spare(core, index, &connection)
    );
    let facts = facts.map_err(|e| named(&e, machine.name()))?;
    let session = WatchSession::new(&facts, core.name.as_str(), core.next_session());
    let opened = shell.run(session.open_snippet()).await?;
    opened.into_result("make a fifo on the machine")?;
    let (process, second) = or_second(core, index, watch).await?;
    let script = session.script(&facts, core.config.cancel_signal, core.config.grace_period);
    let failed = |_| closed(machine.name());
    process.stdin.write(script.into()).await.map_err(failed)?;
    let link = Link {
        connection,
        _second: second,
        spare: Mutex::new(spare),
        shell,
        facts: Arc::new(facts),
    };
    Ok((Arc::new(link), process))
}

async fn enter(core: &Core, index: usize) -> Result<(Connection, Shell)> {
    let name = core.machines[index].name();
    let connection = connect(core, index).await?;
    let process = channel(&connection, name).await?;
    let shell = Shell::start(process, &core.ctx.tasks, &*core.ctx.clock)
        .await
        .map_err(|e| named(&e, name))?;
    Ok((connection, shell))
}

/// A shell for code that is likely to be delivered.
async fn spare(core: &Core, index: usize, connection: &Connection) -> Option<Process> {
    if core.has_all_code(index) {
        return None;
    }
    connection.exec(SHELL).await.ok()
}

/// A shell of its own for questions about GPUs, which may take seconds.
pub(crate) async fn gpu_shell(core: &Core, index: usize) -> Result<GpuShell> {
    if let Some(kept) = core.machines[index].take_gpu_shell() {
        return Ok(kept);
    }
    let link = core.machines[index].need_link()?;
    let (process, second) = channel_or_second(core, index, &link.connection).await?;
    let shell = Shell::start(process, &core.ctx.tasks, &*core.ctx.clock).await?;
    Ok((shell, second))
}

/// A new connection to the machine.
pub(crate) async fn connect(core: &Core, index: usize) -> Result<Connection> {
    let config = core.machines[index].config();
    let connecting = async {
        let target = Target::resolve(config, core.config.ssh_config.as_deref(), &*core.ctx.secrets).await?;
        ssh::connect(&target, &core.warm.outers, &mut Vec::new()).await
    };
    connecting.await.map_err(|error| located(error, index))
}

/// A shell on the machine; through a connection of its own where the server allows no further session on this one.
pub(crate) async fn channel_or_second(
    core: &Core,
    index: usize,
    connection: &Connection,
) -> Result<(Process, Option<Connection>)> {
    or_second(core, index, connection.exec(SHELL).await).await
}

async fn or_second(
    core: &Core,
    index: usize,
    begun: Result<Process, ExecError>,
) -> Result<(Process, Option<Connection>)> {
    match begun {
        Ok(process) => Ok((process, None)),
        Err(ExecError::Lost(error)) => Err(error),
        Err(ExecError::Refused(_)) => {
            let second = connect(core, index).await?;
            let process = channel(&second, core.machines[index].name()).await?;
            Ok((process, Some(second)))
        }
    }
}

/// A shell on the machine called `name`.
pub(crate) async fn channel(connection: &Connection, name: &str) -> Result<Process> {
    connection.exec(SHELL).await.map_err(|error| match error {
        ExecError::Refused(text) => Error::new(
            ErrorKind::Rejected,
            format!("the SSH server of `{name}` allows no further session on this connection: {text}"),
        )
        .with_help("set `MaxSessions` in its `sshd_config` to 1 at least"),
        ExecError::Lost(error) => error,
    })
}

fn closed(name: &str) -> Error {
    Error::new(ErrorKind::Unreachable, format!("`{name}` closed a session"))
        .with_retry(Retry::NotApplied { after: None })
}

/// The same error with its key naming the entry of the list of machines.
pub(crate) fn located(error: Error, index: usize) -> Error {
    match error.key().and_then(|key| key.strip_prefix("machineList[]")) {
        Some(rest) => {
            let key = format!("machineList[{index}]{rest}");
            error.with_key(key)
        }
        None => error,
    }
}

/// The same error with the machine in its message.
pub(crate) fn named(error: &Error, name: &str) -> Error {
    let named = Error::new(error.kind(), format!("`{name}`: {}", error.message())).with_retry(error.retry());
    let named = error.key().into_iter().fold(named, Error::with_key);
    error
        .help()
        .map(str::to_owned)
        .into_iter()
        .fold(named, Error::with_help)
}
