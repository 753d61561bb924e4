//! The trial loop against the reference platform: complete runs, crashes at any moment, requests, limits, retries.

mod crash;
mod lifecycle;
mod world;
