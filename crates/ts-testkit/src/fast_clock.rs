//! A clock for what takes minutes: it goes on by itself, and faster than the machine's.

use async_trait::async_trait;
use std::time::Duration;
use ts_core::{Clock, SystemClock, Timestamp};

/// A clock whose monotonic time and sleeps go faster than the machine's. The wall clock is the machine's, since processes and
/// servers beside the test read that.
#[derive(Debug)]
pub struct FastClock {
    machine: SystemClock,
    pace: u32,
}

impl FastClock {
    /// One that goes `pace` times faster; at least 1.
    pub fn new(pace: u32) -> Self {
        Self {
            machine: SystemClock::new(),
            pace: pace.max(1),
        }
    }
}

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.machine.now()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic() * self.pace
    }

    async fn sleep(&self, d: Duration) {
        self.machine.sleep(d / self.pace).await;
    }
}
