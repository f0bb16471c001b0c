//! Content trust (Notary v1) as its clients use it, `notary` and `docker trust`, and signed tags as strangers read them, against a
//! Hallmark that speaks TLS.
//! Never makes or signs metadata where a client can; raw requests only look at what the server holds, or say what no client says.
//! Start at `world` for what each test stands on, then at `journey`.

mod client;
mod crashes;
mod docker;
mod drills;
mod journey;
mod leaving;
mod outages;
mod people;
mod publishers;
mod rights;
mod rotation;
mod signed_tags;
mod signer;
mod token;
mod world;
