//! What a cable is like: how fast it is and how much it loses. Pulling it out is `machine`'s.

use super::machine::Machine;
use crate::{
    e2e::packages::{self, Lacking, Program},
    shell,
};
use anyhow::{Context, Error, Result};
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

const PROGRAMS: &[Program] = &[("tc", "iproute2"), ("nft", "nftables")];

/// Bytes that wait for their turn on a slow cable; what comes on top of them is lost.
const QUEUE: &str = "24kb";

/// A cable that was made bad, both ways.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Machine);

impl<'a> Line<'a> {
    /// Has everything to and from the machine go at this rate, such as `3mbit`; a full queue loses packets.
    ///
    /// # Errors
    /// [`Lacking`] if the kernel cannot do it.
    pub(super) fn slow(machine: &'a Machine, rate: &str) -> Result<Self> {
        packages::provide(PROGRAMS)?;
        for (namespace, end) in machine.ends() {
            let mut tc = tc(namespace);
            tc.args(["qdisc", "replace", "dev", end, "root", "tbf", "rate", rate])
                .args(["burst", "8kb", "limit", QUEUE]);
            shell::output(&mut tc).map_err(|e| lacking("slow a link down (`tbf`)", &e))?;
        }
        Ok(Self(machine))
    }

    /// Has this part of all packets be lost, as chance will have it.
    ///
    /// # Errors
    /// [`Lacking`] if the kernel cannot do it.
    pub(super) fn lose(&self, percent: u8) -> Result<()> {
        let end = self.0.far_end();
        let chain = |hook: &str| {
            format!(
                "chain {hook} {{\ntype filter hook {hook} device {end} priority 0;\n\
                 numgen random mod 100 < {percent} counter drop\n}}\n"
            )
        };
        let rules = format!("table netdev lossy {{\n{}{}}}\n", chain("ingress"), chain("egress"));
        let mut nft = self
            .nft(&["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = nft.stdin.take() {
            stdin.write_all(rules.as_bytes())?;
        }
        let ended = nft.wait_with_output()?;
        if ended.status.success() {
            return Ok(());
        }
        let said = anyhow::anyhow!("{}", String::from_utf8_lossy(&ended.stderr).trim());
        Err(lacking("lose packets at random (`nft`, `numgen`)", &said))
    }

    /// Makes it fast again; what is lost at random goes on being lost.
    pub(super) fn fast_again(self) -> Result<()> {
        for (namespace, end) in self.0.ends() {
            shell::output(tc(namespace).args(["qdisc", "delete", "dev", end, "root"]))?;
        }
        Ok(())
    }

    /// Packets that were lost so far, by full queues and by chance.
    pub(super) fn n_lost(&self) -> Result<(u64, u64)> {
        let mut full = 0;
        for (namespace, end) in self.0.ends() {
            let text = shell::output(tc(namespace).args(["-s", "qdisc", "show", "dev", end]))?;
            // Such as `Sent 0 bytes 0 pkt (dropped 0, overlimits 0 requeues 0)`.
            full += sum_after(&text, "(dropped ").context("`tc` tells no drops")?;
        }
        let text = shell::output(&mut self.nft(&["list", "ruleset"]))?;
        // Such as `counter packets 0 bytes 0 drop`.
        Ok((full, sum_after(&text, "counter packets ").unwrap_or(0)))
    }

    fn nft(&self, arguments: &[&str]) -> Command {
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", self.0.namespace(), "nft"]).args(arguments);
        nft
    }
}

fn tc(namespace: Option<&str>) -> Command {
    let mut tc = Command::new("tc");
    tc.args(namespace.into_iter().flat_map(|name| ["-n", name]));
    tc
}

fn lacking(what: &str, why: &Error) -> Error {
    Error::new(Lacking(format!("this kernel cannot {what}: {why:#}")))
}

/// The sum of the numbers that follow `mark`; `None` if it is not there.
fn sum_after(text: &str, mark: &str) -> Option<u64> {
    let numbers = text.split(mark).skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    });
    numbers.reduce(|sum, number| sum + number)
}

#[cfg(test)]
mod tests {
    use super::sum_after;

    #[test]
    fn lost_packets_are_added_up() {
        let text = " Sent 9 bytes 1 pkt (dropped 12, overlimits 0 requeues 0)\n (dropped 3, overlimits 0)";
        assert_eq!(sum_after(text, "(dropped "), Some(15));
        assert_eq!(sum_after(text, "counter packets "), None);
    }
}
