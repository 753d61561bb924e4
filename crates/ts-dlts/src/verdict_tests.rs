//! Every end: the job's state, what the trial left, and who wished what.

use super::*;
use serde_json::json;
use ts_core::launch::parse_state;

const NOW: Timestamp = Timestamp(9);

fn job(state: &str) -> JobView {
    json!({"jobId": "a", "jobStatus": state, "errorMsg": "no such image\nmore"}).into()
}

fn exit(code: i32) -> Traces {
    let exit = parse_state(&format!("{code} 5\n")).unwrap();
    Traces {
        exit: Some((exit, Timestamp(5))),
        begin: Begin::Taken,
        ..Traces::default()
    }
}

fn end(state: &str, left: &Traces, cancel: Option<CancelReason>) -> (TrialStatus, Option<ReasonCode>, String) {
    let end = of_job(&job(state), left, cancel, NOW);
    let why = end.why;
    (
        end.status,
        why.as_ref().map(|why| why.code),
        why.map_or_else(String::new, |why| why.message),
    )
}

/// Status of the job, what the trial left, a request to end, and what follows.
type Row<'a> = (
    &'a str,
    &'a Traces,
    Option<CancelReason>,
    TrialStatus,
    Option<ReasonCode>,
);

#[test]
fn every_end() {
    use ReasonCode as R;
    use TrialStatus as S;
    let none = Traces::default();
    let begun = Traces {
        begin: Begin::Taken,
        ..Traces::default()
    };
    let again = Traces {
        was_repeated: true,
        ..exit(0)
    };
    let early = Some(CancelReason::EarlyStop);
    let rows: Vec<Row<'_>> = vec![
        ("finished", &none, None, S::Succeeded, None),
        ("finished", &none, early, S::Succeeded, None),
        ("failed", &none, None, S::Failed, Some(R::StartFailed)),
        ("failed", &begun, None, S::Failed, Some(R::Lost)),
        ("failed", &again, None, S::SysCanceled, Some(R::Preempted)),
        ("failed", &none, early, S::EarlyStopped, Some(R::EarlyStopped)),
        ("error", &none, None, S::Failed, Some(R::StartRefused)),
        ("killed", &none, None, S::SysCanceled, Some(R::Preempted)),
        ("killed", &none, early, S::EarlyStopped, Some(R::EarlyStopped)),
        (
            "killed",
            &begun,
            Some(CancelReason::User),
            S::UserCanceled,
            Some(R::Canceled),
        ),
    ];
    for (state, left, cancel, status, code) in rows {
        let found = end(state, left, cancel);
        assert_eq!((found.0, found.1), (status, code), "{state} {left:?} {cancel:?}");
    }
    let seven = exit(7);
    assert_eq!(end("failed", &seven, None).1, Some(R::ExitCode));
    let ended = Traces {
        was_ended: true,
        ..exit(0)
    };
    assert_eq!(end("finished", &ended, early).0, S::EarlyStopped);
}

#[test]
fn others_words_are_told() {
    let none = Traces::default();
    assert!(end("error", &none, None).2.ends_with(": no such image"));
    let left = Traces {
        tail: "sh: 0: Can't open /x/start.sh\n\n".into(),
        ..Traces::default()
    };
    assert!(end("failed", &left, None).2.contains("Can't open /x/start.sh"));
    let left = Traces {
        failure: Some("cannot write".into()),
        ..Traces::default()
    };
    assert!(end("failed", &left, None).2.ends_with("cannot write"));
}

#[test]
fn a_job_that_is_gone_has_the_end_that_its_trial_left() {
    assert_eq!(vanished(&exit(0), None, NOW).status, TrialStatus::Succeeded);
    let lost = vanished(&Traces::default(), None, NOW);
    assert_eq!(lost.why.unwrap().code, ReasonCode::Lost);
    let user = vanished(&exit(3), Some(CancelReason::User), NOW);
    assert_eq!(user.status, TrialStatus::UserCanceled);
    let user = vanished(&Traces::default(), Some(CancelReason::User), NOW);
    assert_eq!(user.status, TrialStatus::UserCanceled);
}
