//! Lives here: the custody of private keys; signing joins it when the trust services do.
//! Never here: HTTP, accounts, rights, images, and any private key in the clear outside memory.
//! Start reading at [`keys`].

pub mod keys;
