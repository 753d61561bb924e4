//! What `doctor` asks about the machines: every step to each of them, and what they are like once we are in.

use crate::{
    RemoteConfig,
    config::MachineConfig,
    gpu_query, link,
    ssh::{self, Hop, Outers, Target},
    worker::{self, Facts, SetUp, Shell},
};
use futures_util::future::join_all;
use std::time::Duration;
use ts_core::{
    Ctx, ExperimentId, Finding,
    FindingState::{self, Bad, Good, Warning},
    config::{PlatformSection, Problems},
    launch::quote,
};

/// Fewer KiB free than this are worth a warning.
const LITTLE_SPACE: u64 = 1024 * 1024;
/// A larger difference of clocks shows wrong durations.
const CLOCK_LIMIT_MS: i64 = 30_000;
/// How long nvidia-smi may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn diagnose(section: Option<&PlatformSection>, ctx: &Ctx) -> Vec<Finding> {
    let Some(section) = section else {
        return vec![Finding::new(
            "machines",
            Good,
            "none named; `tsctl doctor FILE` looks at those of a file",
        )];
    };
    let config = RemoteConfig::read(section, &mut Problems::new());
    let mut findings = Vec::new();
    if let Some(storage) = &config.shared_storage {
        let path = &storage.local_mount_point;
        findings.push(if path.is_dir() {
            Finding::new("shared storage here", Good, path.display().to_string())
        } else {
            Finding::new(
                "shared storage here",
                Warning,
                format!("`{}` does not exist", path.display()),
            )
            .with_help("trials do not need it; mount it to see their files here")
        });
    }
    let machines = config
        .machines
        .iter()
        .map(|machine| diagnose_machine(&config, machine, ctx));
    findings.extend(join_all(machines).await.into_iter().flatten());
    findings
}

async fn diagnose_machine(config: &RemoteConfig, machine: &MachineConfig, ctx: &Ctx) -> Vec<Finding> {
    let mut report = Report {
        host: machine.host.clone(),
        findings: Vec::new(),
    };
    let target = match Target::resolve(machine, config.ssh_config.as_deref(), &*ctx.secrets).await {
        Ok(target) => {
            report.host = target.label();
            target
        }
        Err(error) => {
            report.bad("configuration", &error);
            return report.findings;
        }
    };
    let mut hops = Vec::new();
    // Each machine shows its whole way.
    let connected = ssh::connect(&target, &Outers::default(), &mut hops).await;
    report.findings.extend(hops.into_iter().map(of_hop));
    let Ok(connection) = connected else {
        return report.findings;
    };
    let shell = match link::channel(&connection, &machine.host).await {
        Ok(process) => Shell::start(process, &ctx.tasks, &*ctx.clock).await,
        Err(error) => Err(error),
    };
    match shell {
        Ok(shell) => {
            report.add("shell", Good, "`sh` answers");
            look(config, machine, ctx, &shell, &mut report).await;
        }
        Err(error) => report.bad("shell", &error),
    }
    report.findings
}

struct Report {
    host: String,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, step: &str, state: FindingState, message: impl Into<String>) {
        self.findings
            .push(Finding::new(format!("{}: {step}", self.host), state, message));
    }

    fn advise(&mut self, step: &str, state: FindingState, message: impl Into<String>, help: &str) {
        self.findings
            .push(Finding::new(format!("{}: {step}", self.host), state, message).with_help(help));
    }

    fn bad(&mut self, step: &str, error: &ts_core::Error) {
        let finding = Finding::new(format!("{}: {step}", self.host), Bad, error.to_string());
        self.findings
            .push(error.help().into_iter().fold(finding, Finding::with_help));
    }
}

fn of_hop(hop: Hop) -> Finding {
    let finding = Finding::new(hop.subject, hop.state, hop.message);
    hop.help.into_iter().fold(finding, Finding::with_help)
}

async fn look(config: &RemoteConfig, machine: &MachineConfig, ctx: &Ctx, shell: &Shell, report: &mut Report) {
    let Ok(experiment) = ExperimentId::new(&format!("doctor-{}", ctx.ids.experiment())) else {
        return;
    };
    let plan = SetUp {
        shared_root: config.shared_root(&experiment),
        experiment,
        machine_key: "doctor".to_owned(),
        directory: machine.directory.clone(),
        python_path: machine.python_path.clone(),
    };
    let before = ctx.clock.now();
    let facts = match worker::set_up(shell, &plan).await {
        Ok(facts) => facts,
        Err(error) => return report.bad("directory", &error),
    };
    let after = ctx.clock.now();
    report.add("directory", Good, format!("`{}` can be written", facts.root));
    of_facts(&facts, report);
    // Half of the round trip is the way there.
    let off = facts.now_ms - i64::midpoint(before.0, after.0);
    if off.abs() > CLOCK_LIMIT_MS {
        let message = format!(
            "{} s {} ours",
            off.abs() / 1000,
            if off > 0 { "before" } else { "behind" }
        );
        report.advise(
            "clock",
            Warning,
            message,
            "set its clock, best by NTP; ends of trials carry its time",
        );
    } else {
        report.add("clock", Good, format!("{off} ms from ours"));
    }
    python(&facts, shell, report).await;
    let program = &machine.nvidia_smi;
    match gpu_query::limited(gpu_query::inspect(shell, program), program, &*ctx.clock, TIMEOUT).await {
        Ok(inventory) if inventory.gpus().is_empty() => report.add("GPUs", Good, "none; trials run without"),
        Ok(inventory) => {
            let names: Vec<&str> = inventory.gpus().iter().map(|gpu| gpu.name.as_str()).collect();
            report.add("GPUs", Good, names.join(", "));
        }
        Err(refusal) => report.advise("GPUs", Warning, refusal.message, &refusal.unblock),
    }
    if let Some(storage) = &config.shared_storage {
        if facts.mount == "/" {
            let message = format!("nothing is mounted at `{}` or above it", storage.remote_mount_point);
            report.advise("shared storage", Bad, message, "mount it on this machine; we never do");
        } else {
            report.add("shared storage", Good, format!("mounted at `{}`", facts.mount));
        }
    }
    let removed = shell
        .run(worker::remove_all_snippet(&facts))
        .await
        .and_then(|reply| reply.into_result("clean up"));
    if let Err(error) = removed {
        report.bad("clean-up", &error);
    }
}

fn of_facts(facts: &Facts, report: &mut Report) {
    report.add("system", Good, format!("{}, {} cores", facts.system, facts.n_cores));
    if facts.has("tar") {
        report.add("tar", Good, "found");
    } else {
        report.advise("tar", Bad, "not found; the code cannot be unpacked", "install `tar`");
    }
    for (tool, without) in [
        ("zstd", "the code travels uncompressed"),
        ("sha256sum", "what arrives is compared by its length only"),
        ("setsid", "trials share a process group with the shell that starts them"),
        ("bash", "commands are read by `sh`, where NNI used bash"),
    ] {
        if !facts.has(tool) {
            report.advise(
                tool,
                Warning,
                format!("not found: {without}"),
                "install it if that matters",
            );
        }
    }
    let free = format!("{} MiB free below `{}`", facts.free_kib / 1024, facts.root);
    if facts.free_kib < LITTLE_SPACE {
        report.advise(
            "disk",
            Warning,
            free,
            "free space, or name another folder with `directory`",
        );
    } else {
        report.add("disk", Good, free);
    }
}

/// The python that a trial would find.
async fn python(facts: &Facts, shell: &Shell, report: &mut Report) {
    let run = quote(&facts.run);
    let text = format!(
        "ts_await_login; ( [ -s {run}/env ] && . {run}/env; [ -s {run}/path ] && read -r p <{run}/path && PATH=$p:$PATH\n\
         for p in python3 python; do command -v $p && $p --version && exit; done; false )\n"
    );
    match shell.run(text).await {
        Ok(reply) if reply.status == 0 => {
            let text = reply.text();
            let said: Vec<&str> = text.split_whitespace().collect();
            report.add("python", Good, said.join(" "));
        }
        _ => report.advise(
            "python",
            Warning,
            "neither `python3` nor `python` is found",
            "trials that need none run all the same; else install it or set `pythonPath`",
        ),
    }
}
