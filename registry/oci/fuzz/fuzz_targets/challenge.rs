//! The fuzz target `challenge`: `entries/challenge.rs` says what it asks.

#![no_main]

#[path = "../entries/challenge.rs"]
mod challenge;

libfuzzer_sys::fuzz_target!(|input: &str| challenge::run(input));
