//! From answers of the API server, and from its silence, to [`ts_core::Error`]: one table.

use kube::core::Status;
use std::{error::Error as StdError, time::Duration};
use ts_core::{Error, ErrorKind, Retry};

/// What kube says of a kind that is not installed: the server answers in plain text.
///
/// Source: kubernetes v1.20, `apiserver/pkg/server/handler.go`; the body is that of Go's `http.NotFound`.
const NO_SUCH_KIND: &str = "404 page not found";

/// What hyper says where no connection could be made, so that no request was sent.
///
/// Source: hyper-util 0.1, `src/client/legacy/client.rs`, `Display` of `Error` of the kind `Connect`.
const NO_CONNECTION: &str = "client error (Connect)";

/// The error of a request: `what` was attempted, such as "create TFJob `a`". Causes are in its text, and so no source of it.
pub(crate) fn of_api(what: &str, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => of_status(what, &status),
        kube::Error::Auth(source) => Error::new(
            ErrorKind::Auth,
            format!(
                "no credentials for the cluster could be had to {what}: {}",
                chain(&source)
            ),
        )
        .with_help("run the plugin of your kubeconfig by hand, or log in again"),
        kube::Error::SerdeError(source) => Error::new(
            ErrorKind::Protocol,
            format!("the API server answered with something that is no Kubernetes object: cannot {what}"),
        )
        .with_help("something between here and the cluster may answer in its place: a proxy, a login page")
        .with_retry(Retry::MaybeApplied { after: None })
        .with_source(source),
        other => {
            let text = chain(&other);
            if text.contains("invalid peer certificate") || text.contains("certificate verify") {
                return Error::new(
                    ErrorKind::Auth,
                    format!("the certificate of the API server is not trusted: {text}"),
                )
                .with_help("compare `certificate-authority` of the kubeconfig with the cluster's own");
            }
            let retry = if text.contains(NO_CONNECTION) {
                Retry::NotApplied { after: None }
            } else {
                Retry::MaybeApplied { after: None }
            };
            Error::new(
                ErrorKind::Unreachable,
                format!("the API server does not answer: {text}"),
            )
            .with_help("look at the network, and whether `kubectl get pods` works here")
            .with_retry(retry)
        }
    }
}

/// The error that a `Status` tells.
pub(crate) fn of_status(what: &str, status: &Status) -> Error {
    let said = message(status);
    let after = status
        .details
        .as_ref()
        .map(|details| u64::from(details.retry_after_seconds))
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    let error = |kind, text: String| Error::new(kind, text);
    match status.code {
        401 => error(
            ErrorKind::Auth,
            format!("the cluster refused the credentials to {what}: {said}"),
        )
        .with_help("tokens and client certificates expire: renew those of your kubeconfig"),
        403 if is_quota(&said) => error(ErrorKind::NoCapacity, said)
            .with_help("wait, or raise the quota of the namespace (`kubectl describe quota`)")
            .with_retry(Retry::NotApplied {
                after: after.or(Some(Duration::from_secs(5))),
            }),
        400 | 403 if said.contains("admission webhook") => error(
            ErrorKind::Rejected,
            format!("an admission webhook of the cluster refused to {what}: {said}"),
        )
        .with_help("the webhook's own text says what it wants; ask whoever runs the cluster"),
        403 if is_admission(&said) => error(
            ErrorKind::Rejected,
            format!("the rules of the cluster do not admit it: cannot {what}: {said}"),
        )
        .with_help("the cluster's own words name the rule; what it asks of pods can be said in `podTemplate`"),
        403 => error(ErrorKind::Denied, format!("not allowed to {what}: {said}"))
            .with_help("`tsctl doctor FILE` lists the permissions that are missing"),
        404 if said.contains(NO_SUCH_KIND) => error(
            ErrorKind::NotFound,
            format!("the cluster does not know this kind of object: cannot {what}"),
        )
        .with_help("install the operator and its CRDs, or choose another platform"),
        404 => error(ErrorKind::NotFound, format!("cannot {what}: {said}")),
        // Somebody else wrote at that moment what this would have written, such as the count of a quota.
        409 if status.reason == "Conflict" => {
            error(ErrorKind::Conflict, format!("cannot {what} now: {said}")).with_retry(Retry::NotApplied { after })
        }
        409 => error(ErrorKind::Conflict, format!("cannot {what}: {said}")),
        410 => error(ErrorKind::Conflict, format!("cannot {what}: {said}")).with_retry(Retry::NotApplied { after }),
        429 => error(
            ErrorKind::RateLimited,
            format!("the API server asks to slow down: cannot {what} now"),
        )
        .with_retry(Retry::NotApplied { after }),
        400 | 413 | 422 => error(ErrorKind::Rejected, format!("the cluster refused to {what}: {said}")),
        500 if said.contains("etcdserver: request is too large") => error(
            ErrorKind::Rejected,
            format!("the cluster refused to {what}: the object is too large: {said}"),
        ),
        500..=599 => error(
            ErrorKind::Unreachable,
            format!("the API server failed to {what}: {said}"),
        )
        .with_retry(Retry::MaybeApplied { after }),
        code => error(
            ErrorKind::Protocol,
            format!("the API server answered with HTTP {code} to the request to {what}: {said}"),
        ),
    }
}

/// Whether it is a quota that refuses: it is used up, or was not counted yet.
///
/// Source: kubernetes v1.20, `plugin/pkg/admission/resourcequota/controller.go`, `CheckRequest`.
pub(crate) fn is_quota(said: &str) -> bool {
    said.contains("exceeded quota") || said.contains("status unknown for quota")
}

/// Whether it is admission that refuses, and not an authorizer: that says who cannot do what.
///
/// Source: kubernetes v1.20, `apiserver/pkg/endpoints/handlers/responsewriters/errors.go`, `forbiddenMessage`;
/// `apiserver/pkg/admission/errors.go`, `NewForbidden`.
fn is_admission(said: &str) -> bool {
    said.contains(" is forbidden: ") && !(said.contains("User ") && said.contains(" cannot "))
}

/// The error of an answer of which only the code is known, and what it means here.
pub(crate) fn of_code(what: &str, code: u16, meaning: &str) -> Error {
    let status = Status {
        code,
        ..Status::failure(meaning, "")
    };
    of_status(what, &status)
}

/// The server's own words; those of single fields where it gives them.
fn message(status: &Status) -> String {
    let text = status.message.trim();
    let text = if text.is_empty() { status.reason.trim() } else { text };
    text.chars().take(1000).collect()
}

/// An error with its causes, each told once.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Status {
        Status {
            code,
            ..Status::failure(message, "")
        }
    }

    #[test]
    fn every_answer_has_its_kind_and_its_advice_on_trying_again() {
        use ErrorKind as K;
        let retry = |after: Option<u64>| Retry::NotApplied {
            after: after.map(Duration::from_secs),
        };
        let maybe = Retry::MaybeApplied { after: None };
        let table = [
            (401, "Unauthorized", K::Auth, Retry::Never),
            (
                403,
                "pods \"a\" is forbidden: status unknown for quota: q, resources: pods",
                K::NoCapacity,
                retry(Some(5)),
            ),
            (
                403,
                "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
                K::Rejected,
                Retry::Never,
            ),
            (
                403,
                "pods is forbidden: User \"u\" cannot list",
                K::Denied,
                Retry::Never,
            ),
            (
                403,
                "jobs.batch \"a\" is forbidden: exceeded quota: q",
                K::NoCapacity,
                retry(Some(5)),
            ),
            (
                403,
                "admission webhook \"x\" denied the request: no",
                K::Rejected,
                Retry::Never,
            ),
            (
                400,
                "admission webhook \"x\" denied the request: no",
                K::Rejected,
                Retry::Never,
            ),
            (400, "bad", K::Rejected, Retry::Never),
            (404, "404 page not found\n", K::NotFound, Retry::Never),
            (404, "namespaces \"x\" not found", K::NotFound, Retry::Never),
            (409, "already exists", K::Conflict, Retry::Never),
            (410, "too old resource version", K::Conflict, retry(None)),
            (413, "too large", K::Rejected, Retry::Never),
            (422, "Job.batch \"A\" is invalid", K::Rejected, Retry::Never),
            (429, "slow", K::RateLimited, retry(None)),
            (500, "failed calling webhook", K::Unreachable, maybe),
            (500, "etcdserver: request is too large", K::Rejected, Retry::Never),
            (503, "", K::Unreachable, maybe),
            (504, "", K::Unreachable, maybe),
            (302, "", K::Protocol, Retry::Never),
        ];
        for (code, said, kind, advice) in table {
            let error = of_status("create a job", &status(code, said));
            assert_eq!((error.kind(), error.retry()), (kind, advice), "{code} {said}");
        }
    }

    #[test]
    fn whoever_came_second_may_come_again() {
        let second = Status {
            reason: "Conflict".to_owned(),
            ..status(
                409,
                "Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified",
            )
        };
        let error = of_status("create a job", &second);
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Conflict, Retry::NotApplied { after: None })
        );
    }

    #[test]
    fn every_code_has_an_error() {
        for code in 0..=999 {
            let error = of_status("look", &status(code, "x"));
            assert!(!error.message().is_empty());
        }
    }
}
