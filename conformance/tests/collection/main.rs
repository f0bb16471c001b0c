//! The collector from outside: clients push, mount, delete and push again the very digests that are being collected, while the program is
//! killed at random moments and its disk fails. Nothing that lives is lost, and all garbage goes.
//! Never asks the program what it thinks it holds where files can be counted.
//! Start at `storm`; `client` is one who pushes what `image` makes, `look` and `store` look at what is left.

mod client;
mod image;
mod look;
mod store;
mod storm;
