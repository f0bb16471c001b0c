//! The fuzz target `scopes`: `entries/scopes.rs` says what it asks.

#![no_main]

#[path = "../entries/scopes.rs"]
mod scopes;

libfuzzer_sys::fuzz_target!(|input: &str| scopes::run(input));
