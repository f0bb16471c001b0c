//! One client: pushes blobs in every way the protocol knows, moves tags, deletes, mounts, cancels, and writes down in
//! its ledger what it asked before it asks and what it was told after.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use super::{
    content::Content,
    ledger::{Ledger, ManifestFact, Presence, Upload},
    random::{Random, mix},
    session::{Session, Step},
    storm::Habits,
    tally::Tally,
};
use crate::{
    http::{Request, Response, encode},
    image::digest,
    registry::{path_of, with_query},
};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const OCTETS: &str = "application/octet-stream";

/// Tags of one repository: few, so that they move often.
const TAGS: u64 = 6;
/// Bytes of a small layer and of a large one, at most.
const SMALL: u64 = 32 << 10;
const LARGE: u64 = 1 << 20;

/// Blobs that are never deleted, with their repository, for the others to mount.
pub(crate) type Offered = Arc<Mutex<Vec<(String, Content)>>>;

/// A client with its own repository.
#[derive(Debug)]
pub(crate) struct Pusher {
    pub(crate) repository: String,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    pub(crate) session: Session,
    pub(crate) random: Random,
    /// Every upload that was ever opened, with the mark of its blob.
    pub(crate) opened: Vec<(String, String)>,
    habits: Habits,
    offered: Offered,
    seed: u64,
    made: u64,
}

impl Pusher {
    pub(crate) fn new(session: Session, repository: &str, seed: u64, habits: Habits, offered: &Offered) -> Self {
        Self {
            repository: repository.to_owned(),
            ledger: Ledger::default(),
            tally: Tally::default(),
            session,
            random: Random::new(seed),
            opened: Vec::new(),
            habits,
            offered: Arc::clone(offered),
            seed,
            made: 0,
        }
    }

    /// Settles what is in flight and pushes on until told to stop, or until nothing listens any more.
    pub(crate) fn work(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if self.settle_and_push(stop).is_err() {
                self.session.disconnect();
                if !self.session.server_listens() {
                    return;
                }
            }
        }
    }

    fn settle_and_push(&mut self, stop: &AtomicBool) -> Step<()> {
        self.recover()?;
        while !stop.load(Ordering::Relaxed) {
            self.act()?;
        }
        Ok(())
    }

    /// Does one thing that a client does.
    fn act(&mut self) -> Step<()> {
        match self.random.within(0..20) {
            0..=11 => self.push_image(),
            12 | 13 => self.push_index(),
            14 | 15 => self.move_tag(),
            16 => self.delete_tag(),
            17 => self.delete_manifest(),
            18 => self.delete_blob(),
            _ => self.cancel_upload(),
        }
    }

    fn push_image(&mut self) -> Step<()> {
        let layers = self.random.within(1..4);
        let mut descriptors = Vec::new();
        let mut blobs = Vec::new();
        for layer in 0..=layers {
            let Some(content) = self.some_blob()? else {
                return Ok(());
            };
            let media_type = if layer == 0 { CONFIG } else { LAYER };
            descriptors.push(json!({"mediaType": media_type, "digest": content.digest(), "size": content.size()}));
            blobs.push(content.digest().to_owned());
        }
        let config = descriptors.remove(0);
        let body = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": descriptors});
        let tag = self.random.once_in(3).then(|| self.some_tag());
        let tag = if tag.is_none() && self.random.once_in(2) { Some(self.some_tag()) } else { tag };
        self.put_manifest(tag.as_deref(), manifest(IMAGE, &body, blobs, Vec::new()))
    }

    fn push_index(&mut self) -> Step<()> {
        let candidates = self.ledger.present_manifests();
        let Some(child) = self.random.pick(&candidates).cloned() else {
            return Ok(());
        };
        let Some(fact) = self.ledger.manifests.get(&child) else {
            return Ok(());
        };
        let descriptor = json!({"mediaType": fact.media_type, "digest": child, "size": fact.bytes.len()});
        self.made += 1;
        let note = json!({"made": self.made.to_string()});
        let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor], "annotations": note});
        let tag = self.some_tag();
        self.put_manifest(Some(&tag), manifest(INDEX, &body, Vec::new(), vec![child]))
    }

    fn move_tag(&mut self) -> Step<()> {
        let candidates = self.ledger.present_manifests();
        let Some(fact) = self.random.pick(&candidates).and_then(|digest| self.ledger.manifests.get(digest)) else {
            return Ok(());
        };
        let fact = fact.clone();
        let tag = self.some_tag();
        let there = self.ledger.tags.get(&tag).is_some_and(|possible| possible.contains(&Some(digest(&fact.bytes))));
        if there { Ok(()) } else { self.put_manifest(Some(&tag), fact) }
    }

    /// Puts a manifest by tag, or by digest without one.
    fn put_manifest(&mut self, tag: Option<&str>, fact: ManifestFact) -> Step<()> {
        let digest = digest(&fact.bytes);
        let path = self.session.path(&format!("manifests/{}", tag.unwrap_or(&digest)));
        let request = Request::new("PUT", path).header("Content-Type", fact.media_type).bytes(fact.bytes.clone());
        let before = self.ledger.manifests.get(&digest).map_or(Presence::Absent, |known| known.presence);
        let during = if before == Presence::Present { before } else { Presence::Unsure };
        self.ledger.manifests.insert(digest.clone(), ManifestFact { presence: during, ..fact });
        if let Some(tag) = tag {
            self.ledger.tag_in_flight(tag, Some(&digest));
        }
        let answer = self.session.exchange(request)?;
        if answer.status != 201 {
            self.refused("PUT of a manifest", &answer);
            return Ok(());
        }
        self.tally.manifests += 1;
        self.ledger.manifest(&digest, Presence::Present);
        self.ledger.fresh.push(digest.clone());
        if let Some(tag) = tag {
            self.ledger.tag(tag, Some(&digest));
        }
        Ok(())
    }

    fn delete_tag(&mut self) -> Step<()> {
        let known = |possible: &BTreeSet<Option<String>>| possible.len() == 1 && !possible.contains(&None);
        let set = self.ledger.tags.iter().filter(|(_, possible)| known(possible));
        let names = set.map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let Some(name) = self.random.pick(&names).cloned() else {
            return Ok(());
        };
        self.ledger.tag_in_flight(&name, None);
        if self.delete(&format!("manifests/{name}"))? {
            self.ledger.tag(&name, None);
        }
        Ok(())
    }

    fn delete_manifest(&mut self) -> Step<()> {
        let candidates = self.ledger.deletable();
        let Some(digest) = self.random.pick(&candidates).cloned() else {
            return Ok(());
        };
        self.ledger.manifest_delete_in_flight(&digest);
        if self.delete(&format!("manifests/{digest}"))? {
            self.ledger.manifest_deleted(&digest);
        }
        Ok(())
    }

    fn delete_blob(&mut self) -> Step<()> {
        let offered = self.offered.lock().map_or_else(|_| Vec::new(), |offered| offered.clone());
        let kept = |digest: &String| offered.iter().any(|(_, content)| content.digest() == digest);
        let candidates = self.ledger.free_blobs().into_iter().filter(|digest| !kept(digest)).collect::<Vec<_>>();
        let Some(digest) = self.random.pick(&candidates).cloned() else {
            return Ok(());
        };
        if let Some(fact) = self.ledger.blobs.get_mut(&digest) {
            fact.presence = Presence::Unsure;
        }
        if self.delete(&format!("blobs/{digest}"))?
            && let Some(fact) = self.ledger.blobs.get_mut(&digest)
        {
            fact.presence = Presence::Absent;
        }
        Ok(())
    }

    fn delete(&mut self, what: &str) -> Step<bool> {
        let answer = self.session.exchange(Request::new("DELETE", self.session.path(what)))?;
        if answer.status != 202 {
            self.refused(&format!("DELETE of {what}"), &answer);
            return Ok(false);
        }
        self.tally.deletes += 1;
        Ok(true)
    }

    /// A blob that the repository holds when this returns: an old one, a mounted one or, mostly, a new one.
    fn some_blob(&mut self) -> Step<Option<Content>> {
        if self.random.once_in(4) {
            let present = self.ledger.present_blobs();
            if let Some(content) = self.random.pick(&present) {
                return Ok(Some(content.clone()));
            }
        }
        if self.habits.mounts && self.random.once_in(6) {
            return self.mount_blob();
        }
        self.push_blob()
    }

    fn mount_blob(&mut self) -> Step<Option<Content>> {
        let offered = self.offered.lock().map_or_else(|_| Vec::new(), |offered| offered.clone());
        let Some((from, content)) = self.random.pick(&offered).cloned() else {
            return Ok(None);
        };
        let query = format!("mount={}&from={}", encode(content.digest()), encode(&from));
        self.ledger.blob_in_flight(&content);
        let answer =
            self.session.exchange(Request::new("POST", self.session.path(&format!("blobs/uploads/?{query}"))))?;
        match answer.status {
            201 => {
                self.blob_acknowledged(&content);
                Ok(Some(content))
            }
            202 => {
                self.tally.violate(format!(
                    "the mount of {} from {from}, which holds it, opened an upload",
                    content.digest()
                ));
                Ok(None)
            }
            _ => {
                self.refused("mount", &answer);
                Ok(None)
            }
        }
    }

    /// Pushes a new blob; half of the offered ones come from here.
    fn push_blob(&mut self) -> Step<Option<Content>> {
        let content = self.new_content();
        let pushed = match self.random.within(0..5) {
            0 => self.push_at_once(&content)?,
            1 => self.push_whole(&content)?,
            2 | 3 => self.push_streamed(&content)?,
            _ => self.push_chunked(&content)?,
        };
        if !pushed {
            return Ok(None);
        }
        if self.habits.mounts
            && self.random.once_in(16)
            && let Ok(mut offered) = self.offered.lock()
        {
            offered.push((self.repository.clone(), content.clone()));
        }
        Ok(Some(content))
    }

    /// POST with the digest and the body; a 202 means that the registry wants the body in a PUT.
    fn push_at_once(&mut self, content: &Content) -> Step<bool> {
        let path = with_query(&self.session.path("blobs/uploads/"), "digest", content.digest());
        let request = Request::new("POST", path).header("Content-Type", OCTETS).bytes(content.bytes());
        self.ledger.blob_in_flight(content);
        let answer = self.session.exchange(request)?;
        match self.opened(content, &answer) {
            Some(upload) => Ok(self.finish(&upload, content, 0)? == 201),
            None if answer.status == 201 => {
                self.blob_acknowledged(content);
                Ok(true)
            }
            None => {
                self.refused("POST of a blob", &answer);
                Ok(false)
            }
        }
    }

    /// POST, then PUT with the body.
    fn push_whole(&mut self, content: &Content) -> Step<bool> {
        let Some(upload) = self.begin(content)? else {
            return Ok(false);
        };
        Ok(self.finish(&upload, content, 0)? == 201)
    }

    /// POST, one PATCH with a chunked body, PUT without one.
    fn push_streamed(&mut self, content: &Content) -> Step<bool> {
        let Some(upload) = self.begin(content)? else {
            return Ok(false);
        };
        let bytes = content.bytes();
        let piece = usize::try_from(self.random.within(2_000..200_000)).unwrap_or(usize::MAX);
        let pieces = bytes.chunks(piece).collect::<Vec<_>>();
        let location = self.sending(&upload, content.size());
        let request = Request::new("PATCH", location).header("Content-Type", OCTETS);
        let answer = self.session.stream(request, &pieces)?;
        if !self.appended(&upload, content.size(), &answer) {
            return Ok(false);
        }
        Ok(self.finish(&upload, content, content.size())? == 201)
    }

    /// POST, PATCHes with ranges, PUT with the last chunk.
    fn push_chunked(&mut self, content: &Content) -> Step<bool> {
        let Some(upload) = self.begin(content)? else {
            return Ok(false);
        };
        let last = content.size() - content.size() / 4;
        let mut start = 0;
        while start < last {
            let end = last.min(start + last.div_ceil(3));
            if self.append(&upload, content, start..end)? != 202 {
                return Ok(false);
            }
            start = end;
        }
        Ok(self.finish(&upload, content, last)? == 201)
    }

    fn cancel_upload(&mut self) -> Step<()> {
        let content = self.new_content();
        let Some(upload) = self.begin(&content)? else {
            return Ok(());
        };
        if self.append(&upload, &content, 0..content.size() / 2)? != 202 {
            return Ok(());
        }
        let location = self.ending(&upload);
        let answer = self.session.exchange(Request::new("DELETE", location))?;
        if answer.status != 204 {
            self.refused("cancel", &answer);
        }
        self.ledger.upload_ended(&upload);
        Ok(())
    }

    /// Opens an upload and gives its name in the ledger.
    fn begin(&mut self, content: &Content) -> Step<Option<String>> {
        let answer = self.session.exchange(Request::new("POST", self.session.path("blobs/uploads/")))?;
        let opened = self.opened(content, &answer);
        if opened.is_none() {
            self.refused("POST of an upload", &answer);
        }
        Ok(opened)
    }

    fn opened(&mut self, content: &Content, answer: &Response) -> Option<String> {
        let location = answer.header("location").filter(|_| answer.status == 202)?;
        let name = path_of(location).to_owned();
        self.opened.push((name.clone(), content.mark()));
        let upload = Upload {
            name: name.clone(),
            location: name.clone(),
            content: content.clone(),
            sent: 0,
            acknowledged: 0,
            ending: false,
        };
        self.ledger.uploads.push(upload);
        Some(name)
    }

    /// One PATCH with a range; gives the status.
    pub(crate) fn append(&mut self, upload: &str, content: &Content, range: Range<usize>) -> Step<u16> {
        let location = self.sending(upload, range.end);
        let request = Request::new("PATCH", location)
            .header("Content-Type", OCTETS)
            .header("Content-Range", format!("{}-{}", range.start, range.end - 1))
            .bytes(&content.bytes()[range.clone()]);
        let answer = self.session.exchange(request)?;
        self.appended(upload, range.end, &answer);
        Ok(answer.status)
    }

    /// PUT with what is left from `start`; gives the status.
    pub(crate) fn finish(&mut self, upload: &str, content: &Content, start: usize) -> Step<u16> {
        self.sending(upload, content.size());
        let location = self.ending(upload);
        self.ledger.blob_in_flight(content);
        let mut request = Request::new("PUT", with_query(&location, "digest", content.digest()));
        if start < content.size() {
            request = request.header("Content-Type", OCTETS).bytes(&content.bytes()[start..]);
        }
        let answer = self.session.exchange(request)?;
        if answer.status == 201 {
            self.blob_acknowledged(content);
            self.ledger.upload_ended(upload);
        } else {
            self.refused_bytes("PUT of an upload", upload, &answer);
        }
        Ok(answer.status)
    }

    /// Notes that the server may see the bytes up to `end`, and gives the Location to send them to.
    fn sending(&mut self, upload: &str, end: usize) -> String {
        let Some(upload) = self.ledger.upload(upload) else {
            return upload.to_owned();
        };
        upload.sent = upload.sent.max(end);
        upload.location.clone()
    }

    /// Notes that the next request ends the upload, and gives the Location to send it to.
    fn ending(&mut self, upload: &str) -> String {
        let Some(upload) = self.ledger.upload(upload) else {
            return upload.to_owned();
        };
        upload.ending = true;
        upload.location.clone()
    }

    fn appended(&mut self, upload: &str, end: usize, answer: &Response) -> bool {
        if answer.status != 202 {
            self.refused_bytes("PATCH", upload, answer);
            return false;
        }
        let range = answer.header("range").unwrap_or_default().to_owned();
        if range != format!("0-{}", end - 1) {
            self.tally.violate(format!("a PATCH up to {end} bytes was answered with the Range {range:?}"));
        }
        if let Some(upload) = self.ledger.upload(upload) {
            upload.acknowledged = end;
            upload.follow(answer);
        }
        true
    }

    fn blob_acknowledged(&mut self, content: &Content) {
        self.tally.blobs += 1;
        self.ledger.blob(content, Presence::Present);
    }

    /// A 416 at the offset where the upload stands says that another request holds it: the upload waits.
    fn refused_bytes(&mut self, what: &str, upload: &str, answer: &Response) {
        let told = answer.header("range").and_then(|range| range.strip_prefix("0-")?.parse::<usize>().ok());
        let stands = self.ledger.upload(upload).map(|upload| upload.acknowledged);
        let held = |told: usize| Some(told) == stands.map(|stands| stands.saturating_sub(1));
        if answer.status == 416 && told.is_some_and(held) {
            self.tally.busy += 1;
        } else {
            self.refused(what, answer);
        }
    }

    fn refused(&mut self, what: &str, answer: &Response) {
        self.tally.refuse(what, &self.repository, answer);
    }

    fn some_tag(&mut self) -> String {
        format!("t{}", self.random.within(0..TAGS))
    }

    fn new_content(&mut self) -> Content {
        self.made += 1;
        let size =
            if self.random.once_in(8) { self.random.within(SMALL..LARGE) } else { self.random.within(64..SMALL) };
        Content::new(mix(self.seed, self.made), usize::try_from(size).unwrap_or(usize::MAX))
    }
}

fn manifest(
    media_type: &'static str,
    body: &serde_json::Value,
    blobs: Vec<String>,
    children: Vec<String>,
) -> ManifestFact {
    ManifestFact { bytes: body.to_string().into_bytes(), media_type, blobs, children, presence: Presence::Absent }
}
