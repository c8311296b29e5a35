//! Fuzz target; see [`twindisk_fuzz::login`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twindisk_fuzz::login::run(data));
