//! A file of secrets of one person: read whole, changed under a lock, and replaced at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use super::output::Failure;
use crate::config::{Person, Secret};
use crate::durable;

/// The longest file that is read, in bytes.
const BYTES: u64 = 4 << 20;
/// How long another program may hold the lock; each holds it for a few system calls.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// How often the lock is tried.
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// A TOML file of mode 0600 in a folder of mode 0700.
#[derive(Clone, Debug)]
pub(super) struct PrivateFile {
    folder: PathBuf,
    name: &'static str,
}

impl PrivateFile {
    /// The file of this name in the person's folder.
    pub(super) fn of(person: &Person, name: &'static str) -> Result<Self, Failure> {
        let none = || Failure::Failed("there is no folder for your files: set HOME or XDG_CONFIG_HOME".to_owned());
        Ok(Self { folder: person.folder.clone().ok_or_else(none)?, name })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// What the file holds; the default when there is none.
    pub(super) fn read<T: Default + DeserializeOwned>(&self) -> Result<T, Failure> {
        let path = self.path();
        let unreadable = |error: io::Error| failure(&path, &format!("cannot be read: {error}"));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
            opened => opened.map_err(unreadable)?,
        };
        let facts = file.metadata().map_err(unreadable)?;
        if facts.permissions().mode() & 0o077 != 0 {
            return Err(failure(&path, &format!("can be read by others: run `chmod 600 {}`", path.display())));
        }
        if facts.len() > BYTES {
            return Err(failure(&path, "is longer than 4 MiB"));
        }
        let text = io::read_to_string(file).map_err(unreadable)?;
        toml::from_str(&text).map_err(|error| {
            // The parser's own words would show the line, and a secret may stand in it.
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            failure(&path, &format!("is not understood at line {line}; was it written by another version of hallmark?"))
        })
    }

    /// Changes what the file holds, unless `change` fails. Others wait for their turn.
    pub(super) fn change<T, R>(&self, change: impl FnOnce(&mut T) -> Result<R, Failure>) -> Result<R, Failure>
    where
        T: Default + DeserializeOwned + Serialize,
    {
        let _lock = self.lock()?;
        let mut content = self.read()?;
        let given = change(&mut content)?;
        let text =
            toml::to_string(&content).map_err(|error| failure(&self.path(), &format!("cannot be written: {error}")))?;
        self.replace(&text).map_err(|error| failure(&self.path(), &format!("cannot be written: {error}")))?;
        Ok(given)
    }

    fn lock(&self) -> Result<File, Failure> {
        let path = self.folder.join(format!("{}.lock", self.name));
        let unusable = |error: io::Error| failure(&path, &format!("cannot be used: {error}"));
        durable::make_folder(&self.folder).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(false).mode(0o600).open(&path).map_err(unusable)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begin.elapsed() < LOCK_LIMIT => std::thread::sleep(LOCK_EVERY),
                Err(TryLockError::WouldBlock) => return Err(failure(&path, "is held by another program")),
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
        }
    }

    /// Writes the text beside the file and renames it, so that nobody ever reads a half, also when the machine stops.
    fn replace(&self, text: &str) -> io::Result<()> {
        let draft = self.folder.join(format!("{}.new", self.name));
        // Left by one that was killed; the lock says that nobody writes it now.
        let _ = std::fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, self.path())?;
        durable::sync_name(&self.path())
    }
}

fn failure(path: &Path, what: &str) -> Failure {
    Failure::Failed(format!("{} {what}", path.display()))
}

/// Writes a secret where it belongs: into a file of mode 0600, or to docker, which asked for it.
pub(super) fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Content = BTreeMap<String, String>;

    fn file(folder: &Path) -> PrivateFile {
        PrivateFile { folder: folder.join("a/hallmark"), name: "x.toml" }
    }

    fn put(file: &PrivateFile, name: &str) {
        let insert = |content: &mut Content| {
            content.insert(name.to_owned(), "secret".to_owned());
            Ok(())
        };
        file.change(insert).unwrap();
    }

    #[test]
    fn what_is_written_is_private_and_read_again() {
        let home = tempfile::tempdir().unwrap();
        let file = file(home.path());
        assert!(file.read::<Content>().unwrap().is_empty());
        put(&file, "one");
        put(&file, "other");
        assert_eq!(file.read::<Content>().unwrap().len(), 2);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.path()), mode(&file.folder)), (0o600, 0o700));
    }

    #[test]
    fn a_change_that_fails_leaves_the_file_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let file = file(home.path());
        put(&file, "one");
        let fail = |content: &mut Content| {
            content.clear();
            Err::<(), _>(Failure::Shown)
        };
        file.change(fail).unwrap_err();
        assert_eq!(file.read::<Content>().unwrap().len(), 1);
    }

    #[test]
    fn many_writers_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        let file = file(home.path());
        std::thread::scope(|scope| {
            for name in 0..8 {
                let file = &file;
                scope.spawn(move || put(file, &name.to_string()));
            }
        });
        assert_eq!(file.read::<Content>().unwrap().len(), 8);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = file(home.path());
        put(&file, "one");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = file.read::<Content>().unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_secret_in_a_broken_file_is_not_told() {
        let home = tempfile::tempdir().unwrap();
        let file = file(home.path());
        put(&file, "one");
        std::fs::write(file.path(), "a = \"x\"\ntoken = \"hunter2\" hunter2\n").unwrap();
        let refused = file.read::<Content>().unwrap_err().to_string();
        assert!(refused.contains("line 2") && !refused.contains("hunter2"), "{refused}");
    }
}
