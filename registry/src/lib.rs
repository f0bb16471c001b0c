//! Hallmark: a trusted image registry. This crate is the server and its command line.
//! Never here: grammar (`oci`), SQL and storage paths (`storage-adapters`), private trust keys (`signer`), deletion (`gc`).
//! Start reading at [`http::router`] for a request, at [`app::App`] for what it may reach, at `serve.rs` for the process.

pub mod access;
pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
mod control;
pub mod distribution;
mod durable;
pub mod events;
pub mod http;
pub mod jobs;
mod keeping;
mod lease;
mod master;
mod memory;
mod operate;
pub mod passage;
pub mod people;
mod readonly;
pub(crate) mod reclaim;
pub mod retention;
pub mod serve;
pub mod signing;
pub mod telemetry;
pub mod trust;
