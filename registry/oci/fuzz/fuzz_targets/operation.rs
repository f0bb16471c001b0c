//! The fuzz target `operation`: `entries/operation.rs` says what it asks.

#![no_main]

#[path = "../entries/operation.rs"]
mod operation;

libfuzzer_sys::fuzz_target!(|input: &str| operation::run(input));
