//! What one client was told: the world as it must be after any crash, and where an answer is missing, what it may be.

use std::collections::{BTreeMap, BTreeSet};

use super::content::Content;
use crate::{http::Response, registry::path_of};

/// Whether a thing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Acknowledged.
    Present,
    /// Its delete was acknowledged, or it was looked for and not found.
    Absent,
    /// A request for it had no answer: either is right until it is looked at.
    Unsure,
}

#[derive(Clone, Debug)]
pub(crate) struct BlobFact {
    pub(crate) content: Content,
    pub(crate) presence: Presence,
}

#[derive(Clone, Debug)]
pub(crate) struct ManifestFact {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: &'static str,
    pub(crate) blobs: Vec<String>,
    pub(crate) children: Vec<String>,
    pub(crate) presence: Presence,
}

/// An upload that was opened and not finished.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The first Location, which names it here.
    pub(crate) name: String,
    /// The Location of the last answer, which the next request goes to.
    pub(crate) location: String,
    pub(crate) content: Content,
    /// Bytes that the server may have seen.
    pub(crate) sent: usize,
    /// Bytes that it said it holds.
    pub(crate) acknowledged: usize,
    /// Its last request was to finish or to cancel it, and had no answer: it may be gone.
    pub(crate) ending: bool,
}

impl Upload {
    /// Goes on at the Location of an answer.
    pub(crate) fn follow(&mut self, answer: &Response) {
        if let Some(location) = answer.header("location") {
            path_of(location).clone_into(&mut self.location);
        }
    }
}

/// One client's repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) blobs: BTreeMap<String, BlobFact>,
    pub(crate) manifests: BTreeMap<String, ManifestFact>,
    /// For each tag, what it may lead to: one entry when it is known, `None` for nowhere.
    pub(crate) tags: BTreeMap<String, BTreeSet<Option<String>>>,
    pub(crate) uploads: Vec<Upload>,
    /// Manifests acknowledged since the last look.
    pub(crate) fresh: Vec<String>,
}

impl Ledger {
    pub(crate) fn blob(&mut self, content: &Content, presence: Presence) {
        let fact = BlobFact { content: content.clone(), presence };
        self.blobs.insert(content.digest().to_owned(), fact);
    }

    /// A blob whose request had no answer: one that was there stays there.
    pub(crate) fn blob_in_flight(&mut self, content: &Content) {
        let known = self.blobs.get(content.digest());
        if known.is_none_or(|fact| fact.presence == Presence::Absent) {
            self.blob(content, Presence::Unsure);
        }
    }

    pub(crate) fn manifest(&mut self, digest: &str, presence: Presence) {
        if let Some(fact) = self.manifests.get_mut(digest) {
            fact.presence = presence;
        }
    }

    pub(crate) fn tag(&mut self, name: &str, target: Option<&str>) {
        self.tags.insert(name.to_owned(), BTreeSet::from([target.map(str::to_owned)]));
    }

    pub(crate) fn tag_in_flight(&mut self, name: &str, target: Option<&str>) {
        let possible = self.tags.entry(name.to_owned()).or_insert_with(|| BTreeSet::from([None]));
        possible.insert(target.map(str::to_owned));
    }

    /// The delete of a manifest begins: its tags may go with it.
    pub(crate) fn manifest_delete_in_flight(&mut self, digest: &str) {
        self.manifest(digest, Presence::Unsure);
        let wanted = Some(digest.to_owned());
        for possible in self.tags.values_mut().filter(|possible| possible.contains(&wanted)) {
            possible.insert(None);
        }
    }

    /// The delete of a manifest was acknowledged: no tag leads to it.
    pub(crate) fn manifest_deleted(&mut self, digest: &str) {
        self.manifest(digest, Presence::Absent);
        let gone = Some(digest.to_owned());
        for possible in self.tags.values_mut() {
            if possible.remove(&gone) {
                possible.insert(None);
            }
        }
    }

    /// Manifests that are there and that no other manifest may name.
    pub(crate) fn deletable(&self) -> Vec<String> {
        let living = || self.manifests.iter().filter(|(_, fact)| fact.presence != Presence::Absent);
        let children = living().flat_map(|(_, fact)| &fact.children).collect::<BTreeSet<_>>();
        let free = living().filter(|(digest, fact)| fact.presence == Presence::Present && !children.contains(digest));
        free.map(|(digest, _)| digest.clone()).collect()
    }

    /// Blobs that are there and that no manifest may name.
    pub(crate) fn free_blobs(&self) -> Vec<String> {
        let living = self.manifests.values().filter(|fact| fact.presence != Presence::Absent);
        let named = living.flat_map(|fact| &fact.blobs).collect::<BTreeSet<_>>();
        let free =
            self.blobs.iter().filter(|(digest, fact)| fact.presence == Presence::Present && !named.contains(digest));
        free.map(|(digest, _)| digest.clone()).collect()
    }

    pub(crate) fn present_blobs(&self) -> Vec<Content> {
        let present = self.blobs.values().filter(|fact| fact.presence == Presence::Present);
        present.map(|fact| fact.content.clone()).collect()
    }

    pub(crate) fn present_manifests(&self) -> Vec<String> {
        let present = self.manifests.iter().filter(|(_, fact)| fact.presence == Presence::Present);
        present.map(|(digest, _)| digest.clone()).collect()
    }

    pub(crate) fn upload(&mut self, name: &str) -> Option<&mut Upload> {
        self.uploads.iter_mut().find(|upload| upload.name == name)
    }

    pub(crate) fn upload_ended(&mut self, name: &str) {
        self.uploads.retain(|upload| upload.name != name);
    }
}
