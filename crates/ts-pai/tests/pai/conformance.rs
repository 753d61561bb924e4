//! Jobs of OpenPAI keep every promise of a training service, with real processes and files on a shared folder.

use crate::world::World;

ts_testkit::conformance!(World);
