//! The local platform against real processes: from submit to end, and through what goes wrong.

mod faults;
mod hardship;
mod lab;
mod trials;
