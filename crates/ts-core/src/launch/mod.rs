//! The launch script that every platform runs: POSIX sh, no agent.
