//! Where a master key comes from: 32 bytes in a file, a passphrase, or a token of PKCS#11.
//!
//! Beside a passphrase or a token stands a record in the database: the salt and the costs, or the master key sealed by the token.
//! It opens nothing by itself, and whoever changes it makes the signer start no more.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::derive::{Costs, derive};
use super::token::{Token, TokenFailed};
use super::{MasterKey, MasterKeyInvalid};
use crate::custody::{fill, random};

/// The fewest bytes of a passphrase.
pub const PASSPHRASE_BYTES: usize = 12;

/// What a master key is made of.
pub enum Source {
    /// 32 bytes in base64.
    Key(Zeroizing<String>),
    /// Words that a person knows or a secret store hands out.
    Passphrase(Zeroizing<String>),
    /// A key inside a token, which it never leaves.
    Token(Token),
}

/// What stands in the database beside a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// How the key is derived from the passphrase.
    Passphrase {
        /// 16 random bytes.
        #[serde(with = "crate::forms::base64_bytes")]
        salt: [u8; 16],
        /// What a guess costs.
        costs: Costs,
        /// The id of the key, so that a wrong passphrase is told as such.
        #[serde(with = "crate::forms::base64_bytes")]
        id: [u8; 8],
    },
    /// The master key itself, sealed by the token.
    Token {
        /// The nonce.
        #[serde(with = "crate::forms::base64_bytes")]
        nonce: Vec<u8>,
        /// Ciphertext and tag of AES-256-GCM.
        #[serde(with = "crate::forms::base64_bytes")]
        sealed: Vec<u8>,
    },
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterRefused {
    /// The text is no key.
    #[error(transparent)]
    Invalid(#[from] MasterKeyInvalid),
    /// The passphrase is too short to be one.
    #[error("a passphrase has at least {PASSPHRASE_BYTES} bytes")]
    Short,
    /// It is not the passphrase.
    #[error("this is not the passphrase that the keys were sealed under")]
    Passphrase,
    /// The token does not do it.
    #[error("the token cannot be used")]
    Token(#[from] TokenFailed),
    /// The token opened the record to something that is no key: another token or key sealed it.
    #[error("what the token opens is no master key")]
    NotOurs,
    /// The keys were sealed under another kind of master key.
    #[error(
        "the keys were sealed under {sealed}, and the settings name {named}: start with what they were sealed under, and \
             change it with `hallmark signer rewrap`"
    )]
    Kind {
        /// What the record says.
        sealed: &'static str,
        /// What the settings say.
        named: &'static str,
    },
    /// The record cannot be read.
    #[error("the record of the master key is damaged")]
    Record,
    /// The costs in the record are absurd.
    #[error("the costs of the passphrase are out of bounds")]
    Costs,
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// The database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] hallmark_storage::metadata::Error),
}

impl Source {
    fn word(&self) -> &'static str {
        match self {
            Self::Key(_) => KEY,
            Self::Passphrase(_) => "a passphrase",
            Self::Token(_) => "a token of PKCS#11",
        }
    }

    /// A master key for what is not sealed yet, and the record to keep beside it. A passphrase takes a moment, and a token may:
    /// this blocks.
    ///
    /// # Errors
    /// [`MasterRefused`]
    pub fn make(&self) -> Result<(MasterKey, Option<Record>), MasterRefused> {
        match self {
            Self::Key(text) => Ok((text.parse()?, None)),
            Self::Passphrase(words) => {
                if words.len() < PASSPHRASE_BYTES {
                    return Err(MasterRefused::Short);
                }
                let (salt, costs) = (fresh()?, Costs::default());
                let key = MasterKey::new(&*derive(words, &salt, costs)?);
                let id = key.id();
                Ok((key, Some(Record::Passphrase { salt, costs, id })))
            }
            Self::Token(token) => {
                let bytes = Zeroizing::new(fresh::<32>()?);
                let (nonce, sealed) = token.seal(fresh()?, bytes.as_slice())?;
                Ok((MasterKey::new(&bytes), Some(Record::Token { nonce, sealed })))
            }
        }
    }

    /// The master key that this record stands beside. Blocks as [`Source::make`] does.
    ///
    /// # Errors
    /// [`MasterRefused`]
    pub fn open(&self, record: Option<&Record>) -> Result<MasterKey, MasterRefused> {
        match (self, record) {
            (Self::Key(text), None) => Ok(text.parse()?),
            (Self::Passphrase(words), Some(Record::Passphrase { salt, costs, id })) => {
                let key = MasterKey::new(&*derive(words, salt, *costs)?);
                if key.id() == *id { Ok(key) } else { Err(MasterRefused::Passphrase) }
            }
            (Self::Token(token), Some(Record::Token { nonce, sealed })) => {
                let bytes = token.open(nonce, sealed)?;
                let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| MasterRefused::NotOurs)?;
                Ok(MasterKey::new(bytes))
            }
            (source, record) => {
                let sealed = record.map_or(KEY, Record::word);
                Err(MasterRefused::Kind { sealed, named: source.word() })
            }
        }
    }
}

/// What a key file is called.
const KEY: &str = "a key of 32 bytes";

impl Record {
    fn word(&self) -> &'static str {
        match self {
            Self::Passphrase { .. } => "a passphrase",
            Self::Token { .. } => "a token of PKCS#11",
        }
    }

    /// As the database keeps it.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the database.
    ///
    /// # Errors
    /// [`MasterRefused::Record`]
    pub fn parse(text: &str) -> Result<Self, MasterRefused> {
        serde_json::from_str(text).map_err(|_| MasterRefused::Record)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.word())
    }
}

fn fresh<const N: usize>() -> Result<[u8; N], MasterRefused> {
    fill(&random()).map_err(|_| MasterRefused::Random)
}
