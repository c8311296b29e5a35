//! What the fuzzers do with their input: everything that an initiator, or a peer, can make the native core parse.
//!
//! Rules:
//!
//! * A target is a function of bytes: no clock, no randomness, no I/O, so that every finding can be run again.
//! * A target checks more than that nothing panics: answers are well formed, I/O stays inside the disk, what is kept is bounded.
//! * `corpus/` keeps inputs that together reach all that was ever reached, and every one that found a fault; each run begins with them.

pub mod commands;
pub mod frames;
pub mod input;
pub mod login;
pub mod pdus;
pub mod targets;
