//! Plain jobs keep every promise of a training service, with real processes and code that came over the API server.

use crate::world::World;

ts_testkit::conformance!(World);
