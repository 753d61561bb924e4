//! Clocks, quantiles and the memory of processes. The one place of the measurements that reads the machine's clock.

#![expect(clippy::disallowed_methods, reason = "measurements read the machine's clock")]

use anyhow::{Context, Result, bail};
use std::{
    fs,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Longest time that anything measured may take.
const DEADLINE: Duration = Duration::from_mins(10);

/// Seconds that `work` takes.
pub(super) fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds since 1970, as `date` gives them.
pub(super) fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Seconds since 1970 of a time as `date` reads it.
pub(super) fn since_1970(time: &str) -> Result<f64> {
    let mut date = Command::new("date");
    date.args(["+%s.%N", "-d", time]);
    Ok(crate::shell::output(&mut date)?.trim().parse()?)
}

/// Memory of a process, in MiB.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Memory {
    /// Resident now: `VmRSS`.
    pub(super) resident: f64,
    /// Most so far: `VmHWM`.
    pub(super) peak: f64,
}

/// Waits for a process, looking at its memory, and at `until`, which may end the wait.
///
/// Returns the last memory seen, and how the process ended if it did.
///
/// # Errors
/// If it takes longer than any measurement may; the process is killed then.
pub(super) fn watch(
    child: &mut Child,
    mut until: impl FnMut(Duration) -> bool,
) -> Result<(Memory, Option<ExitStatus>)> {
    let began = Instant::now();
    let mut last = Memory::default();
    loop {
        if let Some(memory) = memory(child.id()) {
            last = memory;
        }
        if let Some(status) = child.try_wait()? {
            return Ok((last, Some(status)));
        }
        if until(began.elapsed()) {
            return Ok((last, None));
        }
        if began.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            bail!("a process was killed after {} s", DEADLINE.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// None for a process that has ended.
fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mebibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes / 1024.0)
    };
    Some(Memory {
        resident: mebibytes("VmRSS:")?,
        peak: mebibytes("VmHWM:")?,
    })
}

/// The middle one of `values`, the upper of two.
pub(super) fn median(values: &[f64]) -> Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).unwrap().to_bits(), 2.0_f64.to_bits());
        assert!(median(&[]).is_err());
    }

    #[test]
    fn a_process_that_runs_has_memory_and_its_end_is_seen() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (memory, status) = watch(&mut child, |_| true).unwrap();
        assert!(memory.peak > 0.0 && status.is_none(), "{memory:?}, {status:?}");
        drop(child.stdin.take());
        let (_, status) = watch(&mut child, |_| false).unwrap();
        assert!(status.is_some());
    }
}
