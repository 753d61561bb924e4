//! How a server is to be, chosen before it starts.

use super::auth::User;
use std::time::Duration;

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The version that it says it has. Fields that came later are dropped. Default `1.20.2`.
    pub version: String,
    /// Who may use it. Default: one user `admin` who may do everything.
    pub users: Vec<User>,
    /// How often a watch that asks for bookmarks gets one. Default 500 ms; a real server sends one a minute.
    pub bookmarks: Duration,
    /// Every frame of a watch comes in three writes, one of them within a character where there is one of several bytes.
    pub split_frames: bool,
    /// Commands in containers speak `v5.channel.k8s.io`, which can close the standard input, as from 1.30 on. Default false.
    pub exec_v5: bool,
    /// How many seconds its clock is ahead of the machine's. Default 0.
    pub clock_seconds: i64,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            version: "1.20.2".to_owned(),
            users: vec![User::admin("admin")],
            bookmarks: Duration::from_millis(500),
            split_frames: false,
            exec_v5: false,
            clock_seconds: 0,
        }
    }
}

impl Setting {
    /// The 20 of `1.20.2`.
    pub(crate) fn minor(&self) -> u32 {
        self.version
            .split('.')
            .nth(1)
            .and_then(|minor| minor.parse().ok())
            .unwrap_or_default()
    }
}
