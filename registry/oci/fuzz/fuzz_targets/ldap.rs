//! The fuzz target `ldap`: `entries/ldap.rs` says what it asks.

#![no_main]

#[path = "../entries/ldap.rs"]
mod ldap;

libfuzzer_sys::fuzz_target!(|input: &[u8]| ldap::run(input));
