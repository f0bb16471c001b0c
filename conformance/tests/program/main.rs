//! The program as its operator meets it: first start, TLS, the end by SIGTERM, every verb, what it logs.
//! Never asks the program what it did where a stranger can see it: a verb's effect is looked at over HTTP.
//! Start at `world`, then at the module of the part that you look for.

mod collection;
mod config;
mod doctor;
mod drain;
mod first_start;
mod keep;
mod logs;
mod remote;
mod repositories;
mod secure;
mod tls;
mod token_keys;
mod users;
mod world;
