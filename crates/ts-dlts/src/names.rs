//! Names of jobs, made from the ids and leading back to them, and the ids that jobs are sent with.
//!
//! Source of the form: nni v1.9, `training_service/dlts/dltsTrainingService.ts`.

pub(crate) use ts_core::follow::{trial_job as job, trial_job_prefix as prefix, trial_of_job as trial_of};

/// A new id for a job: a random UUID (version 4), as the cluster mints them itself for jobs that come without.
///
/// Source: microsoft/DLWorkspace, `src/utils/JobRestAPIUtils.py`, `SubmitJob`.
pub(crate) fn new_job_id() -> String {
    let bits: u128 = rand::random();
    let hex = format!(
        "{:032x}",
        bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    );
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_job_is_a_random_uuid() {
        let (one, other) = (new_job_id(), new_job_id());
        assert_ne!(one, other);
        for id in [one, other] {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()), "{id}");
            assert!(
                id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]),
                "{id}"
            );
        }
    }
}
