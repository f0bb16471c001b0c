//! Lives here: attacks on the verifier, each by its name, and the good publishes that they begin with.
//! Never here: keys at rest, databases.
//! Start reading at `swizzler`; the tables of damages are in `files`, `roots`, `delegations` and `snapshots`.

mod anew;
mod canonical;
mod delegate;
mod delegations;
mod files;
mod floods;
mod good;
mod histories;
mod keys;
mod kit;
mod properties;
mod roots;
mod signatures;
mod snapshots;
mod swizzler;
