//! From the status of a job to that of its trial, while it has not ended; total.
//!
//! What an end means is in `verdict.rs`.

/// What the service says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It waits; the words say for what.
    Waiting(&'static str),
    /// It runs, or its outputs are being collected.
    Running,
    /// It has ended.
    Ended,
    /// Nothing new: a job that is being canceled is as it was.
    Same,
    /// It may run: its node is not heard of.
    Silent,
    /// Nothing that we understand.
    Strange,
}

/// Source of the statuses: azure-rest-api-specs, `stable/2024-10-01/mfe.json`, `JobStatus`.
pub(crate) fn standing(status: &str) -> Standing {
    match status {
        "NotStarted" | "Starting" => Standing::Waiting("the service has taken the job and prepares it"),
        "Provisioning" => Standing::Waiting("nodes of the compute target are being provided"),
        "Preparing" => Standing::Waiting("the image is being made ready"),
        "Queued" => Standing::Waiting("in the queue of the compute target"),
        "Paused" => Standing::Waiting("the job is paused"),
        "Running" | "Finalizing" => Standing::Running,
        "Completed" | "Failed" | "Canceled" => Standing::Ended,
        "CancelRequested" => Standing::Same,
        "NotResponding" => Standing::Silent,
        _ => Standing::Strange,
    }
}

/// Whether a job with this status waits for a node.
pub(crate) fn needs_node(status: &str) -> bool {
    matches!(status, "NotStarted" | "Starting" | "Provisioning" | "Queued")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_standing() {
        for status in [
            "NotStarted",
            "Starting",
            "Provisioning",
            "Preparing",
            "Queued",
            "Paused",
        ] {
            assert!(matches!(standing(status), Standing::Waiting(_)), "{status}");
        }
        for (status, expected) in [
            ("Running", Standing::Running),
            ("Finalizing", Standing::Running),
            ("CancelRequested", Standing::Same),
            ("NotResponding", Standing::Silent),
            ("Unknown", Standing::Strange),
            ("SomethingNew", Standing::Strange),
            ("Completed", Standing::Ended),
            ("Failed", Standing::Ended),
            ("Canceled", Standing::Ended),
        ] {
            assert_eq!(standing(status), expected, "{status}");
        }
    }
}
