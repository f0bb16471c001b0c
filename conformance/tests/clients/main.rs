//! The clients that people use, against a Hallmark with authentication on: each a module, each its whole journey.
//! Never speaks the protocol itself where the client can; the raw verbs only look at what the client left behind.
//! Start at `world` for what each test stands on, then at any client.

mod crane;
mod credential_helper;
mod docker;
mod issuer;
mod oras;
mod podman;
mod raw;
mod regctl;
mod sign_in;
mod skopeo;
mod world;
