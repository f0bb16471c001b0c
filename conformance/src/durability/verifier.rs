//! Looks at the server after a kill: whatever was acknowledged must be there, whole; whatever was in flight must be
//! one of two things, and stays what it was found to be.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    content::Content,
    ledger::{ManifestFact, Presence, Upload},
    pusher::Pusher,
    session::Step,
};
use crate::{
    http::{Request, Response},
    image::digest,
};

/// Acknowledged manifests that are pulled whole after each kill, besides those of the last cycle.
const OLD_ONES: usize = 2;

/// An upload that nobody sends to is free after this, whoever held it before.
const HOLD: Duration = Duration::from_secs(12);

impl Pusher {
    /// Settles everything that was in flight, looks at what is new and at a few old things.
    pub(crate) fn recover(&mut self) -> Step<()> {
        self.settle_blobs()?;
        self.settle_manifests()?;
        self.check_tags()?;
        for upload in self.ledger.uploads.clone() {
            self.resume(&upload)?;
        }
        let mut some = self.ledger.fresh.clone();
        let all = self.ledger.present_manifests();
        some.extend((0..OLD_ONES).filter_map(|_| self.random.pick(&all).cloned()));
        for manifest in some {
            self.pull(&manifest)?;
        }
        self.ledger.fresh.clear();
        Ok(())
    }

    /// Settles what was in flight, pulls every acknowledged thing, and looks for every deleted one.
    pub(crate) fn check_everything(&mut self) -> Step<()> {
        self.recover()?;
        self.end_uploads()?;
        self.pull_everything()
    }

    /// Ends every open upload, those that a request of old still holds once they are given up.
    fn end_uploads(&mut self) -> Step<()> {
        let limit = Instant::now() + HOLD;
        while Instant::now() < limit {
            for upload in self.ledger.uploads.clone() {
                self.resume(&upload)?;
            }
            if self.ledger.uploads.is_empty() {
                return Ok(());
            }
            thread::sleep(HOLD / 60);
        }
        for upload in std::mem::take(&mut self.ledger.uploads) {
            self.tally.violate(format!("the upload {} could not be taken up within {HOLD:?}", upload.name));
        }
        Ok(())
    }

    /// The same without a single write, for a server that takes none.
    pub(crate) fn pull_everything(&mut self) -> Step<()> {
        self.check_tags()?;
        for manifest in self.ledger.manifests.clone().into_keys() {
            self.pull(&manifest)?;
        }
        for fact in self.ledger.blobs.clone().into_values() {
            self.check_blob(&fact.content, fact.presence)?;
        }
        Ok(())
    }

    fn settle_blobs(&mut self) -> Step<()> {
        let unsure = self.ledger.blobs.values().filter(|fact| fact.presence == Presence::Unsure);
        for content in unsure.map(|fact| fact.content.clone()).collect::<Vec<_>>() {
            self.check_blob(&content, Presence::Unsure)?;
        }
        Ok(())
    }

    fn check_blob(&mut self, content: &Content, expected: Presence) -> Step<()> {
        let name = format!("the blob {} of {} ({} bytes)", content.digest(), self.repository, content.size());
        let found = self.session.read_blob(content.digest(), &mut self.tally)?;
        let found = match found {
            Some(true) => Presence::Present,
            Some(false) => {
                self.tally.violate(format!("{name} has other bytes"));
                Presence::Present
            }
            None => Presence::Absent,
        };
        self.compare(&name, expected, found);
        self.ledger.blob(content, found);
        Ok(())
    }

    fn settle_manifests(&mut self) -> Step<()> {
        let unsure = self.ledger.manifests.iter().filter(|(_, fact)| fact.presence == Presence::Unsure);
        for manifest in unsure.map(|(digest, _)| digest.clone()).collect::<Vec<_>>() {
            self.pull(&manifest)?;
        }
        Ok(())
    }

    /// Pulls a manifest with all that it names, and holds the answer against the ledger.
    fn pull(&mut self, wanted: &str) -> Step<()> {
        let Some(fact) = self.ledger.manifests.get(wanted).cloned() else {
            return Ok(());
        };
        let name = format!("the manifest {wanted} of {}", self.repository);
        let answer = self.get_manifest(wanted)?;
        let found = match answer.status {
            200 => Presence::Present,
            404 => Presence::Absent,
            _ => {
                self.tally.refuse("GET of a manifest", &self.repository, &answer);
                return Ok(());
            }
        };
        self.compare(&name, fact.presence, found);
        if found == Presence::Present {
            self.check_whole(&name, &fact, &answer)?;
        } else if fact.presence == Presence::Unsure {
            self.ledger.manifest_deleted(wanted);
        }
        self.ledger.manifest(wanted, found);
        Ok(())
    }

    fn check_whole(&mut self, name: &str, fact: &ManifestFact, answer: &Response) -> Step<()> {
        if answer.body != fact.bytes {
            self.tally.violate(format!("{name} has other bytes"));
        }
        for blob in &fact.blobs {
            if self.session.read_blob(blob, &mut self.tally)? != Some(true) {
                self.tally.violate(format!("{name} is there and its blob {blob} is absent or rotten"));
            }
        }
        for child in &fact.children {
            if self.get_manifest(child)?.status != 200 {
                self.tally.violate(format!("{name} is there and its child {child} is not"));
            }
        }
        self.tally.pulled += 1;
        Ok(())
    }

    fn check_tags(&mut self) -> Step<()> {
        for (tag, possible) in self.ledger.tags.clone() {
            let answer = self.get_manifest(&tag)?;
            let found = match answer.status {
                200 => Some(digest(&answer.body)),
                404 => None,
                _ => {
                    self.tally.refuse("GET of a tag", &self.repository, &answer);
                    continue;
                }
            };
            if !possible.contains(&found) {
                let repository = &self.repository;
                self.tally.violate(format!("the tag {tag} of {repository} leads to {found:?}, none of {possible:?}"));
            }
            self.ledger.tag(&tag, found.as_deref());
        }
        Ok(())
    }

    /// Takes up an upload where the server says it stands, and ends it with the right digest.
    fn resume(&mut self, upload: &Upload) -> Step<()> {
        let name = &upload.name;
        let answer = self.session.exchange(Request::new("GET", &upload.location))?;
        let range = answer.header("range").and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
        match (answer.status, range) {
            (204, Some(last)) => {
                let offset = self.check_offset(upload, last);
                if let Some(upload) = self.ledger.upload(name) {
                    upload.follow(&answer);
                    upload.acknowledged = offset;
                }
                return self.complete(upload, offset);
            }
            (404, _) if upload.ending => {}
            (404, _) => self.tally.violate(format!("the upload {name} was opened and is gone")),
            _ => self.tally.violate(format!("the upload {name} does not tell its offset: {answer}")),
        }
        self.ledger.upload_ended(name);
        Ok(())
    }

    /// The offset that a Range up to `last` tells, held against what was sent and acknowledged.
    fn check_offset(&mut self, upload: &Upload, last: usize) -> usize {
        // `0-0` is said of no byte and of one; no piece of a storm is that short.
        let offset = if last == 0 { 0 } else { last + 1 };
        let Upload { name, acknowledged, sent, content, .. } = upload;
        if offset > *sent || offset < *acknowledged {
            let what = format!("the upload {name} stands at {offset}; {acknowledged} were acknowledged, {sent} sent");
            self.tally.violate(what);
        }
        offset.min(content.size())
    }

    fn complete(&mut self, upload: &Upload, offset: usize) -> Step<()> {
        let Upload { name, content, .. } = upload;
        let half = offset + (content.size() - offset) / 2;
        let mut status = if half == offset { 202 } else { self.append(name, content, offset..half)? };
        if status == 202 {
            status = self.finish(name, content, half)?;
        }
        match status {
            201 => {
                self.tally.resumed += 1;
                self.check_blob(content, Presence::Present)?;
            }
            // Another request holds it, or the disk is full or broken, for now: the upload waits.
            416 | 500.. => {}
            _ => {
                let what = format!("the upload {name} could not be taken up at its offset {offset}: {status}");
                self.tally.violate(what);
                self.ledger.upload_ended(name);
            }
        }
        Ok(())
    }

    fn compare(&mut self, name: &str, expected: Presence, found: Presence) {
        match (expected, found) {
            (Presence::Present, Presence::Absent) => self.tally.violate(format!("{name} was acknowledged and is gone")),
            (Presence::Absent, Presence::Present) => self.tally.violate(format!("{name} was deleted and is back")),
            _ => {}
        }
    }

    fn get_manifest(&mut self, reference: &str) -> Step<Response> {
        let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
        let request = Request::new("GET", self.session.path(&format!("manifests/{reference}")));
        self.session.exchange(request.header("Accept", accept))
    }
}
