//! Whether an attempt is followed by another, and when the tasks of an attempt end it.
//!
//! Source: microsoft/frameworkcontroller, `pkg/apis/frameworkcontroller/v1/funcs.go`, `ShouldRetry`, and
//! `pkg/controller/controller.go`, `attemptToCompleteFrameworkAttempt`.

use super::{
    completion::{FRAMEWORK_ATTEMPT_COMPLETION, POD_CREATION_PERMANENT_ERROR, STOP_FRAMEWORK_REQUESTED, SUCCEEDED},
    types::{Completion, FrameworkCompletion, FrameworkStatus, RetryPolicyStatus, Trigger},
};
use crate::operators::value::{flag, list, number, random_number, text};
use serde_json::Value;

/// A further attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retry {
    /// Whether it counts towards the limit.
    pub(super) accountable: bool,
    /// Seconds to wait.
    pub(super) delay: i64,
}

/// Whether another attempt follows one that ended like this, by a `retryPolicy`. `conflict_delay` is how long to wait, in
/// seconds and at least and at most, after a conflict over resources.
pub(super) fn retry(
    policy: &Value,
    so_far: &RetryPolicyStatus,
    completion: &Completion,
    conflict_delay: (i64, i64),
) -> Option<Retry> {
    let final_codes = [
        POD_CREATION_PERMANENT_ERROR,
        STOP_FRAMEWORK_REQUESTED,
        FRAMEWORK_ATTEMPT_COMPLETION,
    ];
    if final_codes.contains(&completion.code) {
        return None;
    }
    if flag(policy, "/fancyRetryPolicy") && completion.failed() {
        if completion.is("Transient") {
            let (least, most) = if completion.is("Conflict") {
                conflict_delay
            } else {
                (0, 0)
            };
            let span = u64::try_from(most - least).unwrap_or_default() + 1;
            let delay = least + i64::try_from(random_number() % span).unwrap_or_default();
            return Some(Retry {
                accountable: false,
                delay,
            });
        }
        if completion.is("Permanent") {
            return None;
        }
    }
    let limit = number(policy, "/maxRetryCount").unwrap_or(0);
    let again = match limit {
        -2 => true,
        -1 => completion.failed(),
        limit => completion.failed() && so_far.accountable_retried_count < limit,
    };
    again.then_some(Retry {
        accountable: true,
        delay: 0,
    })
}

/// Whether the task at these positions, which has just ended, ends the attempt of its Framework.
pub(super) fn completion(
    spec: &Value,
    status: &FrameworkStatus,
    role: usize,
    task: usize,
) -> Option<FrameworkCompletion> {
    let role_status = &status.attempt_status.task_role_statuses[role];
    let task_status = &role_status.task_statuses[task];
    let role_spec = list(spec, "/taskRoles")
        .iter()
        .find(|found| text(found, "/name") == role_status.name)?;
    let limit = |key: &str| number(role_spec, &format!("/frameworkAttemptCompletionPolicy/{key}")).unwrap_or(0);
    let trigger = |message: String| {
        let task_role_name = role_status.name.clone();
        Some(Trigger {
            message,
            task_role_name,
            task_index: task_status.index,
        })
    };
    let summary = &task_status.attempt_status.completion_status.as_ref()?.summary;
    let failed = role_status.task_statuses.iter().filter(|task| task.failed()).count();
    let succeeded = role_status.task_statuses.iter().filter(|task| task.succeeded()).count();
    let reached = |count: usize, limit: i64| limit >= 1 && i64::try_from(count).is_ok_and(|count| count >= limit);
    let (least_failed, least_succeeded) = (limit("minFailedTaskCount"), limit("minSucceededTaskCount"));
    if task_status.failed() && reached(failed, least_failed) {
        let message = format!("FailedTaskCount {failed} has reached MinFailedTaskCount {least_failed} in the TaskRole");
        return Some(FrameworkCompletion {
            summary: summary.clone(),
            trigger: trigger(message),
        });
    }
    if task_status.succeeded() && reached(succeeded, least_succeeded) {
        let message = format!(
            "SucceededTaskCount {succeeded} has reached MinSucceededTaskCount {least_succeeded} in the TaskRole"
        );
        let summary = Completion::new(SUCCEEDED, summary.diagnostics.clone());
        return Some(FrameworkCompletion {
            summary,
            trigger: trigger(message),
        });
    }
    let all = status.tasks().count();
    let done = status.tasks().filter(|task| task.succeeded() || task.failed()).count();
    if done < all {
        return None;
    }
    let failed = status.tasks().filter(|task| task.failed()).count();
    let message = format!(
        "All Tasks are completed and no user specified conditions in FrameworkAttemptCompletionPolicy have ever been triggered: \
         TotalTaskCount: {all}, FailedTaskCount: {failed}"
    );
    Some(FrameworkCompletion {
        summary: Completion::new(SUCCEEDED, message.clone()),
        trigger: trigger(message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn retries() {
        let count = |limit: i64| json!({ "maxRetryCount": limit });
        let fancy = |limit: i64| json!({ "maxRetryCount": limit, "fancyRetryPolicy": true });
        let counted = Some(Retry {
            accountable: true,
            delay: 0,
        });
        let free = Some(Retry {
            accountable: false,
            delay: 0,
        });
        for (policy, code, so_far, expected) in [
            (json!({}), 1, 0, None),
            (count(0), 1, 0, None),
            (count(1), 1, 0, counted.clone()),
            (count(1), 1, 1, None),
            (count(1), 0, 0, None),
            (count(-1), 1, 99, counted.clone()),
            (count(-1), 0, 0, None),
            (count(-2), 0, 99, counted.clone()),
            (count(-2), 1, 99, counted.clone()),
            (count(-2), STOP_FRAMEWORK_REQUESTED, 0, None),
            (count(-2), FRAMEWORK_ATTEMPT_COMPLETION, 0, None),
            (count(-2), POD_CREATION_PERMANENT_ERROR, 0, None),
            (fancy(0), 200, 0, free.clone()),
            (fancy(0), -101, 9, free.clone()),
            (fancy(-2), 210, 0, None),
            (fancy(0), 1, 0, None),
            (fancy(1), 1, 0, counted.clone()),
        ] {
            let so_far = RetryPolicyStatus {
                accountable_retried_count: so_far,
                ..RetryPolicyStatus::default()
            };
            assert_eq!(
                retry(&policy, &so_far, &Completion::new(code, ""), (60, 900)),
                expected,
                "{policy} {code}"
            );
        }
        let conflict = retry(
            &fancy(0),
            &RetryPolicyStatus::default(),
            &Completion::new(201, ""),
            (60, 900),
        )
        .unwrap();
        assert!((60..=900).contains(&conflict.delay), "{conflict:?}");
    }
}
