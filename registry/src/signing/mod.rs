//! Lives here: the signer as the registry reaches it, within this process or as another one, and that other process.
//! Never here: private keys and what they sign (the crate `signer`), and what is published with it (`trust`).
//! Start reading at [`Signing`]; the other side of the wire is `http.rs`.

pub(crate) mod commands;
mod http;
pub mod process;
pub mod remote;

use std::collections::BTreeMap;

use hallmark_oci::{ErrorCode, ServerRole, TrustRole};
use hallmark_signer::notary::{Held, KeyDocument};
use hallmark_signer::tuf::Files;
use hallmark_signer::wire::{Answer, CollectionAsked, FilesAsked, KeyAsked, Refusal, Request, Unserved};
use hallmark_signer::{
    DelegationChange, NotaryChange, NotaryFiles, RootPlan, SignRefused, Signer, TufChange, TufRefused,
};

use self::remote::Remote;
use crate::http::error::Error;

/// Who signs: the questions and the refusals are the same wherever it is.
#[derive(Debug)]
pub enum Signing {
    /// Within this process, on its database.
    Embedded(Box<Signer>),
    /// Another process: this one holds no trust key, and none of its rows is the signer's.
    Remote(Box<Remote>),
}

impl Signing {
    /// The signer within this process, if it is here.
    #[must_use]
    pub fn embedded(&self) -> Option<&Signer> {
        match self {
            Self::Embedded(signer) => Some(signer),
            Self::Remote(_) => None,
        }
    }

    /// [`Signer::public_key`].
    ///
    /// # Errors
    /// [`SignRefused`]
    pub async fn public_key(
        &self,
        collection: &str,
        role: ServerRole,
        named: &[String],
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        match self {
            Self::Embedded(signer) => signer.public_key(collection, role, named, now).await,
            Self::Remote(remote) => key(remote.ask(&Request::PublicKey(key_asked(collection, role, named))).await?),
        }
    }

    /// [`Signer::next_key`].
    ///
    /// # Errors
    /// [`SignRefused`]
    pub async fn next_key(
        &self,
        collection: &str,
        role: ServerRole,
        named: &[String],
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        match self {
            Self::Embedded(signer) => signer.next_key(collection, role, named, now).await,
            Self::Remote(remote) => key(remote.ask(&Request::NextKey(key_asked(collection, role, named))).await?),
        }
    }

    /// [`Signer::held`].
    ///
    /// # Errors
    /// [`SignRefused`]
    pub async fn held(&self, collection: &str) -> Result<Held, SignRefused> {
        let remote = match self {
            Self::Embedded(signer) => return Ok(signer.held(collection).await?),
            Self::Remote(remote) => remote,
        };
        match remote.ask(&Request::Held(CollectionAsked { collection: collection.to_owned() })).await? {
            Answer::Held(held) => Ok(held),
            other => Err(refusal(other).into()),
        }
    }

    /// [`Signer::destroy`].
    ///
    /// # Errors
    /// [`SignRefused`]
    pub async fn destroy(&self, collection: String) -> Result<u64, SignRefused> {
        let remote = match self {
            Self::Embedded(signer) => return Ok(signer.destroy(collection).await?),
            Self::Remote(remote) => remote,
        };
        match remote.ask(&Request::Destroy(CollectionAsked { collection })).await? {
            Answer::Destroyed(keys) => Ok(keys),
            other => Err(refusal(other).into()),
        }
    }

    /// [`Signer::sign`].
    ///
    /// # Errors
    /// [`SignRefused`]; nothing is signed then.
    pub async fn sign(&self, change: NotaryChange, now: i64) -> Result<NotaryFiles, SignRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.sign(change, now).await,
            Self::Remote(remote) => remote,
        };
        match remote.ask(&Request::Sign(change)).await? {
            Answer::Signed(files) => Ok(*files),
            other => Err(refusal(other).into()),
        }
    }

    /// [`Signer::delegation_key`].
    ///
    /// # Errors
    /// [`SignRefused`]
    pub async fn delegation_key(
        &self,
        holder: String,
        given: Vec<String>,
        next: bool,
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        match self {
            Self::Embedded(signer) => signer.delegation_key(&holder, &given, next, now).await,
            Self::Remote(remote) => key(remote.ask(&Request::DelegationKey { holder, given, next }).await?),
        }
    }

    /// [`Signer::delegate`].
    ///
    /// # Errors
    /// [`SignRefused`]; nothing is signed then.
    pub async fn delegate(&self, change: DelegationChange, now: i64) -> Result<Vec<(TrustRole, Vec<u8>)>, SignRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.delegate(change, now).await,
            Self::Remote(remote) => remote,
        };
        let files = match remote.ask(&Request::Delegate(change)).await? {
            Answer::Delegated(files) => files,
            other => return Err(refusal(other).into()),
        };
        let role = |(role, bytes): (String, Vec<u8>)| Some((role.parse().ok()?, bytes));
        let files: Option<Vec<_>> = files.into_iter().map(role).collect();
        files.ok_or_else(|| Unserved::Failed("it names what is no role".to_owned()).into())
    }

    /// [`Signer::publish`].
    ///
    /// # Errors
    /// [`TufRefused`]; nothing is published then.
    pub async fn publish(&self, change: TufChange, now: i64) -> Result<Option<Files>, TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.publish(change, now).await,
            Self::Remote(remote) => remote,
        };
        match remote.ask(&Request::Publish(change)).await? {
            Answer::Published(files) => Ok(files),
            other => Err(refusal(other).into()),
        }
    }

    /// [`Signer::first_root`].
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn first_root(&self, domain: &str, caller: &str, now: i64) -> Result<Vec<u8>, TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.first_root(domain, caller, now).await,
            Self::Remote(remote) => remote,
        };
        root(remote.ask(&Request::FirstRoot { domain: domain.to_owned(), caller: caller.to_owned() }).await?)
    }
}

/// The questions about roots, and the files that the registry itself publishes.
impl Signing {
    /// [`Signer::next_root`].
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn next_root(
        &self,
        domain: &str,
        current: &[u8],
        plan: RootPlan,
        (caller, now): (&str, i64),
    ) -> Result<Vec<u8>, TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.next_root(domain, current, plan, (caller, now)).await,
            Self::Remote(remote) => remote,
        };
        let (domain, current, caller) = (domain.to_owned(), current.to_vec(), caller.to_owned());
        root(remote.ask(&Request::NextRoot { domain, current, plan, caller }).await?)
    }

    /// [`Signer::endorse_root`].
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn endorse_root(
        &self,
        domain: &str,
        current: &[u8],
        next: &[u8],
        (caller, now): (&str, i64),
    ) -> Result<Vec<u8>, TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.endorse_root(domain, current, next, (caller, now)).await,
            Self::Remote(remote) => remote,
        };
        let (domain, current, next) = (domain.to_owned(), current.to_vec(), next.to_vec());
        root(remote.ask(&Request::EndorseRoot { domain, current, next, caller: caller.to_owned() }).await?)
    }

    /// [`Signer::rotate_tags`].
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn rotate_tags(&self, domain: &str, now: i64) -> Result<(), TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.rotate_tags(domain, now).await,
            Self::Remote(remote) => remote,
        };
        match remote.ask(&Request::RotateTags { domain: domain.to_owned() }).await? {
            Answer::Done => Ok(()),
            other => Err(refusal(other).into()),
        }
    }

    /// [`Signer::retire`].
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn retire(&self, domain: &str, root: &[u8]) -> Result<u64, TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.retire(domain, root).await,
            Self::Remote(remote) => remote,
        };
        match remote.ask(&Request::Retire { domain: domain.to_owned(), root: root.to_vec() }).await? {
            Answer::Destroyed(keys) => Ok(keys),
            other => Err(refusal(other).into()),
        }
    }

    /// [`Signer::publish_files`].
    ///
    /// # Errors
    /// [`TufRefused`]; nothing is published then.
    pub async fn publish_files(
        &self,
        (domain, root): (&str, &[u8]),
        files: &BTreeMap<String, (u64, [u8; 32])>,
        caller: &str,
        now: i64,
    ) -> Result<Files, TufRefused> {
        let remote = match self {
            Self::Embedded(signer) => return signer.publish_files((domain, root), files, caller, now).await,
            Self::Remote(remote) => remote,
        };
        let (domain, root, files, caller) = (domain.to_owned(), root.to_vec(), files.clone(), caller.to_owned());
        match remote.ask(&Request::PublishFiles(FilesAsked { domain, root, files, caller })).await? {
            Answer::Published(Some(files)) => Ok(files),
            other => Err(refusal(other).into()),
        }
    }
}

fn root(answer: Answer) -> Result<Vec<u8>, TufRefused> {
    match answer {
        Answer::Root(root) => Ok(root),
        other => Err(refusal(other).into()),
    }
}

fn key_asked(collection: &str, role: ServerRole, named: &[String]) -> KeyAsked {
    KeyAsked { collection: collection.to_owned(), role, named: named.to_vec() }
}

fn key(answer: Answer) -> Result<KeyDocument, SignRefused> {
    match answer {
        Answer::Key(key) => Ok(key),
        other => Err(refusal(other).into()),
    }
}

/// What an answer says that is not the one to the question.
fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        Answer::Key(_)
        | Answer::Held(_)
        | Answer::Destroyed(_)
        | Answer::Signed(_)
        | Answer::Delegated(_)
        | Answer::Published(_)
        | Answer::Done
        | Answer::Root(_) => Refusal::Unserved(Unserved::Away("its answer is to another question".to_owned())),
    }
}

/// What the signer did not look at: it may be back in a moment, or its operator has to act.
pub(crate) fn unserved(unserved: Unserved) -> Error {
    match unserved {
        Unserved::Away(_) | Unserved::Unavailable => {
            let message = "the signer does not answer at the moment; images can be pushed and pulled meanwhile";
            Error::unavailable(message, Some(unserved.into()))
        }
        Unserved::Busy { wait_ms } => {
            let seconds = u32::try_from(wait_ms.div_euclid(1_000) + 1).unwrap_or(u32::MAX);
            Error::plain(ErrorCode::TooManyRequests).retry_after(seconds).because(unserved)
        }
        Unserved::NotAllowed(_) | Unserved::Failed(_) => Error::internal(unserved),
    }
}
