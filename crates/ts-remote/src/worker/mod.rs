//! What runs on a machine: POSIX sh and nothing else, and the protocol that it speaks with us.
//!
//! How the bytes get there is `ssh`'s business.
