//! The end of a trial: from what the service says of its job and what the trial has left on the datastore.
//!
//! The job's end decides that it is over; the trial's own exit code, where it left one, decides how, for the service tells no codes.

use crate::files::Traces;
use ts_core::{
    CancelReason, Reason, ReasonCode, Timestamp, TrialStatus,
    follow::{End, of_canceled, of_exit, of_lost},
};

/// The end of a trial whose job has this terminal status; `told`: code and words of run history.
pub(crate) fn of_job(
    status: &str,
    left: &Traces,
    told: Option<&(String, String)>,
    cancel: Option<CancelReason>,
    now: Timestamp,
) -> End {
    let at = left.exit.map_or(now, |(_, at)| at);
    let has_succeeded = status == "Completed";
    if let Some(why) = cancel
        && !has_succeeded
    {
        return of_canceled(why, &[], at);
    }
    if has_succeeded {
        return of_exit(0, "", at);
    }
    if left.was_repeated {
        let message = "the platform took the node of the trial away and began the job again; a trial is not begun twice, for it \
                       would report twice";
        return platform(ReasonCode::Preempted, message.to_owned(), at);
    }
    match left.exit {
        Some((exit, at)) if exit.code != 0 => return of_exit(exit.code, &left.tail, at),
        _ => {}
    }
    if status == "Canceled" {
        let message = "the job was canceled in Azure ML, not by us";
        return unblocked(
            platform(ReasonCode::Preempted, message.to_owned(), at),
            "look for whoever canceled it: a user, an administrator, a limit of the workspace; then retry the trial",
        );
    }
    if let Some(failure) = &left.failure {
        let message = format!("the trial could not be begun in its container: {failure}");
        return unblocked(
            failed(ReasonCode::StartFailed, message, at),
            "look at the storage account: whether the compute target may write to it",
        );
    }
    of_words(told, at)
}

/// The end of a trial whose job the service does not know any more.
pub(crate) fn vanished(left: &Traces, cancel: Option<CancelReason>, now: Timestamp) -> End {
    if let Some((exit, at)) = left.exit {
        return match cancel {
            Some(why) if exit.code != 0 => of_canceled(why, &[], at),
            _ => of_exit(exit.code, &left.tail, at),
        };
    }
    if let Some(why) = cancel {
        return of_canceled(why, &[], now);
    }
    of_lost(
        "the workspace does not know the trial's job any more, and it left no exit code",
        "look for whoever removed it; then retry the trial",
        now,
    )
}

/// The end of a trial whose worker is gone.
pub(crate) fn of_lost_worker(why: &str, left: &Traces, cancel: Option<CancelReason>, now: Timestamp) -> End {
    if let Some((exit, at)) = left.exit {
        return match cancel {
            Some(why) if exit.code != 0 => of_canceled(why, &[], at),
            _ => of_exit(exit.code, &left.tail, at),
        };
    }
    match cancel {
        Some(why) => of_canceled(why, &[], now),
        None => platform(ReasonCode::Lost, why.to_owned(), now),
    }
}

/// What run history says of a job that left nothing else.
fn of_words(told: Option<&(String, String)>, at: Timestamp) -> End {
    let Some((code, text)) = told else {
        return failed(
            ReasonCode::Lost,
            "the job failed, and Azure ML says not why".to_owned(),
            at,
        );
    };
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = format!("{code}: {}", words.chars().take(500).collect::<String>());
    if code == "UserError" {
        let end = failed(ReasonCode::StartFailed, message, at);
        return unblocked(end, "correct what the message names: the image, most often");
    }
    platform(ReasonCode::Lost, message, at)
}

fn failed(code: ReasonCode, message: String, at: Timestamp) -> End {
    End {
        status: TrialStatus::Failed,
        at,
        why: Some(Reason::new(code, message, at)),
    }
}

fn platform(code: ReasonCode, message: String, at: Timestamp) -> End {
    let end = End {
        status: TrialStatus::SysCanceled,
        ..failed(code, message, at)
    };
    unblocked(end, "retry the trial when there is room again")
}

fn unblocked(mut end: End, what: &str) -> End {
    end.why = end.why.map(|why| why.unblocked_by(what));
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use ts_core::launch::parse_state;

    fn left(state: &str) -> Traces {
        Traces {
            exit: parse_state(state).map(|exit| (exit, Timestamp(5))),
            ..Traces::default()
        }
    }

    #[test]
    fn every_end_has_its_verdict() {
        let told = |code: &str| Some((code.to_owned(), "no such image".to_owned()));
        let again = Traces {
            was_repeated: true,
            ..left("")
        };
        let unwritable = Traces {
            failure: Some("full".to_owned()),
            ..left("")
        };
        let user = Some(CancelReason::User);
        let rows = [
            ("Completed", left("0 5\n"), None, None, TrialStatus::Succeeded, None),
            ("Completed", left("0 5\n"), None, user, TrialStatus::Succeeded, None),
            (
                "Failed",
                left("3 5\n"),
                None,
                None,
                TrialStatus::Failed,
                Some(ReasonCode::ExitCode),
            ),
            (
                "Failed",
                again,
                None,
                None,
                TrialStatus::SysCanceled,
                Some(ReasonCode::Preempted),
            ),
            (
                "Failed",
                unwritable,
                None,
                None,
                TrialStatus::Failed,
                Some(ReasonCode::StartFailed),
            ),
            (
                "Failed",
                left(""),
                told("UserError"),
                None,
                TrialStatus::Failed,
                Some(ReasonCode::StartFailed),
            ),
            (
                "Failed",
                left(""),
                told("ServiceError"),
                None,
                TrialStatus::SysCanceled,
                Some(ReasonCode::Lost),
            ),
            (
                "Failed",
                left(""),
                None,
                None,
                TrialStatus::Failed,
                Some(ReasonCode::Lost),
            ),
            (
                "Failed",
                left("3 5\n"),
                None,
                user,
                TrialStatus::UserCanceled,
                Some(ReasonCode::Canceled),
            ),
            (
                "Canceled",
                left(""),
                None,
                user,
                TrialStatus::UserCanceled,
                Some(ReasonCode::Canceled),
            ),
            (
                "Canceled",
                left(""),
                None,
                Some(CancelReason::EarlyStop),
                TrialStatus::EarlyStopped,
                Some(ReasonCode::EarlyStopped),
            ),
            (
                "Canceled",
                left(""),
                None,
                None,
                TrialStatus::SysCanceled,
                Some(ReasonCode::Preempted),
            ),
        ];
        for (status, left, told, cancel, expected, code) in rows {
            let end = of_job(status, &left, told.as_ref(), cancel, Timestamp(9));
            assert_eq!(end.status, expected, "{status} {left:?} {told:?}");
            assert_eq!(end.why.map(|why| why.code), code, "{status} {left:?} {told:?}");
        }
    }
}
