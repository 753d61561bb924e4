//! Every kind of job, and every storage, keeps every promise of a training service, with real processes.

/// The suite for one variant, in a module of its name.
macro_rules! suites {
    ($($module:ident: $variant:ident,)*) => {
        $(mod $module {
            ts_testkit::conformance!(crate::world::World<crate::variants::$variant>);
        })*
    };
}

suites! {
    job: Jobs,
    job_on_claim: JobsOnClaim,
    job_on_nfs: JobsOnNfs,
    tf_job: TfJobs,
    pytorch_job: PyTorchJobs,
    framework: Frameworks,
    framework_on_nfs: FrameworksOnNfs,
    train_job: TrainJobs,
}
