//! The server's clock. It is the real one, as the processes of jobs do not wait for the clock of a test; only the states are short.

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use std::time::Duration;

/// This moment.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// This moment, as the times of files are told.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with what the machine wrote beside its files"
)]
pub(crate) fn system_now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// As the services write times into JSON.
pub(crate) fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// To the second, as in a SAS.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As in HTTP headers. Source: RFC 9110, section 5.6.7.
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads what [`http_date`] writes.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// The moment after this time.
pub(crate) fn after(life: Duration) -> Timestamp {
    now() + jiff::SignedDuration::try_from(life).unwrap_or(jiff::SignedDuration::from_hours(24))
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "the platform keeps real time, as the processes on it do"
)]
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
