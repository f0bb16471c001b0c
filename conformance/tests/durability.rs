//! Crash, power loss and faults: what was acknowledged is there (I1, I4), whatever happens to the process, the page
//! cache and the disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test as the tests themselves do")]

#[path = "durability/faults.rs"]
mod faults;
#[path = "durability/kills.rs"]
mod kills;
#[path = "durability/model.rs"]
mod model;
#[path = "durability/support.rs"]
mod support;
#[path = "durability/syncs.rs"]
mod syncs;
