//! What a worker tells of the GPUs of its node: how it asks the driver, and how its report is read.
//!
//! What the driver's answers mean is `ts_core::gpu`'s business, and which trial gets which GPU is that of `placing`.

use std::fmt::Write as _;
use ts_core::{
    gpu::{
        GpuInventory, Refusal,
        nvidia_smi::{self, GpuQuery, Inspection, SmiOutput},
    },
    launch::quote,
};

/// The GPUs of a node, or why they are not known.
pub(super) type Gpus = Result<GpuInventory, Refusal>;

const FULL: &str = "full";
/// For drivers that do not know all of it.
const PLAIN: &str = "plain";
const DEVICES: &str = "devices";
const PROCESSES: &str = "processes";
/// Ends a report: what is without it is not all there yet.
const END: &str = "--ts-end--";

/// The function by which a worker asks all that a report holds.
pub(super) fn asking() -> String {
    let mut text = String::from("ts_look() {\n");
    for (name, arguments) in [
        (FULL, GpuQuery::Full.arguments()),
        (PLAIN, GpuQuery::WithoutMig.arguments()),
        (DEVICES, nvidia_smi::DEVICES),
        (PROCESSES, nvidia_smi::PROCESSES),
    ] {
        let _ = write!(text, "    ts_ask {name}");
        for argument in arguments {
            let _ = write!(text, " {}", quote(argument));
        }
        text.push('\n');
    }
    text.push_str("}\n");
    text
}

/// Reads a report; `None` if it is not whole.
pub(super) fn read(report: &str) -> Option<Gpus> {
    let (report, _) = report.rsplit_once(END)?;
    if report.trim().is_empty() {
        return Some(Inspection::not_installed().into_inventory());
    }
    Some(inventory(report))
}

fn inventory(report: &str) -> Gpus {
    let mut query = GpuQuery::Full;
    let mut answer = answer(report, FULL);
    if let Some(simpler) = query.fallback(&answer) {
        (query, answer) = (simpler, self::answer(report, PLAIN));
    }
    let mut gpus = query.parse(&answer).into_inventory()?;
    if gpus.gpus().is_empty() {
        return Ok(gpus);
    }
    if gpus.lacks_mig_devices() {
        nvidia_smi::add_mig_devices(&mut gpus, &self::answer(report, DEVICES)).map_err(|e| e.refusal())?;
    }
    nvidia_smi::add_processes(&mut gpus, &self::answer(report, PROCESSES)).map_err(|e| e.refusal())?;
    Ok(gpus)
}

/// The answer to one question of a report; a failure without words if it is not in it.
fn answer<'a>(report: &'a str, name: &str) -> SmiOutput<'a> {
    let find = || {
        let (_, rest) = report.split_once(&format!("--ts-ask {name}--\n"))?;
        let rest = rest.split_once("--ts-ask ").map_or(rest, |(own, _)| own);
        let (stdout, rest) = rest.split_once("\n--ts-errors ")?;
        let (code, stderr) = rest.split_once("--\n")?;
        Some((code.parse().ok(), stdout, stderr))
    };
    let (code, stdout, stderr) = find().unwrap_or((None, "", ""));
    SmiOutput { code, stdout, stderr }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, stdout: &str, code: i32, stderr: &str) -> String {
        format!("--ts-ask {name}--\n{stdout}\n--ts-errors {code}--\n{stderr}\n")
    }

    #[test]
    fn a_report_is_read_as_the_driver_meant_it() {
        let rows = "0, GPU-a, T4, 1, 0, 0, [N/A]\n1, GPU-b, T4, 1, 0, 0, [N/A]";
        let whole = part(FULL, rows, 0, "") + &part(PROCESSES, "GPU-b, 77, 5", 0, "");
        // A shell takes the newlines off the end.
        let whole = format!("{}\n", whole.trim_end());
        let gpus = read(&format!("{whole}{END}\n")).expect("whole").expect("two GPUs");
        assert_eq!(gpus.gpus().len(), 2);
        assert_eq!(gpus.gpus()[1].processes, [77]);
        assert_eq!(read(&whole), None, "not whole");
        let old = part(FULL, "Field \"mig.mode.current\" is not a valid field to query.", 2, "")
            + &part(PLAIN, "0, GPU-a, K80, 1, 0, 0", 0, "")
            + &part(PROCESSES, "", 0, "");
        assert_eq!(
            read(&format!("{old}{END}\n"))
                .expect("whole")
                .expect("one GPU")
                .gpus()
                .len(),
            1
        );
    }

    #[test]
    fn no_driver_is_no_gpu_and_a_failing_one_says_why() {
        assert_eq!(read(&format!("{END}\n")), Some(Ok(GpuInventory::default())));
        let failing = part(
            FULL,
            "Failed to initialize NVML: Driver/library version mismatch",
            18,
            "",
        );
        let refusal = read(&format!("{failing}{END}\n"))
            .expect("whole")
            .expect_err("no answer");
        assert!(
            !refusal.permanent && refusal.message.contains("version mismatch"),
            "{refusal:?}"
        );
        // Who uses the GPUs is not told.
        let half = part(FULL, "0, GPU-a, T4, 1, 0, 0, [N/A]", 0, "");
        assert!(read(&format!("{half}{END}\n")).expect("whole").is_err());
    }

    #[test]
    fn a_worker_asks_in_words_that_no_shell_changes() {
        let text = asking();
        assert!(
            text.contains("ts_ask devices '-L'\n") && text.contains("--query-compute-apps="),
            "{text}"
        );
    }
}
