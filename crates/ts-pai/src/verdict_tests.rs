//! Every row of OpenPAI's exit codes, and what counts more.

use super::*;
use ts_core::{Verdict, launch::parse_state};

fn job(state: JobState, code: i32) -> JobStatus {
    JobStatus {
        state,
        app_exit_code: Some(code),
        ..JobStatus::default()
    }
}

fn begun() -> Traces {
    Traces {
        begin: Begin::Taken,
        ..Traces::default()
    }
}

fn exited(code: i32) -> Traces {
    let exit = parse_state(&format!("{code} 5\n")).expect("a state");
    Traces {
        exit: Some((exit, Timestamp(5))),
        ..begun()
    }
}

fn why(end: &End) -> ReasonCode {
    end.why.as_ref().expect("a reason").code
}

#[test]
fn each_code_has_its_verdict() {
    use ReasonCode as R;
    use Verdict as V;
    let rows: [(&[i32], R, V); 9] = [
        (
            &[
                -100, -101, -110, -111, -120, -1000, -1001, -1002, -1003, -1006, -1300, -1205,
            ],
            R::Preempted,
            V::Platform,
        ),
        (&[130, 131, 137, 143, 223, 250, 253], R::Preempted, V::Platform),
        (&[-210, -220, -230], R::Preempted, V::Platform),
        (&[-1200, 221], R::OutOfMemory, V::Memory),
        (&[226], R::GpuOutOfMemory, V::Memory),
        (
            &[-200, -1005, -1100, 254, -1202, -1203],
            R::StartRefused,
            V::Configuration,
        ),
        (
            &[
                132, 135, 136, 141, 220, 222, 224, 225, 228, 229, 230, 231, 232, 233, 234, 235,
            ],
            R::ExitCode,
            V::UserCode,
        ),
        (
            &[251, -300, -310, -1201, -1204, -8000, 249, 252, 128, 256],
            R::StartFailed,
            V::Platform,
        ),
        (&[-1004], R::TimeLimit, V::Canceled),
    ];
    for (codes, reason, verdict) in rows {
        for code in codes {
            let end = of_job(&job(JobState::Failed, *code), &begun(), None, Timestamp(9));
            assert_eq!(
                (why(&end), why(&end).verdict()),
                (reason, Some(verdict)),
                "{code}: {end:?}"
            );
            assert!(end.status.is_terminal() && end.status != TrialStatus::Succeeded);
            let message = end.why.expect("a reason").message;
            assert!(message.contains(&code.to_string()), "{message}");
        }
    }
    // Those that only the command knows are judged as everywhere.
    for (code, reason) in [
        (1, R::ExitCode),
        (126, R::NotExecutable),
        (127, R::CommandNotFound),
        (139, R::Signal),
        (255, R::ExitCode),
    ] {
        let end = of_job(&job(JobState::Failed, code), &begun(), None, Timestamp(9));
        assert_eq!(why(&end), reason, "{code}");
    }
}

#[test]
fn the_trials_own_code_counts_more_than_the_runtimes() {
    let end = of_job(&job(JobState::Failed, 220), &exited(3), None, Timestamp(9));
    assert_eq!((end.status, end.at), (TrialStatus::Failed, Timestamp(5)));
    assert!(end.why.expect("a reason").message.contains("exit code 3"));
    let end = of_job(&job(JobState::Succeeded, 0), &exited(0), None, Timestamp(9));
    assert_eq!((end.status, end.why), (TrialStatus::Succeeded, None));
}

#[test]
fn a_wish_to_end_counts_unless_the_trial_succeeded_first() {
    let wish = Some(CancelReason::EarlyStop);
    for (state, left, expected) in [
        (JobState::Stopped, begun(), TrialStatus::EarlyStopped),
        (JobState::Failed, exited(143), TrialStatus::EarlyStopped),
        (JobState::Succeeded, exited(0), TrialStatus::Succeeded),
        (
            JobState::Succeeded,
            Traces {
                was_ended: true,
                ..exited(0)
            },
            TrialStatus::EarlyStopped,
        ),
    ] {
        assert_eq!(
            of_job(&job(state, -210), &left, wish, Timestamp(9)).status,
            expected,
            "{state:?}"
        );
    }
    let end = of_job(&job(JobState::Stopped, -210), &begun(), None, Timestamp(9));
    assert_eq!(
        (end.status, why(&end)),
        (TrialStatus::SysCanceled, ReasonCode::Preempted)
    );
}

#[test]
fn what_the_server_says_of_a_code_counts() {
    let mut failed = job(JobState::Failed, 99);
    failed.app_exit_spec = Some(ExitSpec {
        phrase: "SomethingNew".into(),
        kind: PLATFORM.into(),
        behavior: "TRANSIENT_NORMAL".into(),
        reason: Some("The node was tired.".into()),
        ..ExitSpec::default()
    });
    failed.app_exit_diagnostics = Some("Pod failed: \n more".into());
    let end = of_job(&failed, &begun(), None, Timestamp(9));
    let why = end.why.expect("a reason");
    assert_eq!(end.status, TrialStatus::SysCanceled);
    assert_eq!(
        why.message,
        "SomethingNew (exit code 99): The node was tired.: Pod failed:"
    );
}

#[test]
fn a_job_that_is_gone_ended_as_its_trial_says() {
    assert_eq!(vanished(&exited(0), None, Timestamp(9)).status, TrialStatus::Succeeded);
    assert_eq!(why(&vanished(&exited(3), None, Timestamp(9))), ReasonCode::ExitCode);
    assert_eq!(why(&vanished(&begun(), None, Timestamp(9))), ReasonCode::Lost);
    let end = vanished(&begun(), Some(CancelReason::User), Timestamp(9));
    assert_eq!(end.status, TrialStatus::UserCanceled);
}
