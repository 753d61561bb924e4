//! The reference platform passes its own suite, both when it can do everything and when it refuses what may be refused.

mod world;

mod full {
    ts_testkit::conformance!(crate::world::World<false>);
}

mod refusing {
    ts_testkit::conformance!(crate::world::World<true>);
}
