//! The fuzz target `token`: `entries/token.rs` says what it asks.

#![no_main]

#[path = "../entries/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|input: &str| token::run(input));
