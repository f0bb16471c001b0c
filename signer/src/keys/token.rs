//! A token of PKCS#11, asked for nothing but to seal and to open one short text under a key of its own.
//!
//! The module is the vendor's code, loaded into this process. It is initialized for one use and left again, so that nothing of a
//! session stays; the library is one to a process, so uses wait for each other.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

/// What is authenticated with a sealed master key.
const PURPOSE: &[u8] = b"hallmark master key";
const TAG_BITS: u64 = 128;

/// The library of a module is one to a process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Which key of which token.
pub struct Token {
    /// The module: a shared library.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the key: AES with 256 bits. It is made when the first master key is sealed under it.
    pub key: String,
    /// The PIN of the token's user.
    pub pin: Zeroizing<String>,
}

/// Why a token does not do it.
#[derive(Debug, thiserror::Error)]
pub enum TokenFailed {
    /// The module says so.
    #[error("{doing}: {source}")]
    Module {
        /// At what.
        doing: &'static str,
        /// What it says.
        source: cryptoki::error::Error,
    },
    /// No slot has a token with this label.
    #[error("no token has the label {0:?}")]
    NoToken(String),
    /// The token has no such key.
    #[error("the token has no AES key with the label {0:?}")]
    NoKey(String),
    /// More than one key has the label: which of them opens is not for us to guess.
    #[error("the token has more than one AES key with the label {0:?}")]
    ManyKeys(String),
}

fn at(doing: &'static str) -> impl Fn(cryptoki::error::Error) -> TokenFailed {
    move |source| TokenFailed::Module { doing, source }
}

impl Token {
    /// Seals `plain` under the key, which is made where there is none. Gives the nonce that holds, for some tokens choose it, and
    /// the sealed text.
    ///
    /// # Errors
    /// [`TokenFailed`]
    pub(super) fn seal(&self, nonce: [u8; 12], plain: &[u8]) -> Result<(Vec<u8>, Vec<u8>), TokenFailed> {
        self.with_session(|session| {
            let key = match self.find(session)? {
                Some(key) => key,
                None => self.make(session)?,
            };
            let mut nonce = nonce.to_vec();
            let parameters = GcmParams::new(&mut nonce, PURPOSE, TAG_BITS.into()).map_err(at("a nonce"))?;
            let sealed = session.encrypt(&Mechanism::AesGcm(parameters), key, plain).map_err(at("sealing"))?;
            Ok((nonce, sealed))
        })
    }

    /// Opens what [`Token::seal`] sealed.
    ///
    /// # Errors
    /// [`TokenFailed`]
    pub(super) fn open(&self, nonce: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, TokenFailed> {
        self.with_session(|session| {
            let key = self.find(session)?.ok_or_else(|| TokenFailed::NoKey(self.key.clone()))?;
            let mut nonce = nonce.to_vec();
            let parameters = GcmParams::new(&mut nonce, PURPOSE, TAG_BITS.into()).map_err(at("a nonce"))?;
            let opened = session.decrypt(&Mechanism::AesGcm(parameters), key, sealed).map_err(at("opening"))?;
            Ok(Zeroizing::new(opened))
        })
    }

    fn with_session<T>(&self, work: impl FnOnce(&Session) -> Result<T, TokenFailed>) -> Result<T, TokenFailed> {
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let module = Pkcs11::new(&self.module).map_err(at("loading the module"))?;
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        module.initialize(locking).map_err(at("initializing the module"))?;
        let done = self.session(&module).and_then(|session| work(&session));
        // What was done is done, whatever the module says as it is left.
        let _ = module.finalize();
        done
    }

    fn session(&self, module: &Pkcs11) -> Result<Session, TokenFailed> {
        let slots = module.get_slots_with_initialized_token().map_err(at("looking for tokens"))?;
        let has_label = |slot: &_| module.get_token_info(*slot).is_ok_and(|info| info.label() == self.token);
        let slot = slots.into_iter().find(has_label).ok_or_else(|| TokenFailed::NoToken(self.token.clone()))?;
        let session = module.open_rw_session(slot).map_err(at("opening a session"))?;
        session.login(UserType::User, Some(&AuthPin::new(self.pin.as_str().into()))).map_err(at("showing the PIN"))?;
        Ok(session)
    }

    fn find(&self, session: &Session) -> Result<Option<ObjectHandle>, TokenFailed> {
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key.as_bytes().to_vec()),
        ];
        match session.find_objects(&wanted).map_err(at("looking for the key"))?.as_slice() {
            [] => Ok(None),
            [key] => Ok(Some(*key)),
            [_, _, ..] => Err(TokenFailed::ManyKeys(self.key.clone())),
        }
    }

    /// A key that never leaves the token.
    fn make(&self, session: &Session) -> Result<ObjectHandle, TokenFailed> {
        let template = [
            Attribute::Label(self.key.as_bytes().to_vec()),
            Attribute::ValueLen(32_u64.into()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &template).map_err(at("making the key"))
    }
}
