//! The conformance suite: every promise of [`TrainingService`](ts_core::TrainingService) as plain async functions over a
//! [`Fixture`], and the macro that makes a test of each. What a platform cannot do is asserted as a refusal, never skipped.

mod behavior;
pub mod cases;
mod client;
mod fixture;
mod observer;
mod processes;

pub use behavior::Behavior;
pub use client::Client;
pub use fixture::{Fixture, run};
pub use observer::{DEADLINE, History, Observer};
pub use processes::{kill_marked, stamped_processes};

/// Makes one test of each case of the suite for a [`Fixture`].
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::conformance! { @cases $fixture;
            lifecycle::a_trial_waits_runs_and_succeeds_in_this_order
            lifecycle::a_failed_trial_says_whose_fault_it_was
            lifecycle::submitting_twice_makes_one_job
            lifecycle::fifty_trials_at_once_all_end_with_their_own_metrics
            lifecycle::parameters_reach_the_trial_byte_for_byte
            lifecycle::next_parameters_reach_a_running_trial_or_are_refused
            metrics::metrics_arrive_in_order_with_growing_cursors
            metrics::metrics_arrive_byte_for_byte
            metrics::a_metric_just_before_the_exit_is_not_lost
            metrics::metrics_of_a_failed_trial_are_not_lost
            metrics::many_fast_trials_lose_nothing
            metrics::logs_come_on_request_or_are_refused
            watching::two_watchers_see_the_same
            watching::a_resumed_watch_repeats_nothing_before_its_cursor
            watching::a_watch_from_zero_repeats_all_with_the_same_cursors
            watching::synced_comes_once_and_after_the_live_trials
            watching::a_dropped_watch_does_no_harm
            canceling::a_running_trial_ends_with_the_status_of_the_reason
            canceling::a_waiting_trial_ends_without_having_run
            canceling::canceling_twice_is_canceling_once
            canceling::canceling_what_ended_or_never_was_is_fine
            canceling::a_stubborn_trial_is_ended_after_the_grace
            canceling::the_whole_tree_is_dead_after_a_cancel
            canceling::metrics_before_a_cancel_are_not_lost
            recovery::running_trials_are_adopted_and_lose_nothing
            recovery::trials_that_ended_meanwhile_are_reported
            recovery::a_trial_that_was_never_submitted_is_lost
            recovery::strays_are_reported_and_left_alone
            recovery::recovering_twice_finds_the_same
            recovery::an_adopted_trial_can_be_canceled
            recovery::a_submit_dropped_anywhere_and_repeated_makes_one_job
            recovery::a_submit_dropped_by_a_crash_is_found_or_lost_never_doubled
            housekeeping::validate_and_render_leave_no_trace
            housekeeping::render_is_pure_and_shows_no_secret
            housekeeping::preparing_twice_changes_nothing
            housekeeping::refusals_match_the_capabilities
            housekeeping::bad_input_is_an_error_and_no_panic
            housekeeping::cleanup_of_trials_spares_the_others
            housekeeping::cleanup_of_the_experiment_leaves_nothing_and_may_be_repeated
        }
    };
    (@cases $fixture:ty; $($module:ident :: $case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run::<$fixture>($crate::conformance::cases::$module::$case);
            }
        )*
    };
}
