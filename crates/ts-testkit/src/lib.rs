//! What tests of platforms and of their users need; never part of a product.

pub mod clock;
pub mod conformance;
mod ids;
pub mod memory;

pub use clock::TestClock;
pub use ids::SeededIds;
