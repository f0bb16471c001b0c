//! Several directories, asked one after another.

use std::collections::BTreeSet;

use super::Directory;
use super::config::DirectoryConfig;
use super::error::{DirectoryError, DirectoryInvalid};
use super::person::Person;

/// The directories of a registry, in the order in which they are asked.
#[derive(Debug, Default)]
pub struct Directories(Vec<Directory>);

impl Directories {
    /// Checks the settings of all.
    ///
    /// # Errors
    /// [`DirectoryInvalid`] for the first that is refused, or when two have one name.
    pub fn new(configs: &[DirectoryConfig]) -> Result<Self, DirectoryInvalid> {
        let mut names = BTreeSet::new();
        if let Some(twice) = configs.iter().find(|config| !names.insert(&config.name)) {
            return Err(DirectoryInvalid::NameTaken(twice.name.clone()));
        }
        configs.iter().map(Directory::new).collect::<Result<_, _>>().map(Self)
    }

    /// The directory of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Directory> {
        self.0.iter().find(|directory| directory.name() == name)
    }

    /// Signs somebody in at the first directory that knows their name and password. One that fails keeps nobody out whom
    /// a later one knows; its failure goes to the log.
    ///
    /// # Errors
    /// [`DirectoryError`] of the first that failed, when none knows them: it might have.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<Option<Person>, DirectoryError> {
        let mut failure = None;
        for directory in &self.0 {
            match directory.sign_in(name, password).await {
                Ok(None) => {}
                Ok(Some(person)) => {
                    if let Some(error) = failure {
                        passed_over(&error);
                    }
                    return Ok(Some(person));
                }
                Err(error) => {
                    if let Some(earlier) = failure.replace(error) {
                        passed_over(&earlier);
                    }
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

/// What is not returned is logged here.
fn passed_over(error: &DirectoryError) {
    tracing::warn!(
        directory = %error.directory, cause = %error.cause,
        "a directory failed and was passed over: {error}"
    );
}
