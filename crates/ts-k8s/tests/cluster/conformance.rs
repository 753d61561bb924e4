//! Every kind of job, and every storage, keeps the promises of a training service, with real processes.
//!
//! Plain jobs run the whole suite. The other kinds leave out its two cases with dozens of trials at once, in which they do not
//! differ but cost minutes; other storage runs the cases in which files matter.

/// Plain jobs without storage.
mod job {
    ts_testkit::conformance!(crate::world::World<crate::variants::Jobs>);
}

/// The cases of the suite in which kinds differ, for each in a module of its name.
macro_rules! kinds {
    ($($module:ident: $variant:ident,)*) => {
        $(mod $module {
            ts_testkit::conformance! { @cases crate::world::World<crate::variants::$variant>;
                lifecycle::a_trial_waits_runs_and_succeeds_in_this_order
                lifecycle::a_failed_trial_says_whose_fault_it_was
                lifecycle::submitting_twice_makes_one_job
                lifecycle::parameters_reach_the_trial_byte_for_byte
                lifecycle::next_parameters_reach_a_running_trial_or_are_refused
                metrics::metrics_arrive_in_order_with_growing_cursors
                metrics::metrics_arrive_byte_for_byte
                metrics::a_metric_just_before_the_exit_is_not_lost
                metrics::metrics_of_a_failed_trial_are_not_lost
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
        })*
    };
}

kinds! {
    tf_job: TfJobs,
    pytorch_job: PyTorchJobs,
    framework: Frameworks,
    train_job: TrainJobs,
}

/// The cases of the suite in which it matters where files are, for each storage in a module of its name.
macro_rules! storages {
    ($($module:ident: $variant:ident,)*) => {
        $(mod $module {
            ts_testkit::conformance! { @cases crate::world::World<crate::variants::$variant>;
                lifecycle::a_trial_waits_runs_and_succeeds_in_this_order
                lifecycle::a_failed_trial_says_whose_fault_it_was
                lifecycle::parameters_reach_the_trial_byte_for_byte
                metrics::metrics_arrive_byte_for_byte
                metrics::a_metric_just_before_the_exit_is_not_lost
                metrics::logs_come_on_request_or_are_refused
                canceling::a_running_trial_ends_with_the_status_of_the_reason
                canceling::a_stubborn_trial_is_ended_after_the_grace
                recovery::running_trials_are_adopted_and_lose_nothing
                recovery::trials_that_ended_meanwhile_are_reported
                housekeeping::validate_and_render_leave_no_trace
                housekeeping::preparing_twice_changes_nothing
                housekeeping::cleanup_of_trials_spares_the_others
                housekeeping::cleanup_of_the_experiment_leaves_nothing_and_may_be_repeated
            }
        })*
    };
}

storages! {
    job_on_claim: JobsOnClaim,
    job_on_nfs: JobsOnNfs,
    framework_on_nfs: FrameworksOnNfs,
}
