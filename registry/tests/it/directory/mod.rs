//! The directory client against OpenLDAP, and against servers that mean harm.
//! Never here: parsing and escaping, which are the unit tests' (`src/auth/directory/tests.rs`).
//! Start reading at `slapd.rs`, which is the server, then at `sign_in.rs`.

mod active_directory;
mod door;
mod groups;
mod hostile;
mod job;
mod outage;
mod sign_in;
mod slapd;
mod subject;
mod tls;
mod trap;

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
