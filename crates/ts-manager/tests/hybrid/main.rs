//! Several platforms as one: every promise of a training service, and what only several can show.

mod lost_platform;
mod world;

ts_testkit::conformance!(world::World);
