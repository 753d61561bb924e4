//! Jobs of Azure ML keep every promise of a training service, with real processes and a blob storage.

use crate::world::World;

ts_testkit::conformance!(World);
