//! Asks a machine's driver for its GPUs and who uses them. Reading the answers is `ts_core::gpu`'s.

use crate::worker::Shell;
use std::{fmt::Write as _, time::Duration};
use ts_core::{
    Clock,
    gpu::{
        GpuInventory, Refusal,
        nvidia_smi::{self, GpuQuery, Inspection, SmiOutput},
    },
    launch::quote,
};

/// Stands between output and errors of the program.
const BETWEEN: &str = "\n--ts-errors--\n";

/// The GPUs of a machine, or why that is unknown. One round trip, more only for old drivers and divided GPUs.
pub(crate) async fn inspect(
    shell: &Shell,
    program: &str,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<GpuInventory, Refusal> {
    tokio::select! {
        inventory = ask_all(shell, program) => inventory,
        () = clock.sleep(limit) => Err(Refusal::unknown(
            format!("`{program}` did not answer within {} s", limit.as_secs()),
            "look at the driver: `dmesg` names lost GPUs by `Xid`",
        )),
    }
}

async fn ask_all(shell: &Shell, program: &str) -> Result<GpuInventory, Refusal> {
    let mut query = GpuQuery::Full;
    let inspection = loop {
        let Some(answer) = ask(shell, program, query.arguments()).await? else {
            return Inspection::not_installed().into_inventory();
        };
        match query.fallback(&answer.as_output()) {
            Some(simpler) => query = simpler,
            None => break query.parse(&answer.as_output()),
        }
    };
    let mut inventory = inspection.into_inventory()?;
    if inventory.lacks_mig_devices()
        && let Some(answer) = ask(shell, program, nvidia_smi::DEVICES).await?
    {
        nvidia_smi::add_mig_devices(&mut inventory, &answer.as_output()).map_err(|e| e.refusal())?;
    }
    if !inventory.gpus().is_empty()
        && let Some(answer) = ask(shell, program, nvidia_smi::PROCESSES).await?
    {
        nvidia_smi::add_processes(&mut inventory, &answer.as_output()).map_err(|e| e.refusal())?;
    }
    Ok(inventory)
}

struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn as_output(&self) -> SmiOutput<'_> {
        SmiOutput {
            code: Some(self.code),
            stdout: &self.stdout,
            stderr: &self.stderr,
        }
    }
}

/// Runs the program; `None` if there is none. A driver that hangs must not hold up the shell for ever: where the machine has
/// `timeout`, the program is ended by it.
async fn ask(shell: &Shell, program: &str, arguments: &[&str]) -> Result<Option<Answer>, Refusal> {
    let program = quote(program);
    let mut text = format!("command -v {program} >/dev/null 2>&1 || {{ printf absent; false; }} && {{\n");
    let mut command = program;
    for argument in arguments {
        let _ = write!(command, " {}", quote(argument));
    }
    let _ = write!(
        text,
        "ts_limit=; command -v timeout >/dev/null 2>&1 && ts_limit='timeout 9'\n\
         {{ ts_err=$($ts_limit {command} 2>&1 >&3 3>&-); ts_code=$?; }} 3>&1\n\
         printf '%s%s' {} \"$ts_err\"; (exit $ts_code)\n}}\n",
        quote(BETWEEN)
    );
    let unreachable = |e: ts_core::Error| Refusal::unknown(e.to_string(), "wait until the machine is back");
    let reply = shell.run(text).await.map_err(unreachable)?;
    let said = reply.text();
    let Some((stdout, stderr)) = said.split_once(BETWEEN) else {
        return Ok(None);
    };
    Ok(Some(Answer {
        code: reply.status,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }))
}
