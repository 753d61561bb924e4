//! Ids that anybody can work out again: those of a trial's trace follow from the ids of experiment and trial, those of a span from its
//! trace, name and start. So a manager that takes up an experiment goes on with the traces that another began.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use sha2::{Digest, Sha256};
use ts_core::{ExperimentId, Timestamp, TrialId};

/// The trace of a trial.
pub(super) fn of_trial(experiment: &ExperimentId, trial: &TrialId) -> TraceId {
    trace(&format!("trace/{experiment}/{trial}"))
}

/// The trace of an experiment itself.
pub(super) fn of_experiment(experiment: &ExperimentId) -> TraceId {
    trace(&format!("trace/{experiment}"))
}

/// A span of which its trace has only one.
pub(super) fn only(trace: TraceId, name: &str) -> SpanId {
    span(&format!("span/{trace}/{name}"))
}

/// A span of which its trace may have several, told apart by their starts, and by a number where several may start at a time.
pub(super) fn begun(trace: TraceId, name: &str, start: Timestamp, number: u32) -> SpanId {
    span(&format!("span/{trace}/{name}/{}/{number}", start.0))
}

/// The context of a span.
pub(super) fn context(trace: TraceId, span: SpanId, is_sampled: bool) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(is_sampled);
    SpanContext::new(trace, span, flags, false, TraceState::NONE)
}

/// A span's context in the form of the header `traceparent`.
///
/// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>, version 00.
pub(super) fn traceparent(context: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags().to_u8()
    )
}

fn trace(text: &str) -> TraceId {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let (head, _) = digest.split_first_chunk().expect("32 bytes hold 16");
    TraceId::from_bytes(*head)
}

fn span(text: &str) -> SpanId {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let (head, _) = digest.split_first_chunk().expect("32 bytes hold 8");
    SpanId::from_bytes(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_documentation_says() {
        let (experiment, trial) = (ExperimentId::new("exp1").unwrap(), TrialId::new("Ab1cd").unwrap());
        let trace = of_trial(&experiment, &trial);
        // printf trace/exp1/Ab1cd | sha256sum
        assert_eq!(trace.to_string(), "a34e9aa388cbbb9a04eedd89291cf8b9");
        assert_eq!(only(trace, "trial").to_string(), "ab448ecb1eb4b154");
        assert_ne!(of_experiment(&experiment), trace);
        let submit = |at| begun(trace, "submit", Timestamp(at), 0);
        assert_ne!(submit(1), submit(2));
        let context = context(trace, only(trace, "trial"), true);
        assert_eq!(
            traceparent(&context),
            "00-a34e9aa388cbbb9a04eedd89291cf8b9-ab448ecb1eb4b154-01"
        );
    }
}
