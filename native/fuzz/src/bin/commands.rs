//! Fuzz target; see [`twindisk_fuzz::commands`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twindisk_fuzz::commands::run(data));
