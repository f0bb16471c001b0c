//! The master key as the settings name it: read from its file, from a passphrase, or left to a token.

use std::path::{Path, PathBuf};

use hallmark_signer::keys::{MasterKey, Source, Token};
use zeroize::Zeroizing;

use crate::app::{StartError, write_first_secret};
use crate::clock::Random;
use crate::config;

/// The longest file of a key, passphrase or PIN that is read, in bytes.
const FILE_BYTES: u64 = 4_096;

/// What the settings name.
pub(crate) enum Named {
    /// What is there.
    There(Source),
    /// The file of a key that is still to be made.
    ToMake(PathBuf),
}

impl Named {
    /// Reads what the settings name, and makes nothing. Each file is read once: it may be a pipe.
    ///
    /// # Errors
    /// [`StartError::File`], [`StartError::MasterKey`]
    pub(crate) fn read(settings: &config::MasterKey) -> Result<Self, StartError> {
        let there = match settings {
            config::MasterKey::Given(text) => key(Zeroizing::new(text.expose().to_owned()), "HALLMARK_MASTER_KEY")?,
            config::MasterKey::File(path) => match path.try_exists() {
                Ok(true) => key(read(path)?, &path.display().to_string())?,
                Ok(false) => return Ok(Self::ToMake(path.clone())),
                Err(source) => return Err(unusable(path, source)),
            },
            config::MasterKey::Passphrase(words) => Source::Passphrase(Zeroizing::new(words.expose().to_owned())),
            config::MasterKey::PassphraseFile(path) => Source::Passphrase(line(path)?),
            config::MasterKey::Token(token) => Source::Token(Token {
                module: token.module.clone(),
                token: token.token.clone(),
                key: token.key.clone(),
                pin: line(&token.pin_file)?,
            }),
        };
        Ok(Self::There(there))
    }

    /// The file of a key is made where there is none.
    ///
    /// # Errors
    /// [`StartError::File`], [`StartError::MasterKey`]
    pub(crate) fn source(self, random: &Random) -> Result<Source, StartError> {
        match self {
            Self::There(source) => Ok(source),
            Self::ToMake(path) => {
                // Of replicas that start together one makes the key, and all read it.
                write_first_secret(&path, Zeroizing::new(MasterKey::generate_text(&random.bytes())).as_bytes())?;
                key(read(&path)?, &path.display().to_string())
            }
        }
    }
}

/// What the settings name. The file of a key is made where there is none.
///
/// # Errors
/// As for [`Named::read`] and [`Named::source`].
pub(crate) fn source(settings: &config::MasterKey, random: &Random) -> Result<Source, StartError> {
    Named::read(settings)?.source(random)
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
    attempt().map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: std::io::Error) -> StartError {
    StartError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_find_no_key_the_second_takes_that_of_the_first() {
        let folder = tempfile::TempDir::new().unwrap();
        let settings = config::MasterKey::File(folder.path().join("master.key"));
        let found = [Named::read(&settings).unwrap(), Named::read(&settings).unwrap()];
        let keys = found.map(|named| match named.source(&Random::system()).unwrap() {
            Source::Key(text) => text.trim().to_owned(),
            Source::Passphrase(_) | Source::Token(_) => panic!("no key"),
        });
        assert_eq!(keys[0], keys[1]);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["master.key"]);
    }
}
