//! The directory client against OpenLDAP, against a domain controller of Active Directory (Samba's), and against servers that mean
//! harm.
//! Never here: parsing and escaping, which are the unit tests' (`src/auth/directory/tests.rs`).
//! Start reading at `slapd.rs` and `samba.rs`, which are the servers, then at `sign_in.rs`.

mod active_directory;
mod domain;
mod door;
mod groups;
mod hostile;
mod job;
mod outage;
mod samba;
mod sign_in;
mod slapd;
mod subject;
mod tls;
mod trap;
mod two;

use hallmark::auth::directory::{Cause, Directory, DirectoryConfig, DirectoryError, Person};

async fn sign_in(config: &DirectoryConfig, name: &str, password: &str) -> Result<Option<Person>, DirectoryError> {
    Directory::new(config).unwrap().sign_in(name, password).await
}

/// The result code that an error tells.
fn code(error: &DirectoryError) -> Option<u32> {
    match error.cause {
        Cause::Refused { code, .. } => Some(code),
        _ => None,
    }
}
