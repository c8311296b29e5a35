//! Fuzz target; see [`twindisk_fuzz::pdus`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twindisk_fuzz::pdus::run(data));
