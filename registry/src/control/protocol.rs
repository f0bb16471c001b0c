//! The commands and their answers: one JSON object a line, commands one way, answers the other, in order.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use crate::config::Secret;

/// The longest command line, in bytes; a name and a password are far shorter.
pub(super) const COMMAND_BYTES: usize = 16 << 10;
/// The longest answer line, in bytes: a page of users or repositories with the longest names there are.
pub(super) const ANSWER_BYTES: usize = 4 << 20;

/// What the command line asks of the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// Create a user. Answered by `Done` or `Refused`.
    UserAdd {
        name: String,
        #[serde(serialize_with = "exposed")]
        password: Secret,
        admin: bool,
    },
    /// Remove a user that owns nothing. Answered by `Done` or `Refused`.
    UserRemove { name: String },
    /// Set a user's password. Answered by `Done` or `Refused`.
    UserPassword {
        name: String,
        #[serde(serialize_with = "exposed")]
        password: Secret,
    },
    /// End every token and refresh token of a user. Answered by `Done` or `Refused`.
    UserLogout { name: String },
    /// One page of users, by name, behind `after`. Answered by `Users`.
    UserList { after: Option<String> },
    /// Allow or forbid anonymous pulls. Answered by `Done` or `Refused`.
    RepositoryVisibility { name: String, visibility: Visibility },
    /// Delete a repository with all that it holds. Answered by `Done` or `Refused`.
    RepositoryDelete { name: String },
    /// One page of repositories, by name, behind `after`. Answered by `Repositories`.
    RepositoryList { after: Option<String> },
    /// Refuse or take writes, or say which. Answered by `ReadOnly`.
    ReadOnly { change: SwitchChange },
    /// Sign tokens with a new key; the old one verifies until its tokens have expired. Answered by `TokenKey`.
    TokenKeyRotate,
    /// The keys that tokens are signed and verified with. Answered by `TokenKeys`.
    TokenKeyList,
    /// One page of the signer's log, from the line before `before` backwards. Answered by `SignerLog`.
    SignerLog { before: Option<i64> },
    /// One page of the signer's keys, by id, behind `after`. Answered by `SignerKeys`.
    SignerKeys { after: Option<String> },
    /// Seal every key under another master key. Answered by `Done` or `Refused`.
    SignerRewrap { to: NewMaster },
    /// Write a backup of the signer's keys into a file. Answered by `Done` or `Refused`.
    SignerBackup {
        path: PathBuf,
        #[serde(serialize_with = "exposed")]
        passphrase: Secret,
    },
    /// Collect what is due, or say what would go. Answered by `Done` or `Refused`.
    GcRun { dry_run: bool },
    /// What the comparison that waits for the operator found, or to go on with it when at most so many keys are deleted.
    /// Answered by `Done` or `Refused`.
    GcOrphans { agreed: Option<u64> },
    /// Let the collector rest, or go on. Answered by `Done` or `Refused`.
    GcPause { paused: bool },
    /// How much waits for the collector. Answered by `Told`.
    GcStatus,
    /// What keeps a digest, in an account or in the whole store. Answered by `Told` or `Refused`.
    GcExplain { digest: String, account: Option<String> },
    /// How the server is. Answered by `Status`.
    Status,
}

/// What the server says to a command.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done; the sentence says what changed.
    Done { message: String },
    /// It is not done; the sentence says why and what to do.
    Refused { message: String },
    /// A page of users; `next` is the `after` of the next page, if there is one.
    Users { users: Vec<UserLine>, next: Option<String> },
    /// A page of repositories; `next` is the `after` of the next page, if there is one.
    Repositories { repositories: Vec<RepositoryLine>, next: Option<String> },
    /// Whether writes are refused now.
    ReadOnly { on: bool },
    /// The id of the key that signs tokens from now on.
    TokenKey { kid: String },
    /// The keys, the oldest first.
    TokenKeys { keys: Vec<TokenKeyLine> },
    /// A page of the signer's log; `next` is the `before` of the next page, if there is one.
    SignerLog { lines: Vec<SignatureLine>, next: Option<i64> },
    /// A page of the signer's keys; `next` is the `after` of the next page, if there is one.
    SignerKeys { keys: Vec<SignerKeyLine>, next: Option<String> },
    /// Sentences for people.
    Told { lines: Vec<String> },
    /// How the server is.
    Status(StatusReport),
}

/// Whether a repository may be pulled from without a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Visibility {
    Public,
    Private,
}

/// What to do with a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SwitchChange {
    On,
    Off,
    /// Leave it and say how it is.
    Keep,
}

/// A user in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserLine {
    pub(crate) name: String,
    pub(crate) admin: bool,
    pub(crate) disabled: bool,
}

/// A repository in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepositoryLine {
    pub(crate) name: String,
    pub(crate) visibility: Visibility,
}

/// A key in a list. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenKeyLine {
    pub(crate) kid: String,
    pub(crate) created_at: i64,
    /// Until when tokens that it signed are accepted; `None` while it signs.
    pub(crate) retires_at: Option<i64>,
}

/// Where another master key is; the server reads the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum NewMaster {
    /// 32 bytes in base64; made where there is no such file.
    KeyFile { path: PathBuf },
    /// A passphrase in the first line.
    PassphraseFile { path: PathBuf },
    /// A token of PKCS#11.
    Token { module: PathBuf, token: String, key: String, pin_file: PathBuf },
}

/// A signature in the signer's log. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignatureLine {
    pub(crate) at: i64,
    /// For whom: through which client certificate, if the signer is a process of its own, and whom the registry named.
    pub(crate) caller: String,
    pub(crate) collection: String,
    pub(crate) role: String,
    pub(crate) version: i64,
    /// Of what was signed, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) key: String,
}

/// A key of the signer's in a list, without its private part. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignerKeyLine {
    pub(crate) id: String,
    pub(crate) collection: String,
    pub(crate) role: String,
    pub(crate) algorithm: String,
    pub(crate) made_at: i64,
    /// `None`: it has signed nothing yet.
    pub(crate) used_at: Option<i64>,
}

/// How a running server is; what `hallmark doctor` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// The address that is listened on, which tells the port where the configuration says 0.
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) read_only: bool,
    /// Whether the store bears the mark of another database.
    #[serde(default)]
    pub(crate) foreign_store: bool,
    /// How far the server's clock lies ahead of that of the database, in milliseconds; 0 where that is the same.
    #[serde(default)]
    pub(crate) clock_ahead: i64,
    pub(crate) database: Health,
    pub(crate) storage: Health,
}

/// Whether a part answers, and in how many milliseconds, or what it said instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", rename_all = "snake_case")]
pub(crate) enum Health {
    Ok { duration_ms: u64 },
    Failed { message: String },
}

/// The socket is readable by its owner only; here, and nowhere else, a password travels as it is.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
