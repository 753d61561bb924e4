//! `doctor`: is everything there that experiments need, here and on the platform, and what to mend.

use crate::{
    cli::Doctor,
    environment::Environment,
    exit::Exit,
    load::{self, Failure, Loaded},
    locate,
    output::Output,
    platforms::PLATFORMS,
    render::{span, style::Style},
    session,
};
use rustix::fs::{Access, access, statvfs};
use serde_json::json;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};
use ts_core::{Ctx, Finding, FindingState, Timestamp};
use ts_manager::ExperimentDirectory;

/// Less free space than this is worth a warning: 1 GiB.
const LITTLE_SPACE: u64 = 1 << 30;
/// 2025-01-01; a clock before it is wrong, and certificates and times will be too.
const PAST: Timestamp = Timestamp(1_735_689_600_000);

/// Checks.
pub(crate) fn doctor(environment: &Environment, output: &Output, args: &Doctor) -> Result<Exit, Failure> {
    let loaded = match &args.file {
        Some(file) => Some(Loaded::from_file(environment, file)?),
        None => None,
    };
    let working_dir = match &loaded {
        Some(loaded) => Some(loaded.config.working_dir.clone()),
        None => environment.default_working_dir(),
    };
    let mut findings = vec![clock(), list(environment)];
    findings.extend(directory(working_dir.as_deref()));
    let ctx = load::context(&ExperimentDirectory::at(
        working_dir.unwrap_or_else(|| PathBuf::from("/")),
    ));
    // A platform that runs trials here looks at the same disk again; what was found already is not told twice.
    for finding in session::runtime()?.block_on(platforms(loaded.as_ref(), &ctx)) {
        if findings.iter().all(|known| known.subject != finding.subject) {
            findings.push(finding);
        }
    }
    let style = output.style;
    output.data(&json!({ "findings": findings }), || page(&findings, Style::new(false)))?;
    let n_bad = findings.iter().filter(|f| f.state == FindingState::Bad).count();
    match n_bad {
        0 => output.say(style.good("nothing is in the way of an experiment")),
        n => output.say(style.bad(format_args!("{n} of {} checks found something to mend", findings.len()))),
    }
    Ok(if n_bad == 0 { Exit::Success } else { Exit::ChecksFailed })
}

/// Asks the platforms of the configuration, or all.
async fn platforms(loaded: Option<&Loaded>, ctx: &Ctx) -> Vec<Finding> {
    let mut findings = Vec::new();
    for platform in PLATFORMS {
        let section = loaded.map(|l| l.config.platforms.iter().find(|s| s.platform() == platform.name));
        match section {
            Some(None) => {}
            Some(Some(section)) => findings.extend((platform.diagnose)(Some(section), ctx).await),
            None => findings.extend((platform.diagnose)(None, ctx).await),
        }
    }
    findings
}

fn page(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            FindingState::Good => style.good("good   ").to_string(),
            FindingState::Warning => style.warn("warning").to_string(),
            _ => style.bad("bad    ").to_string(),
        };
        let _ = writeln!(text, "{mark}  {}: {}", finding.subject, finding.message);
        if let Some(help) = &finding.help {
            let _ = writeln!(text, "         help: {help}");
        }
    }
    text
}

fn clock() -> Finding {
    let now = super::now();
    if now < PAST {
        return Finding::new(
            "clock",
            FindingState::Bad,
            format!("it shows {now}, which is long past"),
        )
        .with_help("set the machine's clock");
    }
    Finding::new("clock", FindingState::Good, format!("it shows {now}"))
}

fn list(environment: &Environment) -> Finding {
    match locate::all(environment) {
        Ok(all) => Finding::new("experiments", FindingState::Good, format!("{} known", all.len())),
        Err(error) => {
            let help = error.help().unwrap_or("check the directory").to_owned();
            Finding::new("experiments", FindingState::Bad, error.to_string()).with_help(help)
        }
    }
}

/// Whether experiments could be written there, and how much.
fn directory(path: Option<&Path>) -> Vec<Finding> {
    const SUBJECT: &str = "working directory";
    let Some(path) = path else {
        let finding = Finding::new(SUBJECT, FindingState::Bad, "the home directory is not known");
        return vec![finding.with_help("set `HOME`, or `experimentWorkingDirectory` in the configuration")];
    };
    let nearest = path.ancestors().find(|dir| dir.exists()).unwrap_or(path);
    let shown = path.display();
    let writable = match access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::new(SUBJECT, FindingState::Good, format!("`{shown}` can be written")),
        Err(e) => Finding::new(SUBJECT, FindingState::Bad, format!("`{shown}` cannot be written: {e}"))
            .with_help("set `experimentWorkingDirectory` to a directory that you can write"),
    };
    let space = match statvfs(nearest) {
        Err(e) => Finding::new(
            "disk",
            FindingState::Warning,
            format!("the free space of `{shown}` is not known: {e}"),
        ),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let message = format!("{} free in `{shown}`", span::size(free));
            if free < LITTLE_SPACE {
                Finding::new("disk", FindingState::Warning, message)
                    .with_help("free some space; an experiment waits while the disk is full")
            } else {
                Finding::new("disk", FindingState::Good, message)
            }
        }
    };
    vec![writable, space]
}
