//! The master key as the settings name it: read from its file, from a passphrase, or left to a token.

use std::path::Path;

use hallmark_signer::keys::{MasterKey, Source, Token};
use zeroize::Zeroizing;

use crate::app::{StartError, write_secret};
use crate::clock::Random;
use crate::config;

/// The longest file of a key, passphrase or PIN that is read, in bytes.
const FILE_BYTES: u64 = 4_096;

/// Where a key is given that is in no file.
const VARIABLE: &str = "HALLMARK_MASTER_KEY";

/// What the settings name. The file of a key is made where there is none.
///
/// # Errors
/// [`StartError::File`], [`StartError::MasterKey`]
pub(crate) fn source(named: &config::MasterKey, random: &Random) -> Result<Source, StartError> {
    match named {
        config::MasterKey::Given(text) => key(Zeroizing::new(text.expose().to_owned()), VARIABLE),
        config::MasterKey::File(path) => {
            if !path.exists() {
                write_secret(path, Zeroizing::new(MasterKey::generate_text(&random.bytes())).as_bytes())?;
            }
            key(read(path)?, &path.display().to_string())
        }
        config::MasterKey::Passphrase(words) => Ok(Source::Passphrase(Zeroizing::new(words.expose().to_owned()))),
        config::MasterKey::PassphraseFile(path) => Ok(Source::Passphrase(line(path)?)),
        config::MasterKey::Token(token) => Ok(Source::Token(Token {
            module: token.module.clone(),
            token: token.token.clone(),
            key: token.key.clone(),
            pin: line(&token.pin_file)?,
        })),
    }
}

/// Refuses what [`source`] would, without making the file of a key where there is none.
///
/// # Errors
/// [`StartError::File`], [`StartError::MasterKey`]
pub(crate) fn check(named: &config::MasterKey) -> Result<(), StartError> {
    match named {
        config::MasterKey::File(path) if !path.exists() => Ok(()),
        config::MasterKey::File(path) => key(read(path)?, &path.display().to_string()).map(drop),
        config::MasterKey::Given(text) => key(Zeroizing::new(text.expose().to_owned()), VARIABLE).map(drop),
        config::MasterKey::Passphrase(_) => Ok(()),
        config::MasterKey::PassphraseFile(path) => line(path).map(drop),
        config::MasterKey::Token(token) => line(&token.pin_file).map(drop),
    }
}

/// Said where it came from, for a text that is no key.
fn key(text: Zeroizing<String>, place: &str) -> Result<Source, StartError> {
    match text.parse::<MasterKey>() {
        Ok(_) => Ok(Source::Key(text)),
        Err(source) => Err(StartError::MasterKey { place: place.to_owned(), source }),
    }
}

/// The first line of a file, without its end.
pub(crate) fn line(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let text = read(path)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, StartError> {
    use std::io::Read as _;
    let attempt = || {
        // The room is there from the beginning: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES as usize));
        std::fs::File::open(path)?.take(FILE_BYTES).read_to_string(&mut text)?;
        Ok(text)
    };
    attempt().map_err(|source| StartError::File { path: path.display().to_string(), source })
}
