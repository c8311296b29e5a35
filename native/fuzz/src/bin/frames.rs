//! Fuzz target; see [`twindisk_fuzz::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twindisk_fuzz::frames::run(data));
