//! Plain jobs keep the promises of a training service, with real processes and code that came over the API server.
//!
//! The suite's cases of recovery are not among these yet: a trial that ended while nobody looked may lose its metrics.

use crate::world::World;

ts_testkit::conformance! { @cases World;
    lifecycle::a_trial_waits_runs_and_succeeds_in_this_order
    lifecycle::a_failed_trial_says_whose_fault_it_was
    lifecycle::submitting_twice_makes_one_job
    lifecycle::parameters_reach_the_trial_byte_for_byte
    lifecycle::next_parameters_reach_a_running_trial_or_are_refused
    metrics::metrics_arrive_in_order_with_growing_cursors
    metrics::metrics_arrive_byte_for_byte
    metrics::logs_come_on_request_or_are_refused
    watching::two_watchers_see_the_same
    watching::synced_comes_once_and_after_the_live_trials
    canceling::a_running_trial_ends_with_the_status_of_the_reason
    canceling::a_waiting_trial_ends_without_having_run
    canceling::canceling_twice_is_canceling_once
    housekeeping::validate_and_render_leave_no_trace
    housekeeping::render_is_pure_and_shows_no_secret
    housekeeping::bad_input_is_an_error_and_no_panic
    housekeeping::cleanup_of_the_experiment_leaves_nothing_and_may_be_repeated
}
