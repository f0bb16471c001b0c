//! Kills, power losses and full disks: a storm of pushes whose every acknowledgement is written down, and the tools
//! that take the power away. Never knows how Hallmark stores anything: it sees HTTP, system calls and a folder.
//! Start at `storm` for the cycle of push, kill and check; `undo` tells what a power loss takes; `checker` what a
//! server must have synced before it may say 201.

mod checker;
mod content;
mod journal;
mod layer;
mod ledger;
mod pusher;
mod random;
mod restore;
mod session;
mod shim;
mod storm;
mod tally;
mod trace;
mod undo;
mod verifier;

pub use checker::{Known, Report, Violation, check};
pub use layer::{Layer, Unfinished};
pub use random::{Random, mix};
pub use restore::{Lost, walk};
pub use shim::{Shim, Watched};
pub use storm::{Habits, Storm};
pub use tally::Tally;
pub use trace::{Call, parse};
pub use undo::Loss;
