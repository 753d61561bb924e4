//! What `doctor` asks about this machine. Looks, and leaves no trace.

use crate::{LocalConfig, gpus};
use std::path::Path;
use ts_core::{
    Ctx, Finding,
    FindingState::{Bad, Good, Warning},
    config::{PlatformSection, Problems},
};

/// Fewer bytes free than this are worth a warning.
const LITTLE_SPACE: u64 = 1024 * 1024 * 1024;

pub(crate) async fn diagnose(section: Option<&PlatformSection>, ctx: &Ctx) -> Vec<Finding> {
    let config = section.map_or_else(LocalConfig::default, |s| LocalConfig::read(s, &mut Problems::new()));
    let mut findings = vec![shell(), bash(), processes(), watches(), disk(&ctx.work_dir)];
    findings.push(match gpus::inspect(&config.nvidia_smi, &*ctx.clock).await {
        Ok(inventory) => match inventory.gpus() {
            [] => Finding::new("GPUs", Good, "none; trials run without"),
            gpus => {
                let names: Vec<&str> = gpus.iter().map(|gpu| gpu.name.as_str()).collect();
                Finding::new("GPUs", Good, names.join(", "))
            }
        },
        Err(refusal) => Finding::new("GPUs", Warning, refusal.message).with_help(refusal.unblock),
    });
    findings
}

fn shell() -> Finding {
    if Path::new("/bin/sh").exists() {
        Finding::new("shell", Good, "/bin/sh")
    } else {
        Finding::new("shell", Bad, "/bin/sh does not exist").with_help("install a POSIX shell")
    }
}

fn bash() -> Finding {
    match ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"]
        .iter()
        .find(|path| Path::new(path).exists())
    {
        Some(path) => Finding::new("bash", Good, *path),
        None => Finding::new(
            "bash",
            Warning,
            "not found; commands are read by /bin/sh, where NNI used bash",
        )
        .with_help("install bash if commands use more than POSIX shell"),
    }
}

fn processes() -> Finding {
    match std::fs::read("/proc/self/environ") {
        Ok(_) => Finding::new("/proc", Good, "readable"),
        Err(e) => Finding::new("/proc", Bad, e.to_string()).with_help("mount `/proc`; trials are found there"),
    }
}

fn watches() -> Finding {
    const PATH: &str = "/proc/sys/fs/inotify/max_user_watches";
    match std::fs::read_to_string(PATH)
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
    {
        Some(n) if n < 1024 => Finding::new("inotify", Warning, format!("only {n} files can be watched"))
            .with_help("raise `fs.inotify.max_user_watches` (sysctl); each running trial needs one"),
        Some(n) => Finding::new("inotify", Good, format!("{n} files can be watched")),
        None => Finding::new("inotify", Warning, format!("`{PATH}` cannot be read")),
    }
}

fn disk(work_dir: &Path) -> Finding {
    let nearest = work_dir.ancestors().find(|dir| dir.exists()).unwrap_or(work_dir);
    match rustix::fs::statvfs(nearest) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let message = format!("{} MiB free below `{}`", free / (1024 * 1024), nearest.display());
            if free < LITTLE_SPACE {
                Finding::new("disk", Warning, message).with_help("free space, or choose another working directory")
            } else {
                Finding::new("disk", Good, message)
            }
        }
        Err(e) => Finding::new("disk", Bad, format!("`{}`: {e}", nearest.display())),
    }
}
