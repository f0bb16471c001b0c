//! Lives here: signed tags as TUF 1.0 at the door: who may sign, what is published, when it goes.
//! Also what a publish of Notary's is refused with.
//! Never here: Notary's and Docker's own clients (`conformance`), and how metadata is built (`signer`).
//! Start reading at `signatures.rs`.

mod delegations;
mod refusals;
mod replicas;
mod roots;
mod rules;
mod signatures;
mod transfer;
