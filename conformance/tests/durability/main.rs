//! Crash, power loss and faults: what was acknowledged is there (I1, I4), whatever happens to the process, the page
//! cache and the disk. Never starts a second server beside a storm: kills are to fall at random moments of its work.
//! Start at `kills`; `model` shows the power loss itself, before it judges a server; `moments` and `people` choose when it comes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test as the tests themselves do")]

mod faults;
mod kills;
mod large;
mod model;
mod moments;
mod people;
mod support;
mod syncs;
