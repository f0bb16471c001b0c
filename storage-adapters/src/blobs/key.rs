//! Every path under which bytes are stored, spelled in this file only.
//!
//! ```text
//! a folder                                    an S3 bucket
//!
//! DIR/                                        <prefix>/            (left out when empty)
//! └─ blobs/                                   └─ blobs/
//!    ├─ 00/ … ff/   all 256 made at open         └─ 4f/
//!    ├─ 4f/                                         ├─ 4f0c…9a     a blob, or an upload under way
//!    │  ├─ 4f0c…9a  a blob, or an upload            └─ 4f77…03     the tail of an upload
//!    │  └─ 4f77…03
//!    ├─ .mark      whose store this is             └─ .mark
//!    └─ .probe      comes and goes with `check`
//! ```
//!
//! The first two digits of a key choose the folder: keys are random, so the folders fill evenly.

use std::path::{Path, PathBuf};

use object_store::path::Path as ObjectPath;

use crate::StorageKey;

/// The folder that holds the fan-out folders.
const ROOT: &str = "blobs";
/// The hexadecimal digits of a key that name its fan-out folder.
const FANOUT_DIGITS: usize = 2;

/// The folder that holds every fan-out folder.
pub(super) fn blobs_folder(folder: &Path) -> PathBuf {
    folder.join(ROOT)
}

/// The names of the 256 fan-out folders.
pub(super) fn fanout() -> impl Iterator<Item = String> {
    (0..=u8::MAX).map(|byte| format!("{byte:02x}"))
}

/// The fan-out folder of a key.
pub(super) fn fanout_folder(folder: &Path, key: &StorageKey) -> PathBuf {
    blobs_folder(folder).join(&key.as_str()[..FANOUT_DIGITS])
}

/// The fan-out folder of all keys that begin with this byte.
pub(super) fn shard_folder(folder: &Path, shard: u8) -> PathBuf {
    blobs_folder(folder).join(format!("{shard:02x}"))
}

/// What all objects begin with whose keys begin with this byte.
pub(super) fn shard_prefix(prefix: &str, shard: u8) -> ObjectPath {
    ObjectPath::from(format!("{prefix}/{ROOT}/{shard:02x}"))
}

/// The file of a key.
pub(super) fn file(folder: &Path, key: &StorageKey) -> PathBuf {
    fanout_folder(folder, key).join(key.as_str())
}

/// The file that `check` makes and removes to learn whether the folder can be written.
pub(super) fn probe_file(folder: &Path) -> PathBuf {
    blobs_folder(folder).join(".probe")
}

/// The file that says whose store this is.
pub(super) fn mark_file(folder: &Path) -> PathBuf {
    blobs_folder(folder).join(".mark")
}

/// The object that says whose store this is.
pub(super) fn mark_object(prefix: &str) -> ObjectPath {
    ObjectPath::from(format!("{prefix}/{ROOT}/.mark"))
}

/// The object of a key in a bucket.
pub(super) fn object(prefix: &str, key: &StorageKey) -> ObjectPath {
    let name = key.as_str();
    ObjectPath::from(format!("{prefix}/{ROOT}/{}/{name}", &name[..FANOUT_DIGITS]))
}

/// An object that is never written: asking for it tells whether the bucket answers.
pub(super) fn probe_object(prefix: &str) -> ObjectPath {
    ObjectPath::from(format!("{prefix}/{ROOT}/.probe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [0x4f; 16];

    #[test]
    fn a_file_stands_in_the_folder_of_its_first_two_digits() {
        let path = file(Path::new("/data"), &StorageKey::from_bytes(KEY));
        assert_eq!(path, Path::new("/data/blobs/4f/4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f"));
    }

    #[test]
    fn an_object_stands_under_the_prefix() {
        let key = StorageKey::from_bytes(KEY);
        let name = "blobs/4f/4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f";
        assert_eq!(object("", &key).as_ref(), name);
        assert_eq!(object("a/b/", &key).as_ref(), format!("a/b/{name}"));
    }

    #[test]
    fn the_fan_out_has_256_folders() {
        let names: Vec<String> = fanout().collect();
        assert_eq!((names.len(), &*names[0], &*names[255]), (256, "00", "ff"));
    }
}
