//! NNI's search space: parsed once into a typed model, every problem reported with its key, then sampled, gridded and located.
//!
//! How points of the space are chosen belongs to `source`.

mod domain;
mod normal;
mod parse;
mod space;

pub use domain::{Domain, Numeric, Shape};
pub use parse::SpaceProblem;
pub use space::{Coordinate, Leaf, Parent, Point, SearchSpace};
