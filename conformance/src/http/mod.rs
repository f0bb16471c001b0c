//! HTTP/1.1 by hand: every byte of a request is the test's to choose, also the wrong ones.
//! Never follows, retries, decodes or repairs anything by itself; `Client` adds a token and nothing else.
//! Start at `message` for what is sent, `connection` for how, `client` for the bearer token dance.

mod client;
mod connection;
mod message;

pub use client::{Client, Credentials};
pub use connection::Connection;
pub use message::{Body, Request, Response, encode};
