//! Lives here: the images. Pull, push, upload, delete, list, each behind a grant.
//! Never here: who somebody is, whether they may, SQL, storage paths.
//! Start reading at `push.rs`, then `upload.rs`.

mod delete;
pub(crate) mod http;
mod list;
mod mount;
mod occasion;
mod pull;
mod push;
mod quota;
mod receive;
mod small;
mod upload;

pub(crate) use occasion::Nowhere;
pub use occasion::Occasion;
