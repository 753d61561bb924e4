//! Reads what nvidia-smi prints: one parser for every platform that can run it, here or through SSH.
//!
//! Running the program, and for how long to wait for it, is the platform's. Nothing here panics, whatever was printed.
//!
//! How to ask: send [`GpuQuery::Full`]; if [`GpuQuery::fallback`] names another query, send that. Then send
//! [`PROCESSES`], and [`DEVICES`] if the inventory [lacks MIG devices](GpuInventory::lacks_mig_devices).
//! Source of formats and exit codes: manual page `nvidia-smi(1)` of the drivers 361 to 550, and what
//! `nvidia-smi --help-query-gpu` and `--help-query-compute-apps` list.

use super::{Gpu, GpuInventory, MigDevice, MigMode, Refusal};

/// Arguments that list the compute processes of all GPUs.
pub const PROCESSES: &[&str] = &[
    "--query-compute-apps=gpu_uuid,pid,used_memory",
    "--format=csv,noheader,nounits",
];

/// Arguments that list GPUs with their MIG devices.
pub const DEVICES: &[&str] = &["-L"];

/// Which facts to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a fallback per field is not wanted; one is enough for all drivers in use"
)]
pub enum GpuQuery {
    /// All that an inventory holds. Drivers from 450 on know it.
    Full,
    /// Without the MIG mode, for older drivers.
    WithoutMig,
}

/// What nvidia-smi left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a process leaves two streams and an exit code")]
pub struct SmiOutput<'a> {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: &'a str,
    /// Standard error.
    pub stderr: &'a str,
}

/// What asking for the GPUs of a machine came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inspection {
    /// These GPUs, at least one.
    Gpus(GpuInventory),
    /// The machine has none, and why that is believed.
    NoGpu(String),
    /// The driver does not answer. It may later.
    Failed(DriverFailure),
}

/// The driver does not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverFailure {
    /// What it said, at most 500 bytes of it.
    pub message: String,
    /// What to do on that machine.
    pub help: &'static str,
}

impl Inspection {
    /// The outcome where nvidia-smi cannot be found: a machine without NVIDIA's driver has no GPU to place on.
    pub fn not_installed() -> Self {
        Self::NoGpu("nvidia-smi is not installed".into())
    }
    /// The inventory, empty for a machine without GPU.
    ///
    /// # Errors
    /// The refusal for trials that need a GPU, if the driver does not answer.
    pub fn into_inventory(self) -> Result<GpuInventory, Refusal> {
        match self {
            Self::Gpus(inventory) => Ok(inventory),
            Self::NoGpu(_) => Ok(GpuInventory::default()),
            Self::Failed(failure) => Err(failure.refusal()),
        }
    }
}

impl DriverFailure {
    /// The refusal for trials that need a GPU, until the driver answers.
    pub fn refusal(&self) -> Refusal {
        Refusal::unknown(self.message.clone(), self.help)
    }
    fn unexplained(line: &str) -> Self {
        Self {
            message: format!(
                "nvidia-smi printed `{}`, which is none of its documented formats",
                cut(line)
            ),
            help: DEFAULT_HELP,
        }
    }
}

const DEFAULT_HELP: &str = "run `nvidia-smi` on that machine and mend what it reports";

/// What drivers say when they fail, and what helps. The first that occurs counts.
const FAILURES: &[(&str, &str)] = &[
    (
        "Driver/library version mismatch",
        "the driver was updated while it was loaded; restart the machine, or unload and load its kernel modules",
    ),
    (
        "couldn't communicate with the NVIDIA driver",
        "the kernel module is not loaded: try `modprobe nvidia`; after a kernel update install the driver again",
    ),
    (
        "couldn't find libnvidia-ml",
        "the driver's library is missing: install it, or start the container with NVIDIA's runtime",
    ),
    (
        "Failed to initialize NVML: Insufficient Permissions",
        "let this user read and write `/dev/nvidia*`",
    ),
    (
        "Failed to initialize NVML: Unknown Error",
        "in a container this means that it lost access to `/dev/nvidia*`: start it again",
    ),
    (
        "GPU is lost",
        "a GPU does not answer on the bus: restart the machine, and look for `Xid` in its kernel log",
    ),
    (
        "Unable to determine the device handle",
        "a GPU does not answer: restart the machine, and look for `Xid` in its kernel log",
    ),
];

impl GpuQuery {
    /// Arguments to nvidia-smi.
    pub const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Full => &[
                "--query-gpu=index,uuid,name,memory.total,memory.used,utilization.gpu,mig.mode.current",
                "--format=csv,noheader,nounits",
            ],
            Self::WithoutMig => &[
                "--query-gpu=index,uuid,name,memory.total,memory.used,utilization.gpu",
                "--format=csv,noheader,nounits",
            ],
        }
    }

    /// The query to send instead, if this driver does not know a field of this one.
    pub fn fallback(self, output: &SmiOutput<'_>) -> Option<Self> {
        let unknown_field = || {
            output
                .lines()
                .any(|line| line.contains("is not a valid field to query"))
        };
        (self == Self::Full && unknown_field()).then_some(Self::WithoutMig)
    }

    /// Reads the answer to this query.
    pub fn parse(self, output: &SmiOutput<'_>) -> Inspection {
        if output.lines().any(|line| line.starts_with("No devices were found")) {
            return Inspection::NoGpu("nvidia-smi found no devices".into());
        }
        match output.code {
            // The shell's code for a program that is not there.
            Some(127) => return Inspection::not_installed(),
            // 14: an infoROM is corrupted; 15: a GPU has fallen off the bus. The others are listed nevertheless.
            Some(0 | 14 | 15) => {}
            _ => return Inspection::Failed(output.failure()),
        }
        let mut gpus = Vec::new();
        for line in output.stdout_lines().filter(|line| !is_remark(line)) {
            match self.gpu(line) {
                Some(gpu) => gpus.push(gpu),
                // A GPU that is lost leaves a sentence instead of its row; the others are still of use.
                None if is_failure(line) => {}
                None => return Inspection::Failed(DriverFailure::unexplained(line)),
            }
        }
        if gpus.is_empty() {
            return Inspection::Failed(output.failure());
        }
        Inspection::Gpus(GpuInventory::new(gpus))
    }

    /// Reads one row. A name may hold commas, so the fields behind it are counted from the end.
    fn gpu(self, row: &str) -> Option<Gpu> {
        let (index, rest) = row.split_once(',')?;
        let (uuid, rest) = rest.split_once(',')?;
        let (rest, mig) = match self {
            Self::Full => rest.rsplit_once(',')?,
            Self::WithoutMig => (rest, ""),
        };
        let (rest, utilization) = rest.rsplit_once(',')?;
        let (rest, used) = rest.rsplit_once(',')?;
        let (name, total) = rest.rsplit_once(',')?;
        let mut gpu = Gpu::new(index.trim().parse().ok()?, uuid.trim(), name.trim());
        gpu.memory_total_mib = number(total)?;
        gpu.memory_used_mib = number(used)?;
        gpu.utilization_percent = number(utilization)?.and_then(|percent| u8::try_from(percent.min(100)).ok());
        gpu.mig = match mig.trim() {
            "Enabled" => MigMode::Enabled,
            "Disabled" => MigMode::Disabled,
            _ => MigMode::Unsupported,
        };
        Some(gpu)
    }
}

/// Enters the answer to [`PROCESSES`]. Processes on GPUs that the inventory does not hold are passed over.
///
/// # Errors
/// If the driver does not answer; who runs on the GPUs is unknown then, and the inventory is as before.
pub fn add_processes(inventory: &mut GpuInventory, output: &SmiOutput<'_>) -> Result<(), DriverFailure> {
    if !matches!(output.code, Some(0 | 14 | 15)) {
        return Err(output.failure());
    }
    let mut rows = Vec::new();
    for line in output.stdout_lines().filter(|line| !is_remark(line)) {
        let mut fields = line.split(',').map(str::trim);
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            // The driver of a consumer card that cannot tell: no process is known.
            (Some("[Not Supported]" | "[N/A]"), ..) | (_, Some("[Not Supported]"), ..) => {}
            (Some(uuid), Some(pid), Some(_), None) if is_unknown(pid) => rows.push((uuid, None)),
            (Some(uuid), Some(pid), Some(_), None) => match pid.parse::<u32>() {
                Ok(pid) => rows.push((uuid, Some(pid))),
                Err(_) => return Err(DriverFailure::unexplained(line)),
            },
            _ if is_failure(line) => return Err(output.failure()),
            _ => return Err(DriverFailure::unexplained(line)),
        }
    }
    for gpu in inventory.gpus_mut() {
        let here = |uuid: &str| uuid == gpu.uuid || gpu.mig_devices.iter().any(|device| device.uuid == uuid);
        let pids: Vec<_> = rows
            .iter()
            .filter(|(uuid, _)| here(uuid))
            .map(|(_, pid)| *pid)
            .collect();
        let hidden = pids.iter().filter(|pid| pid.is_none()).count();
        gpu.n_hidden_processes = u32::try_from(hidden).unwrap_or(u32::MAX);
        gpu.processes = pids.into_iter().flatten().collect();
        gpu.processes.sort_unstable();
        gpu.processes.dedup();
    }
    Ok(())
}

/// Enters the MIG devices from the answer to [`DEVICES`]. Call it before [`add_processes`], which may name them.
///
/// # Errors
/// If the driver does not answer; the inventory is as before.
pub fn add_mig_devices(inventory: &mut GpuInventory, output: &SmiOutput<'_>) -> Result<(), DriverFailure> {
    if !matches!(output.code, Some(0 | 14 | 15)) {
        return Err(output.failure());
    }
    let mut found: Vec<(u32, MigDevice)> = Vec::new();
    let mut current = None;
    for line in output.stdout_lines() {
        if let Some(rest) = line.strip_prefix("GPU ") {
            current = rest
                .split_once(':')
                .and_then(|(index, _)| index.trim().parse::<u32>().ok());
        } else if let (Some(gpu), Some(device)) = (current, line.strip_prefix("MIG ").and_then(mig_device)) {
            found.push((gpu, device));
        }
    }
    for gpu in inventory.gpus_mut() {
        let here = found.iter().filter(|(index, _)| *index == gpu.index);
        gpu.mig_devices = here.map(|(_, device)| device.clone()).collect();
    }
    Ok(())
}

/// Reads `3g.20gb     Device  0: (UUID: MIG-…)`.
fn mig_device(text: &str) -> Option<MigDevice> {
    let (profile, rest) = text.split_once("Device")?;
    let (index, rest) = rest.split_once(':')?;
    let (_, rest) = rest.split_once("UUID:")?;
    Some(MigDevice {
        index: index.trim().parse().ok()?,
        profile: profile.trim().to_owned(),
        uuid: rest.trim().trim_end_matches(')').trim().to_owned(),
    })
}

impl<'a> SmiOutput<'a> {
    fn stdout_lines(&self) -> impl Iterator<Item = &'a str> {
        self.stdout.lines().map(str::trim).filter(|line| !line.is_empty())
    }
    fn lines(&self) -> impl Iterator<Item = &'a str> {
        let stderr = self.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        self.stdout_lines().chain(stderr)
    }
    /// What went wrong, in the driver's words; nvidia-smi prints errors to either stream.
    fn failure(&self) -> DriverFailure {
        for (needle, help) in FAILURES {
            if let Some(line) = self.lines().find(|line| line.contains(needle)) {
                return DriverFailure {
                    message: format!("the NVIDIA driver does not answer: {}", cut(line)),
                    help,
                };
            }
        }
        let ended = match self.code {
            Some(code) => format!("nvidia-smi ended with exit code {code}"),
            None => "nvidia-smi was ended by a signal".to_owned(),
        };
        let message = match self.lines().find(|line| !is_remark(line)) {
            Some(line) => format!("{ended}: {}", cut(line)),
            None => format!("{ended} and printed nothing"),
        };
        DriverFailure {
            message,
            help: DEFAULT_HELP,
        }
    }
}

/// A number, or `Some(None)` for a value in brackets such as `[N/A]` or `[Insufficient Permissions]`.
#[expect(clippy::option_option, reason = "not told and not readable differ, here alone")]
fn number(field: &str) -> Option<Option<u64>> {
    let field = field.trim();
    if is_unknown(field) {
        return Some(None);
    }
    field.parse().ok().map(Some)
}

/// Whether the driver says why it does not tell a value.
fn is_unknown(field: &str) -> bool {
    field == "N/A" || (field.starts_with('[') && field.ends_with(']'))
}

/// Lines between rows that say nothing about the rows.
fn is_remark(line: &str) -> bool {
    let warning = line
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("warning:"));
    warning || line.starts_with("No running ")
}

fn is_failure(line: &str) -> bool {
    FAILURES.iter().any(|(needle, _)| line.contains(needle))
}

/// At most 500 bytes of a line, on a character boundary.
fn cut(line: &str) -> &str {
    &line[..line.floor_char_boundary(500)]
}

#[cfg(test)]
mod tests;
