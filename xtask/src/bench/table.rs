//! The figures as a table, with the machine they were taken on, and where the table goes in the documentation.

use anyhow::{Context, Result};
use std::{fmt::Write, fs, path::Path, thread};

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench` -->";
const END: &str = "<!-- end of figures -->";

/// A line of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// What we reach.
    pub(super) ours: String,
    /// What bounds it or does the same, in the same run.
    pub(super) beside: String,
    /// What is to be reached.
    pub(super) target: String,
    /// Whether it is reached, or by how much it is missed.
    pub(super) outcome: String,
}

/// Says whether `value` is as small as it should be.
pub(super) fn at_most(value: f64, target: f64) -> String {
    if value <= target {
        "met".to_owned()
    } else {
        format!("**missed**, {:.2} × the target", value / target)
    }
}

/// Says whether `value` is as great as it should be.
pub(super) fn at_least(value: f64, target: f64) -> String {
    if value >= target {
        "met".to_owned()
    } else {
        format!("**missed**, {:.2} of the target", value / target)
    }
}

/// Machine and table as Markdown.
pub(super) fn render(rows: &[Row]) -> Result<String> {
    let mut text = format!("Machine: {}.\n\n", machine()?);
    text += "| What | Ours | Beside it | Target | |\n| --- | --- | --- | --- | --- |\n";
    for row in rows {
        let Row {
            what,
            ours,
            beside,
            target,
            outcome,
        } = row;
        writeln!(text, "| {what} | {ours} | {beside} | {target} | {outcome} |")?;
    }
    Ok(text)
}

/// Puts the table between the markers of a page.
pub(super) fn write(page: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("cannot read `{}`", page.display()))?;
    fs::write(
        page,
        placed(&text, table).with_context(|| format!("`{}` has no markers", page.display()))?,
    )?;
    println!("written to {}", page.display());
    Ok(())
}

fn placed(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

/// The machine in words that fit anywhere: cores, processor, memory, kernel.
fn machine() -> Result<String> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field(&fs::read_to_string("/proc/cpuinfo")?, "model name");
    let memory = field(&fs::read_to_string("/proc/meminfo")?, "MemTotal").context("the kernel tells no memory")?;
    let kibibytes: f64 = memory.trim_end_matches(" kB").parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    Ok(format!(
        "{} cores ({}), {:.0} GiB of memory, Linux {kernel}",
        thread::available_parallelism()?,
        processor.as_deref().unwrap_or("processor unknown"),
        kibibytes / 1024.0 / 1024.0,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_before_it_and_nothing_else() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\nWhy.\n");
        let once = placed(&page, "new\n").unwrap();
        assert!(once.starts_with("# Title\n") && once.ends_with("\nWhy.\n"), "{once}");
        assert!(once.contains("new") && !once.contains("old"), "{once}");
        assert_eq!(placed(&once, "new\n").unwrap(), once);
        assert_eq!(placed("no markers", "new"), None);
    }

    #[test]
    fn a_miss_says_by_how_much() {
        assert_eq!(at_most(10.0, 10.0), "met");
        assert_eq!(at_most(15.0, 10.0), "**missed**, 1.50 × the target");
        assert_eq!(at_least(0.8, 0.8), "met");
        assert_eq!(at_least(0.4, 0.8), "**missed**, 0.50 of the target");
    }
}
