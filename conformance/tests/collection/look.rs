//! What a client finds when it looks: at one image while the storm goes on, and at everything after it.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_conformance::{
    http::Request,
    image::{Content, INDEX, MANIFEST, digest},
};

use crate::{
    client::{Client, Known, Step},
    image::{Image, content},
};

/// What is there of what one client has pushed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The numbers of the contents that are named.
    pub(crate) blobs: BTreeSet<u64>,
    /// The manifests, and how long they are.
    pub(crate) manifests: BTreeMap<String, usize>,
}

impl Found {
    pub(crate) fn merge(&mut self, other: Self) {
        self.blobs.extend(other.blobs);
        self.manifests.extend(other.manifests);
    }
}

impl Client {
    /// Pulls what is there, down to its bytes, with its children; and finds what refers to it.
    pub(crate) fn pull(&mut self, image: &Image) -> Step<()> {
        let whole = image;
        for image in whole.all() {
            let before = self.tally.violations.len();
            self.pull_manifest(&image.manifest)?;
            if self.tally.violations.len() > before {
                let told = self.history(&[&whole.manifest.digest, &image.manifest.digest]);
                self.tally
                    .violations
                    .push(format!("pulled {} of {}: {told}", image.manifest.digest, whole.manifest.digest));
            }
            for number in image.own_blobs() {
                self.pull_blob(number)?;
            }
        }
        self.find_referrers(&image.manifest.digest)
    }

    fn pull_manifest(&mut self, manifest: &Content) -> Step<()> {
        let target = self.path(&format!("manifests/{}", manifest.digest));
        let answer = self.exchange(Request::new("GET", target).header("Accept", &manifest.media_type))?;
        if self.is("GET of a manifest that was acknowledged", &answer, &[200]) && answer.body != manifest.bytes {
            self.tally.violations.push(format!("{} has other bytes", manifest.digest));
        }
        Ok(())
    }

    fn pull_blob(&mut self, number: u64) -> Step<()> {
        let wanted = content(number).digest;
        let answer = self.exchange(Request::new("GET", self.path(&format!("blobs/{wanted}"))))?;
        if !self.is("GET of a blob that an acknowledged manifest names", &answer, &[200]) {
            return Ok(());
        }
        self.tally.add("rehashed");
        if digest(&answer.body) != wanted {
            self.tally.violations.push(format!("{wanted} in {} has other bytes", self.role.repository));
        }
        Ok(())
    }

    fn find_referrers(&mut self, subject: &str) -> Step<()> {
        let refers = |known: &&Known| known.image.subject.as_deref() == Some(subject) && known.presence == Some(true);
        let expected = self.images.values().filter(refers).map(|known| known.image.manifest.digest.clone());
        let expected = expected.collect::<Vec<_>>();
        if expected.is_empty() {
            return Ok(());
        }
        let answer = self.exchange(Request::new("GET", self.path(&format!("referrers/{subject}"))))?;
        if self.is("GET of referrers", &answer, &[200]) {
            let text = answer.text();
            for missing in expected.iter().filter(|digest| !text.contains(*digest)) {
                self.tally.violations.push(format!("{missing} is not among the referrers of {subject}"));
            }
        }
        Ok(())
    }

    fn is_there(&mut self, reference: &str) -> Step<Option<String>> {
        let head = Request::new("HEAD", self.path(&format!("manifests/{reference}")));
        let answer = self.exchange(head.header("Accept", format!("{MANIFEST}, {INDEX}")))?;
        Ok(answer.header("docker-content-digest").filter(|_| answer.status == 200).map(str::to_owned))
    }

    /// Looks at everything that was acknowledged, and at what may or may not have happened, when nothing is left to collect.
    ///
    /// # Errors
    /// The server goes away meanwhile.
    pub(crate) fn look_at_everything(&mut self) -> Step<Found> {
        let mut found = Found::default();
        for (digest, known) in self.images.clone() {
            if self.is_there(&digest)?.is_some() {
                self.pull(&known.image)?;
                found.blobs.extend(known.image.blobs());
                let manifests =
                    known.image.all().map(|image| (image.manifest.digest.clone(), image.manifest.bytes.len()));
                found.manifests.extend(manifests);
            }
        }
        for (digest, known) in self.images.clone() {
            self.compare(&digest, &known, &found)?;
        }
        for (tag, target) in self.tags.clone() {
            let there = self.is_there(&tag)?;
            if there.as_ref() != Some(&target) {
                let repository = &self.role.repository;
                self.tally.violations.push(format!("{tag} in {repository} points to {there:?} and not {target}"));
            }
        }
        Ok(found)
    }

    /// Compares what is there with what the client was told: what it did not delete is there; what it deleted, what a rule takes away,
    /// what only an index named that is gone, and what refers to something that is gone, is not.
    fn compare(&mut self, digest: &str, known: &Known, found: &Found) -> Step<()> {
        let there = found.manifests.contains_key(digest);
        let mut wrong = Vec::new();
        if known.presence.is_some_and(|told| told != there) {
            wrong.push(format!("told {:?}, found {there}", known.presence));
        }
        if known.image.doomed && there {
            wrong.push("a rule takes it away".to_owned());
        }
        let subject = known.image.subject.as_ref();
        if there && subject.is_some_and(|subject| !found.manifests.contains_key(subject)) {
            wrong.push("what it refers to is gone".to_owned());
        }
        for child in known.image.children.iter().filter(|_| !there) {
            let digest = &child.manifest.digest;
            if !self.images.contains_key(digest) && self.is_there(digest)?.is_some() {
                wrong.push(format!("its child {digest} is left"));
            }
        }
        let repository = &self.role.repository;
        self.tally.violations.extend(wrong.into_iter().map(|wrong| format!("{digest} in {repository}: {wrong}")));
        Ok(())
    }
}
