//! Jobs of DLTS keep every promise of a training service, with real processes and files in a shared folder.

use crate::world::World;

ts_testkit::conformance!(World);
