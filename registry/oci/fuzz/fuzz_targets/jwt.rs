//! The fuzz target `jwt`: `entries/jwt.rs` says what it asks.

#![no_main]

#[path = "../entries/jwt.rs"]
mod jwt;

libfuzzer_sys::fuzz_target!(|input: &str| jwt::run(input));
