//! The fuzz target `claims`: `entries/claims.rs` says what it asks.

#![no_main]

#[path = "../entries/claims.rs"]
mod claims;

libfuzzer_sys::fuzz_target!(|input: &[u8]| claims::run(input));
