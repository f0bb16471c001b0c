//! What is left in the data folder, looked at as anybody can who may read it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use hallmark_conformance::{Outcome, image::digest};

/// The digests of all files that hold bytes, each with how many hold them.
pub(crate) fn digests(data: &Path) -> Outcome<BTreeMap<String, usize>> {
    let mut digests = BTreeMap::new();
    for file in files(data)? {
        *digests.entry(digest(&fs::read(file)?)).or_default() += 1;
    }
    Ok(digests)
}

/// All files that hold bytes, beside the mark that says whose folder it is.
pub(crate) fn files(data: &Path) -> Outcome<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![data.join("blobs/blobs")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != ".mark" {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}
