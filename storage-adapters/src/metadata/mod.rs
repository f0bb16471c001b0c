//! The facts: who owns, holds and named what, in SQLite or PostgreSQL through one dialect.
//! What never lives here: bytes of blobs, HTTP, rights, signatures, the clock; and no driver outside `sql`.
//! Start with [`Metadata`]: its reads stand in one file a family, its one door for changes is [`Metadata::write`] with [`Tx`].
//!
//! Reads are single statements. On PostgreSQL each asks the database; on SQLite, where this process alone holds the data
//! folder, the few that every pull makes are kept in memory with a stamp (`generations` tells why that is safe).
//!
//! Changes follow the rules that keep I1 to I6 without timing: lock, then look, in two statements; decide by the row
//! counts of the statement that changed; `ON CONFLICT DO NOTHING` and a loop instead of a constraint error; locks in the
//! order repository, manifests, tags, links, account_blobs, blobs, candidates. Foreign keys are the judge.

mod accounts;
mod blobs;
mod cache;
mod candidates;
mod catalog;
mod collect;
mod config;
mod credentials;
mod custody;
mod database;
mod delete;
mod doomed;
mod empty;
mod error;
mod events;
mod explain;
mod facts;
mod generations;
mod graces;
mod grants;
mod holds;
mod ids;
mod keys;
mod links;
mod lock;
mod manifests;
mod migrate;
mod mount;
mod name_range;
mod names;
mod open;
mod organizations;
mod policies;
mod put;
mod quotas;
mod reclaim;
mod referrers;
mod repositories;
mod retention;
mod rights;
mod robots;
mod rows;
mod runner;
mod scrub;
mod settings;
mod sign_ins;
mod sign_rules;
mod signing;
mod sizes;
mod small;
mod sql;
mod statement;
mod statistics;
mod tags;
mod teams;
#[cfg(test)]
mod tests;
mod transfer;
mod trash;
mod trust;
mod trust_files;
mod tx;
mod undelete;
mod uploads;
mod usage;
mod users;
mod value;
mod vouches;
mod workloads;
mod write;
mod writer;

pub use accounts::{Account, AccountKind, UserRemoval};
pub use blobs::{Blob, BlobDeletion, Body, Finish, Finished};
pub use candidates::{Candidate, Item};
pub use catalog::{Sight, Viewer, Visibility};
pub use collect::{AccountSeen, BlobSeen, LinkSeen, Looked, ManifestSeen};
pub use config::DatabaseConfig;
pub use credentials::{Credential, NewCredential};
pub use custody::{LogLine, SignerFloor};
pub use database::{Metadata, Source};
pub use delete::ManifestDeletion;
pub use error::{Error, ErrorKind, OpenError};
pub use events::{Event, EventFilter, EventLine, EventPage};
pub use explain::{InStore, Kept, KeptBy, Waiting};
pub use facts::{AccountFacts, Facts, Granted, SYSTEM_ACCOUNT, Seen, SeenCredential};
pub use graces::Graces;
pub use grants::{Grant, GrantLine, Holder, PREFIXES, Target};
pub use holds::{Hold, HoldKind, Placing};
pub use keys::TokenKey;
pub use manifests::StoredManifest;
pub use migrate::Schema;
pub use mount::Mount;
pub use name_range::NameRange;
pub use names::{NameKind, RestingName};
pub use organizations::{Member, Organization, OrganizationChange};
pub use policies::Policies;
pub use put::{Put, PutManifest, PutRefused};
pub use quotas::{Passed, Quota};
pub use reclaim::DoomedKey;
pub use referrers::{Described, Referrer};
pub use repositories::Repository;
pub use retention::{Followers, Grounds, Refers, Retire, Retired, Ruled};
pub use rights::{Rights, RightsInvalid};
pub use robots::{NewRobot, Robot};
pub use rows::{AccountId, BlobId, ManifestId, PrincipalId, RepositoryId};
pub use scrub::ToScrub;
pub use sign_ins::{DeviceDecision, DeviceOpening, DeviceRequest, NewDeviceRequest, NewSignIn, OpenLimits, Session};
pub use sign_rules::{Reported, SignRule};
pub use signing::{LoggedSignature, SignerKey, SignerRoot, WrappedDataKey};
pub use sizes::Sizes;
pub use small::{SMALL_BLOB_BYTES, SmallKey, StoreSmall};
pub use statement::{Engine, StatementUsage};
pub use statistics::Statistics;
pub use teams::{Team, TeamMember};
pub use transfer::{HandedOver, MOST_HANDED_OVER, MOST_LEFT_BEHIND, Weight};
pub use trash::{DueTrash, Purge};
pub use trust::{
    ChangesFrom, Collection, CollectionKey, DueCollection, Freshness, NewTrustFile, Published, TrustChange,
    TrustDialect, TrustFile, TrustFileKey, TrustState,
};
pub use trust_files::{FilesMetadata, NamedFile};
pub use tx::Tx;
pub use undelete::{DeletedRepository, Restored, TagMove, Trashed, Undeleted};
pub use uploads::{Checkpoint, Lease, NewUpload, OPEN_UPLOADS, Upload, UploadPart};
pub use usage::{Limits, Room, Scope, Usage};
pub use users::{NewUser, PasswordSeen, Principal, PrincipalKind, SystemRole, User, Vouching};
pub use vouches::{Happened, Pointed, Tagged, TrustRoot, Vouch};
pub use workloads::{CertificateKind, CertificateRule, RULES, WorkloadRule};

use statement::Statement;

/// Every statement of every family, for the test that runs them all on both engines.
static STATEMENTS: &[&[&Statement]] = &[
    accounts::ALL,
    blobs::ALL,
    candidates::ALL,
    catalog::ALL,
    collect::ALL,
    credentials::ALL,
    custody::ALL,
    delete::ALL,
    doomed::ALL,
    events::ALL,
    explain::ALL,
    facts::ALL,
    grants::ALL,
    holds::ALL,
    ids::ALL,
    keys::ALL,
    links::ALL,
    manifests::ALL,
    migrate::ALL,
    mount::ALL,
    names::ALL,
    organizations::ALL,
    policies::ALL,
    put::ALL,
    quotas::ALL,
    empty::ALL,
    reclaim::ALL,
    referrers::ALL,
    repositories::ALL,
    retention::ALL,
    robots::ALL,
    scrub::ALL,
    settings::ALL,
    sign_ins::ALL,
    sign_rules::ALL,
    signing::ALL,
    sizes::ALL,
    small::ALL,
    tags::ALL,
    teams::ALL,
    transfer::ALL,
    trash::ALL,
    trust::ALL,
    trust_files::ALL,
    undelete::ALL,
    uploads::ALL,
    usage::ALL,
    users::ALL,
    vouches::ALL,
    workloads::ALL,
];

/// Every statement there is, and how often this process has run it on each engine.
pub fn statement_usage() -> impl Iterator<Item = StatementUsage> {
    STATEMENTS.iter().copied().flatten().map(|statement| statement.usage())
}
