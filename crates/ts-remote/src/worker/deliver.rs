//! Brings a package to a machine: nothing if it is there, else one stream that is unpacked, compared, and put in place.

use super::{Facts, Shell};
use crate::ssh::{Output, Process};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, time::Duration};
use tokio::sync::mpsc;
use ts_codedir::{Piece, Spool};
use ts_core::{Clock, Error, ErrorKind, PROGRESS, Result, Retry, TaskScope, launch::quote};

/// Time between two words on how far a delivery is.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Fewer bytes are no news.
const WORTH_TELLING: u64 = 1_000_000;

/// Whether the package is on the machine; it stays there as long as the experiment does. One round trip.
///
/// # Errors
/// `Io`, retryable, with the machine's own words.
pub(crate) async fn is_there(shell: &Shell, digest: &str) -> Result<bool> {
    let reply = shell
        .run(format!("ts_have {}", quote(&super::set_up::package_name(digest))))
        .await?;
    match reply.status {
        0 => Ok(true),
        1 => Ok(false),
        _ => Err(failed(&reply.text())),
    }
}

/// Who is told how far a delivery is, and when.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    machine: &'a str,
    clock: &'a dyn Clock,
    told: Duration,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(machine: &'a str, clock: &'a dyn Clock) -> Self {
        Self {
            machine,
            clock,
            told: clock.monotonic(),
        }
    }

    /// `n_bytes` are sent of `total`, if that is known; it is asked only where something is told.
    fn tell(&mut self, n_bytes: u64, total: impl FnOnce() -> Option<u64>) {
        let now = self.clock.monotonic();
        if n_bytes < WORTH_TELLING || now.saturating_sub(self.told) < TELL_EVERY {
            return;
        }
        self.told = now;
        let sent = n_bytes as f64 / 1e6;
        let of = total().map_or_else(String::new, |total| format!(" of {:.1}", total as f64 / 1e6));
        tracing::info!(target: PROGRESS, "sending the code to `{}`: {sent:.1}{of} MB", self.machine);
    }
}

/// Streams the package through `process`, a fresh shell on the machine.
///
/// # Errors
/// `Io` with the machine's own words, retryable; `CodeDir` if it could not be packed.
///
/// # Cancel safety
/// Dropped, the machine keeps a folder that the next delivery removes.
pub(crate) async fn deliver(
    mut process: Process,
    shell: &Shell,
    facts: &Facts,
    spool: &Spool,
    tasks: &TaskScope,
    mut progress: Progress<'_>,
) -> Result<()> {
    let has_zstd = facts.has("zstd");
    let has_sum = facts.has("sha256sum");
    let to = facts.package_dir(spool.digest());
    let script = format!(
        "exec sh {} {} {} {}\n",
        quote(&format!("{}/receive.sh", facts.run)),
        quote(&to),
        if has_zstd { "zstd" } else { "cat" },
        if has_sum { "sha256sum" } else { "wc" },
    );
    let mut said = Said::default();
    if process.stdin.write(script.into()).await.is_err() || !said.until(&mut process, "go").await {
        return Err(failed(&said.text));
    }
    let mut pieces = spool.read(!has_zstd, tasks);
    let total = || spool.packed_bytes().filter(|_| has_zstd);
    let sent = send(&mut process, &mut pieces, &mut said, !has_zstd, |n_bytes| {
        progress.tell(n_bytes, total);
    })
    .await?;
    let Process { stdin, mut output } = process;
    drop(stdin);
    while let Some(piece) = output.recv().await {
        said.add(piece);
    }
    let (status, sum, name) = said.done().ok_or_else(|| failed(&said.text))?;
    let expected = match (has_zstd, has_sum) {
        // It has compared what it unpacked with the checksum of the frame.
        (true, _) => "zstd".to_owned(),
        (false, true) => sent.digest(),
        (false, false) => sent.n_bytes.to_string(),
    };
    if status != "0" {
        return Err(failed(&said.text));
    }
    if sum != expected {
        let error = failed("what arrived is not what was sent");
        return Err(error.with_help("look for a fault of the machine's disk or network; it is sent again"));
    }
    let (to, name) = (quote(&to), quote(&name));
    // Another machine of a shared folder, or another manager, may have been faster, even between the look and the move: then
    // ours is inside theirs.
    let place = format!(
        "if [ -d {to} ]; then rm -rf -- {name}; else mv -- {name} {to}; ts_n={name}; rm -rf -- {to}/\"${{ts_n##*/}}\"; fi\n"
    );
    shell.run(place).await?.into_result("put the code in place")
}

struct Sent {
    digest: Sha256,
    n_bytes: u64,
}

impl Sent {
    fn digest(self) -> String {
        self.digest
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

async fn send(
    process: &mut Process,
    pieces: &mut mpsc::Receiver<Result<Piece>>,
    said: &mut Said,
    wants_digest: bool,
    mut tell: impl FnMut(u64),
) -> Result<Sent> {
    let mut digest = Sha256::new();
    let mut n_bytes = 0_u64;
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            output = process.output.recv() => match output {
                Some(output) => {
                    said.add(output);
                    continue;
                }
                None => return Err(failed(&said.text)),
            },
        };
        let bytes: Bytes = match piece {
            Some(Ok(Piece::Bytes(bytes))) => bytes,
            Some(Ok(Piece::End)) => break,
            Some(Err(error)) => return Err(error),
            None => return Err(failed("the package was cut off")),
        };
        n_bytes += bytes.len() as u64;
        if wants_digest {
            digest.update(&bytes);
        }
        tell(n_bytes);
        if process.stdin.write(bytes).await.is_err() {
            // Its last words say why.
            while let Some(output) = process.output.recv().await {
                said.add(output);
            }
            return Err(failed(&said.text));
        }
    }
    Ok(Sent { digest, n_bytes })
}

/// What the machine says meanwhile, bounded.
#[derive(Debug, Default)]
struct Said {
    text: String,
}

impl Said {
    fn add(&mut self, output: Output) {
        if let Output::Stdout(bytes) | Output::Stderr(bytes) = output
            && self.text.len() < 16 * 1024
        {
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Reads until a line says `word`; `false` if the process ends before.
    async fn until(&mut self, process: &mut Process, word: &str) -> bool {
        while !self.text.lines().any(|line| line == word) {
            match process.output.recv().await {
                Some(Output::Exited { .. }) | None => return false,
                Some(output) => self.add(output),
            }
        }
        self.text.clear();
        true
    }

    fn done(&self) -> Option<(String, String, String)> {
        let line = self.text.lines().rev().find_map(|line| line.strip_prefix("done "))?;
        let mut fields = line.splitn(3, ' ').map(str::to_owned);
        Some((fields.next()?, fields.next()?, fields.next()?))
    }
}

fn failed(said: &str) -> Error {
    let words: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("done "))
        .take(5)
        .collect();
    let words = words.join("; ");
    let shown = if words.trim().is_empty() {
        "the connection ended"
    } else {
        words.trim()
    };
    let error = Error::new(ErrorKind::Io, format!("the code could not be delivered: {shown}"))
        .with_retry(Retry::NotApplied { after: None });
    if shown.contains("No space left") || shown.contains("quota") {
        error.with_help("free space on the machine; the code is sent again by itself")
    } else if shown.contains("tar: not found") || shown.contains("tar: command not found") {
        error.with_help("install `tar` on the machine")
    } else {
        error.with_help("it is sent again by itself")
    }
}
