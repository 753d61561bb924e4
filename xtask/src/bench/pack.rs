//! Packing a code directory at the limits of NNI: `tsctl code pack` beside `tar | zstd -1 -T2`.

use super::{
    Bench,
    experiment::fresh,
    measure,
    table::{Row, at_most},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

const FOLDERS: usize = 30;
const FILES: usize = 1_950;
const BYTES: usize = 300_000_000;
const ROUNDS: usize = 3;
/// How much longer than the other we may take.
const TARGET: f64 = 1.1;

/// Alternates between both. The files are in the page cache for both; the archives go to the same disk.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let root = bench.work.join("pack");
    fresh(&root)?;
    let bytes = if bench.quick { BYTES / 10 } else { BYTES };
    write_code(&root.join("code"), bytes)?;
    let (mut ours, mut theirs, mut ratios, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
    for round in 0..ROUNDS {
        let tar = measure::seconds(|| {
            let mut pipe = Command::new("sh");
            pipe.args(["-c", "tar -cf - code | zstd -q -f -1 -T2 -o tar.zst"])
                .current_dir(&root);
            crate::shell::output(&mut pipe).map(drop)
        })?;
        let pack = measure::seconds(|| {
            let mut pack = Command::new(&bench.tsctl);
            pack.args([
                "--quiet",
                "code",
                "pack",
                "code",
                "--compression",
                "zstd",
                "--output",
                "ours.tar.zst",
            ]);
            let mut child = pack
                .current_dir(&root)
                .env("HOME", &root)
                .stdout(Stdio::null())
                .spawn()
                .context("cannot start `tsctl`")?;
            let (memory, status) = measure::watch(&mut child, |_| false)?;
            peak = peak.max(memory.peak);
            ensure!(
                status.is_some_and(|s| s.success()),
                "`tsctl code pack` ended with {status:?}"
            );
            Ok(())
        })?;
        println!("  round {}: tsctl {pack:.2} s, tar {tar:.2} s", round + 1);
        ours.push(pack);
        theirs.push(tar);
        ratios.push(pack / tar);
    }
    let size = |name: &str| fs::metadata(root.join(name)).map(|m| m.len() / 1_000_000);
    let ratio = measure::median(&ratios)?;
    Ok(vec![Row {
        what: format!("pack {FILES} files, {} MB", bytes / 1_000_000),
        ours: format!(
            "{:.2} s, {} MB, peak memory {peak:.0} MiB",
            measure::median(&ours)?,
            size("ours.tar.zst")?
        ),
        beside: format!(
            "`tar \\| zstd -1 -T2` {:.2} s, {} MB",
            measure::median(&theirs)?,
            size("tar.zst")?
        ),
        target: format!("{TARGET} × that"),
        outcome: format!("{ratio:.2} ×: {}", at_most(ratio, TARGET)),
    }])
}

/// Files of which one half is text that repeats and one half does not compress.
pub(super) fn write_code(code: &Path, bytes: usize) -> Result<()> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let text = b"learning_rate = schedule(step, warmup=500)  # the same for every trial\n";
    for n in 0..FILES {
        let folder = code.join(format!("part-{:02}", n % FOLDERS));
        fs::create_dir_all(&folder)?;
        let mut content: Vec<u8> = text.iter().copied().cycle().take(bytes / FILES / 2).collect();
        while content.len() < bytes / FILES {
            // xorshift64: the same files in every run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend(state.to_le_bytes());
        }
        content.truncate(bytes / FILES);
        fs::write(folder.join(format!("file-{n:04}.py")), content)?;
    }
    Ok(())
}
