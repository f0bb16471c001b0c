//! The fuzz target `manifest`: `entries/manifest.rs` says what it asks.

#![no_main]

#[path = "../entries/manifest.rs"]
mod manifest;

libfuzzer_sys::fuzz_target!(|input: &[u8]| manifest::run(input));
