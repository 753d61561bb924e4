//! Colors, or none.

use std::fmt::{self, Display};
use ts_core::TrialStatus;

/// Puts colors on text where they are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colors: bool,
}

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const CYAN: u8 = 36;
const FAINT: u8 = 2;

impl Style {
    pub(crate) const fn new(colors: bool) -> Self {
        Self { colors }
    }
    pub(crate) fn bad<T: Display>(self, text: T) -> impl Display {
        self.painted(RED, text)
    }
    pub(crate) fn warn<T: Display>(self, text: T) -> impl Display {
        self.painted(YELLOW, text)
    }
    pub(crate) fn good<T: Display>(self, text: T) -> impl Display {
        self.painted(GREEN, text)
    }
    pub(crate) fn name<T: Display>(self, text: T) -> impl Display {
        self.painted(CYAN, text)
    }
    pub(crate) fn faint<T: Display>(self, text: T) -> impl Display {
        self.painted(FAINT, text)
    }
    /// A trial's status in its color.
    pub(crate) fn status(self, status: TrialStatus) -> impl Display {
        let code = match status {
            TrialStatus::Succeeded => GREEN,
            TrialStatus::Failed | TrialStatus::SysCanceled => RED,
            TrialStatus::Running => CYAN,
            _ => YELLOW,
        };
        self.painted(code, status)
    }
    fn painted<T: Display>(self, code: u8, text: T) -> Painted<T> {
        Painted {
            code: self.colors.then_some(code),
            text,
        }
    }
}

struct Painted<T> {
    code: Option<u8>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "\x1b[{code}m{}\x1b[0m", self.text),
            None => self.text.fmt(f),
        }
    }
}
