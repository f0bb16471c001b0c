//! Lives here: the token endpoint, what its tokens are good for, and forged ones.
//! Never here: what a right allows on an image (`v2`).
//! Start reading at `endpoint.rs`.

mod ceiling;
mod endpoint;
mod forged;
mod keys;
mod refresh;
