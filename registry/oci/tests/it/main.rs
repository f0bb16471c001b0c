//! What the vocabulary promises, asked through its public face only.
//! No expectation here is computed by the code under test: grammars are held against the specification's own patterns.
//! Start at `operation_table` and `manifest_table`; the properties stand beside them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod challenge;
mod digest;
mod hasher;
mod manifest_properties;
mod manifest_table;
mod model;
mod names;
mod operation_properties;
mod operation_table;
mod ranges;
mod scopes;
mod seeds;
mod strategies;
mod token;
mod trust_table;
mod wire;
