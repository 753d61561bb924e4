//! The remote platform keeps every promise of a training service, with real processes behind a real SSH connection.

use crate::machine::Machine;

ts_testkit::conformance!(Machine);
