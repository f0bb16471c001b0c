//! `hallmark verify`, the program, before an HTTP server that brings it every repository of TUF 1.0 that the signer's tests know, whole
//! or broken, and files without an end.
//! Never here: how a repository is broken, and what our client says of it as a function: that stands beside the signer.
//! Start at `server`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

#[path = "../../../signer/tests/clients/cases.rs"]
mod cases;
#[path = "../../../signer/tests/clients/delegations.rs"]
mod delegations;
#[path = "../../../signer/tests/clients/falls.rs"]
mod falls;
#[path = "../../../signer/tests/clients/forge.rs"]
#[expect(dead_code, reason = "the signer's own tests use the rest")]
mod forge;
mod program;
mod server;
#[path = "../../../signer/tests/clients/thresholds.rs"]
mod thresholds;
