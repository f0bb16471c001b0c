//! What is asked of a signer that is another process, and what it answers: one JSON object each way, bytes as base64.
//!
//! A request is a typed change or a question about keys; there is none that hands over bytes to sign (I10). Members that are
//! not known are refused, so that nobody believes to have said what was not understood. Refusals that the registry acts upon
//! travel as they are; what else went wrong stays in the signer's own log, and a sentence goes out.

use std::collections::BTreeMap;

use hallmark_oci::ServerRole;
use serde::{Deserialize, Serialize};

use crate::notary::KeyDocument;
use crate::notary::publish::Held;
use crate::tuf::{BuildError, Files, Flaw};
use crate::{DelegationChange, NotaryChange, NotaryFiles, RootPlan, SignRefused, Signer, TufChange, TufRefused};

/// The version of this protocol, as it stands in the path of a request.
pub const VERSION: u32 = 1;

/// The longest name of a collection or a caller, in bytes.
const NAME_BYTES: usize = 1_024;

/// What the names of trust domains, and of collections under them, begin with.
pub(crate) const TUF: &str = "tuf1/";

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// [`Signer::public_key`].
    PublicKey(KeyAsked),
    /// [`Signer::next_key`].
    NextKey(KeyAsked),
    /// [`Signer::held`].
    Held(CollectionAsked),
    /// [`Signer::destroy`].
    Destroy(CollectionAsked),
    /// [`Signer::sign`].
    Sign(NotaryChange),
    /// [`Signer::delegation_key`].
    DelegationKey {
        /// Whose keys they are.
        holder: String,
        /// The ids of those that were given before.
        given: Vec<String>,
        /// Whether it is to be one that never signed.
        next: bool,
    },
    /// [`Signer::delegate`].
    Delegate(DelegationChange),
    /// [`Signer::publish`].
    Publish(TufChange),
    /// [`Signer::first_root`].
    FirstRoot {
        /// The trust domain.
        domain: String,
        /// Who asked for it, for the log.
        caller: String,
    },
    /// [`Signer::next_root`].
    NextRoot {
        /// The trust domain.
        domain: String,
        /// The root that holds.
        #[serde(with = "crate::forms::base64_bytes")]
        current: Vec<u8>,
        /// What the next is to say.
        plan: RootPlan,
        /// Who asked for it, for the log.
        caller: String,
    },
    /// [`Signer::endorse_root`].
    EndorseRoot {
        /// The trust domain.
        domain: String,
        /// The root that holds.
        #[serde(with = "crate::forms::base64_bytes")]
        current: Vec<u8>,
        /// The one that is to follow.
        #[serde(with = "crate::forms::base64_bytes")]
        next: Vec<u8>,
        /// Who asked for it, for the log.
        caller: String,
    },
    /// [`Signer::rotate_tags`].
    RotateTags {
        /// The trust domain.
        domain: String,
    },
    /// [`Signer::retire`].
    Retire {
        /// The trust domain.
        domain: String,
        /// The root that holds.
        #[serde(with = "crate::forms::base64_bytes")]
        root: Vec<u8>,
    },
    /// [`Signer::publish_files`].
    PublishFiles(FilesAsked),
}

/// Which files are to be named.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesAsked {
    /// The trust domain.
    pub domain: String,
    /// The root that holds.
    #[serde(with = "crate::forms::base64_bytes")]
    pub root: Vec<u8>,
    /// Each path with length and SHA-256.
    pub files: BTreeMap<String, (u64, [u8; 32])>,
    /// Who asked for it, for the log.
    pub caller: String,
}

/// For which role a key is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAsked {
    /// Whose.
    pub collection: String,
    /// The role.
    #[serde(with = "crate::forms::role")]
    pub role: ServerRole,
    /// The ids that the root names.
    pub named: Vec<String>,
}

/// Which collection is meant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionAsked {
    /// Its name.
    pub collection: String,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The public half of a key.
    Key(KeyDocument),
    /// The ids of the keys of a collection.
    Held(Held),
    /// How many keys were destroyed.
    Destroyed(u64),
    /// What was signed for Notary v1.
    Signed(Box<NotaryFiles>),
    /// The files of delegations, each with its role.
    Delegated(#[serde(with = "crate::forms::tuf_files")] Vec<(String, Vec<u8>)>),
    /// What was signed for TUF 1.0; nothing when the change changes nothing.
    Published(Option<Files>),
    /// A root.
    Root(#[serde(with = "crate::forms::base64_bytes")] Vec<u8>),
    /// It is done.
    Done,
    /// Nothing was done.
    Refused(Refusal),
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// What the change rests on has fallen.
    Falling {
        /// The role; for TUF 1.0 always the snapshot.
        role: String,
        /// What was there.
        from: i64,
        /// What the change rests on.
        to: i64,
    },
    /// The signer knows another root of the trust domain.
    OtherRoot {
        /// The version of that one.
        known: i64,
        /// The version of the one that it was told of.
        told: i64,
    },
    /// There is no key for the role.
    NoKey {
        /// The role.
        role: String,
    },
    /// The client's snapshot, or `targets`, is not signed by the keys that the root names.
    Unsigned,
    /// What stands cannot be built on: the change is to be made anew.
    Anew {
        /// Why.
        why: String,
    },
    /// A root is refused.
    Root(Flaw),
    /// The next root is not one that the signer could work under.
    Plan(String),
    /// Nobody looked at it.
    Unserved(Unserved),
}

/// Why a signer did not look at a request, or could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unserved {
    /// It does not answer, or its answer is not understood.
    #[error("the signer is away: {0}")]
    Away(String),
    /// Its database does not take part at the moment.
    #[error("the signer's database does not take part at the moment")]
    Unavailable,
    /// It was asked too often.
    #[error("too many signatures were asked for; one more is given in {wait_ms} ms")]
    Busy {
        /// After how many milliseconds it may be asked again.
        wait_ms: i64,
    },
    /// This caller may not ask that.
    #[error("the signer does not take this: {0}")]
    NotAllowed(String),
    /// It failed inside; its own log tells more.
    #[error("the signer failed: {0}")]
    Failed(String),
}

impl Unserved {
    /// Whether the signer does not answer: it will not do so about other collections either.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Unavailable)
    }
}

impl Request {
    /// Whether asking twice does no more than asking once. What gives versions away is not asked again unless it surely never
    /// arrived.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::PublicKey(_)
            | Self::NextKey(_)
            | Self::DelegationKey { .. }
            | Self::Held(_)
            | Self::Destroy(_)
            | Self::Retire { .. } => true,
            Self::Sign(_)
            | Self::Delegate(_)
            | Self::Publish(_)
            | Self::PublishFiles(_)
            | Self::FirstRoot { .. }
            | Self::NextRoot { .. }
            | Self::EndorseRoot { .. }
            | Self::RotateTags { .. } => false,
        }
    }

    /// Which collection or trust domain it is about.
    fn collection(&self) -> &str {
        match self {
            Self::PublicKey(asked) | Self::NextKey(asked) => &asked.collection,
            Self::Held(asked) | Self::Destroy(asked) => &asked.collection,
            Self::DelegationKey { holder, .. } => holder,
            Self::Sign(change) => &change.collection,
            Self::Delegate(change) => &change.collection,
            Self::Publish(change) => &change.collection,
            Self::PublishFiles(asked) => &asked.domain,
            Self::FirstRoot { domain, .. }
            | Self::NextRoot { domain, .. }
            | Self::EndorseRoot { domain, .. }
            | Self::RotateTags { domain }
            | Self::Retire { domain, .. } => domain,
        }
    }

    /// Whose keys sign, where those are not the collection's.
    fn holder(&self) -> &str {
        match self {
            Self::Delegate(change) => &change.holder,
            _ => self.collection(),
        }
    }

    /// Whether it is about a collection of its own kind: keys and versions of the two kinds stand beside one another.
    fn is_about_its_own(&self) -> bool {
        let is_domain = match self {
            Self::PublicKey(_)
            | Self::NextKey(_)
            | Self::DelegationKey { .. }
            | Self::Held(_)
            | Self::Destroy(_)
            | Self::Sign(_)
            | Self::Delegate(_) => return ![self.collection(), self.holder()].iter().any(|name| name.starts_with(TUF)),
            Self::Publish(change) => change.domain.starts_with(TUF),
            Self::PublishFiles(_)
            | Self::FirstRoot { .. }
            | Self::NextRoot { .. }
            | Self::EndorseRoot { .. }
            | Self::RotateTags { .. }
            | Self::Retire { .. } => true,
        };
        is_domain && self.collection().starts_with(TUF)
    }

    /// Whom the other process names, where the log tells it.
    fn caller(&self) -> &str {
        match self {
            Self::Sign(change) => &change.caller,
            Self::Delegate(change) => &change.caller,
            Self::Publish(change) => &change.caller,
            Self::PublishFiles(asked) => &asked.caller,
            Self::FirstRoot { caller, .. } | Self::NextRoot { caller, .. } | Self::EndorseRoot { caller, .. } => caller,
            Self::PublicKey(_)
            | Self::NextKey(_)
            | Self::DelegationKey { .. }
            | Self::Held(_)
            | Self::Destroy(_)
            | Self::RotateTags { .. }
            | Self::Retire { .. } => "",
        }
    }

    /// What is asked, in a word for logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::PublicKey(_) => "public_key",
            Self::NextKey(_) => "next_key",
            Self::Held(_) => "held",
            Self::Destroy(_) => "destroy",
            Self::DelegationKey { .. } => "delegation_key",
            Self::Sign(_) => "sign",
            Self::Delegate(_) => "delegate",
            Self::Publish(_) => "publish",
            Self::FirstRoot { .. } => "first_root",
            Self::NextRoot { .. } => "next_root",
            Self::EndorseRoot { .. } => "endorse_root",
            Self::RotateTags { .. } => "rotate_tags",
            Self::Retire { .. } => "retire",
            Self::PublishFiles(_) => "publish_files",
        }
    }
}

impl Signer {
    /// Does what another process asks for, which showed a certificate of this name. The log tells the name, and behind it whom
    /// that process named.
    ///
    /// # Errors
    /// [`SignRefused`] and [`TufRefused`] as [`Failed`]; what is told of them is [`Failed::refusal`].
    pub async fn serve(&self, request: Request, client: &str, now: i64) -> Result<Answer, Failed> {
        let told = [client, request.collection(), request.holder(), request.caller()];
        if !told.into_iter().all(is_plain) {
            let message = format!("names are at most {NAME_BYTES} bytes without control characters");
            return Err(SignRefused::Unserved(Unserved::NotAllowed(message)).into());
        }
        if !request.is_about_its_own() {
            let message = format!("what begins with {TUF} belongs to trust domains, and nothing else does");
            return Err(SignRefused::Unserved(Unserved::NotAllowed(message)).into());
        }
        Ok(match request {
            Request::PublicKey(KeyAsked { collection, role, named }) => {
                Answer::Key(self.public_key(&collection, role, &named, now).await?)
            }
            Request::NextKey(KeyAsked { collection, role, named }) => {
                Answer::Key(self.next_key(&collection, role, &named, now).await?)
            }
            Request::DelegationKey { holder, given, next } => {
                Answer::Key(self.delegation_key(&holder, &given, next, now).await?)
            }
            Request::Held(asked) => Answer::Held(self.held(&asked.collection).await.map_err(SignRefused::from)?),
            Request::Destroy(asked) => {
                Answer::Destroyed(self.destroy(asked.collection).await.map_err(SignRefused::from)?)
            }
            Request::Sign(mut change) => {
                self.bounds.count(&change.collection, client, &change.caller, now).map_err(SignRefused::from)?;
                change.caller = format!("{client} for {}", change.caller);
                Answer::Signed(Box::new(self.sign_counted(change, now).await?))
            }
            Request::Delegate(mut change) => {
                self.bounds.count(&change.holder, client, &change.caller, now).map_err(SignRefused::from)?;
                change.caller = format!("{client} for {}", change.caller);
                let files = self.delegate_counted(change, now).await?.into_iter();
                Answer::Delegated(files.map(|(role, bytes)| (role.to_string(), bytes)).collect())
            }
            Request::Publish(mut change) => {
                self.bounds.count(&change.collection, client, &change.caller, now).map_err(TufRefused::from)?;
                change.caller = format!("{client} for {}", change.caller);
                Answer::Published(self.publish_counted(change, now).await?)
            }
            Request::PublishFiles(FilesAsked { domain, root, files, caller }) => {
                let caller = self.counted(&domain, client, &caller, now)?;
                Answer::Published(Some(self.publish_files((&domain, &root), &files, &caller, now).await?))
            }
            Request::FirstRoot { domain, caller } => {
                let caller = self.counted(&domain, client, &caller, now)?;
                Answer::Root(self.first_root_counted(&domain, &caller, now).await?)
            }
            Request::NextRoot { domain, current, plan, caller } => {
                let caller = self.counted(&domain, client, &caller, now)?;
                Answer::Root(self.next_root_counted(&domain, &current, plan, (&caller, now)).await?)
            }
            Request::EndorseRoot { domain, current, next, caller } => {
                let caller = self.counted(&domain, client, &caller, now)?;
                Answer::Root(self.endorse_root_counted(&domain, &current, &next, (&caller, now)).await?)
            }
            Request::RotateTags { domain } => {
                self.bounds.count(&domain, client, "", now).map_err(TufRefused::from)?;
                self.rotate_tags_counted(&domain, now).await?;
                Answer::Done
            }
            Request::Retire { domain, root } => Answer::Destroyed(self.retire(&domain, &root).await?),
        })
    }
}

impl Signer {
    /// Counts a signature under a trust domain that a client asks for in the name of `caller`; how the log names them.
    fn counted(&self, domain: &str, client: &str, caller: &str, now: i64) -> Result<String, TufRefused> {
        self.bounds.count(domain, client, caller, now)?;
        Ok(format!("{client} for {caller}"))
    }
}

/// Whether a name can be written down and shown as it is.
fn is_plain(name: &str) -> bool {
    name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
}

/// Why a request of another process was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// About a collection of Notary v1.
    #[error(transparent)]
    Sign(#[from] SignRefused),
    /// About a repository as TUF 1.0.
    #[error(transparent)]
    Tuf(#[from] TufRefused),
}

impl Failed {
    /// What the other process is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let failed = |error: &dyn std::error::Error| Refusal::Unserved(Unserved::Failed(error.to_string()));
        match self {
            Self::Sign(SignRefused::Falling { role, from, to }) => {
                Refusal::Falling { role: role.clone(), from: *from, to: *to }
            }
            Self::Tuf(TufRefused::Falling { from, to }) => {
                Refusal::Falling { role: "snapshot".to_owned(), from: *from, to: *to }
            }
            Self::Tuf(TufRefused::OtherRoot { known, told }) => Refusal::OtherRoot { known: *known, told: *told },
            Self::Sign(SignRefused::NoKey(role)) => Refusal::NoKey { role: role.to_string() },
            Self::Tuf(TufRefused::NoKey(role)) => Refusal::NoKey { role: (*role).to_owned() },
            Self::Sign(SignRefused::Unsigned) => Refusal::Unsigned,
            Self::Tuf(TufRefused::Build(BuildError::Anew(why))) => Refusal::Anew { why: why.to_string() },
            Self::Tuf(TufRefused::Root(flaw)) => Refusal::Root(flaw.clone()),
            Self::Tuf(TufRefused::Plan(why)) => Refusal::Plan(why.clone()),
            Self::Sign(SignRefused::Unserved(unserved)) | Self::Tuf(TufRefused::Unserved(unserved)) => {
                Refusal::Unserved(unserved.clone())
            }
            Self::Sign(SignRefused::Metadata(error)) | Self::Tuf(TufRefused::Metadata(error))
                if error.is_unavailable() =>
            {
                Refusal::Unserved(Unserved::Unavailable)
            }
            Self::Sign(error) => failed(error),
            Self::Tuf(error) => failed(error),
        }
    }
}

impl From<Refusal> for SignRefused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Falling { role, from, to } => Self::Falling { role, from, to },
            Refusal::NoKey { role } if role == ServerRole::Snapshot.as_str() => Self::NoKey(ServerRole::Snapshot),
            Refusal::NoKey { .. } => Self::NoKey(ServerRole::Timestamp),
            Refusal::Unsigned => Self::Unsigned,
            Refusal::Unserved(unserved) => Self::Unserved(unserved),
            Refusal::Anew { .. } | Refusal::Root(_) | Refusal::Plan(_) | Refusal::OtherRoot { .. } => {
                Self::Unserved(Unserved::Away("its answer is to another question".to_owned()))
            }
        }
    }
}

impl From<Refusal> for TufRefused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Falling { from, to, .. } => Self::Falling { from, to },
            Refusal::NoKey { role } => {
                let known = ["targets", "snapshot", "timestamp", "tags"].into_iter().find(|known| *known == role);
                Self::NoKey(known.unwrap_or("a role"))
            }
            Refusal::Anew { why } => Self::Build(BuildError::Anew(why.into())),
            Refusal::OtherRoot { known, told } => Self::OtherRoot { known, told },
            Refusal::Root(flaw) => Self::Root(flaw),
            Refusal::Plan(why) => Self::Plan(why),
            Refusal::Unsigned => Self::Unserved(Unserved::Failed("a snapshot is not signed".to_owned())),
            Refusal::Unserved(unserved) => Self::Unserved(unserved),
        }
    }
}
