//! Lives here: who there is and who may do what: the rules of users, organizations, teams, robots, tokens, repositories and
//! grants, for whoever manages them.
//! Never here: how a request reaches them (that is `api`), how somebody proved who they are, and SQL.
//! Start reading at [`Caller`], then `grants`.

mod caller;
pub mod certificates;
mod error;
pub mod events;
pub mod explain;
pub mod gc;
pub mod grants;
pub mod holds;
pub mod members;
pub(crate) mod names;
pub mod organizations;
mod page;
pub mod policies;
pub mod quotas;
pub mod repositories;
pub mod robots;
pub mod rules;
pub mod shapes;
pub mod sign_rules;
pub mod signatures;
pub mod signing_keys;
pub mod teams;
pub mod tokens;
pub mod transfer;
pub mod trash;
pub mod trust;
pub mod users;

pub use caller::{Caller, Expected, tag};
pub use error::Refused;
pub use page::{List, Names, Page};

/// Names that would read as something else in a path.
const RESERVED: &[&str] = &["api", "v1", "v2"];

/// Whether this may be the name of a team or a robot: a component of a path.
fn check_component(name: &str) -> Result<(), Refused> {
    let is_component = name.parse::<hallmark_oci::RepositoryName>().is_ok() && !name.contains('/');
    if is_component && !RESERVED.contains(&name) {
        return Ok(());
    }
    Err(Refused::invalid(
        "name",
        format!("{name:?} is no name here: use lower-case letters and digits, joined by single '.', '_' or '-'"),
    ))
}

/// The longest description, in bytes.
const DESCRIPTION_BYTES: usize = 4096;

fn check_description(description: &str) -> Result<(), Refused> {
    if description.len() <= DESCRIPTION_BYTES && !description.contains('\0') {
        return Ok(());
    }
    Err(Refused::invalid("description", format!("a description has at most {DESCRIPTION_BYTES} bytes and no NUL")))
}
