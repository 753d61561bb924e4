//! The foundation of the training-service layer: trial model, [`TrainingService`] trait, events, errors, configuration,
//! launch script, journal and GPU placement.
//!
//! Names no platform, reads no environment variable, prints nothing, and opens no socket but that of `push`, a feature, where an
//! experiment asks for it.

mod clock;
pub mod config;
mod ctx;
mod error;
mod event;
pub mod follow;
pub mod gpu;
#[cfg(feature = "http")]
pub mod http;
mod id;
pub mod journal;
pub mod launch;
mod metric;
mod platform;
mod private_file;
#[cfg(feature = "push")]
pub mod push;
mod reason;
mod retry;
mod secret;
mod service;
mod trial;
mod trial_channel;

pub use clock::{Clock, SystemClock, Timestamp};
pub use ctx::{Ctx, PROGRESS, TaskScope};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::{Event, LogKind, WatchRequest};
pub use gpu::GpuCount;
pub use id::{ExperimentId, IdSource, RandomIds, TrialId};
pub use journal::JournalCursor;
pub use metric::{Metric, MetricKind, json::members as json_members};
pub use platform::{Finding, FindingState, Platform};
pub use private_file::write_private;
pub use reason::{Reason, ReasonCode, Verdict, judge};
pub use retry::{RetryPolicy, retry};
pub use secret::{NoSecrets, Secret, SecretSource};
pub use service::{
    Capabilities, CleanupReport, CleanupScope, GpuPlacement, MetricsPath, Prepared, Recovered, Rendered, Submitted,
    Support, TrainingService, Warning, Warnings,
};
pub use trial::{
    CancelReason, CodeDirectory, DEFAULT_GRACE, ExperimentSpec, Parameters, TrialRecord, TrialSpec, TrialStatus,
};
pub use trial_channel::{TRIAL_CHANNEL_VARIABLE, offer_trial_channel, trial_channel, withdraw_trial_channel};
