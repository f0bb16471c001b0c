//! What clients push: images, indexes, and what refers to them. The contents are so few that all clients meet on them.

use hallmark_conformance::{
    durability::Random,
    image::{CONFIG, Content, INDEX, LAYER, MANIFEST, noise},
};
use serde_json::{Value, json};

/// How many contents clients push.
pub(crate) const CONTENTS: u64 = 48;
/// Contents behind these, of images that are there before the storm begins and that no client touches: of so many that live, and of so
/// many that are garbage from then on. Each has two of its own.
const SEEDED: u64 = 8;
/// Sizes of contents that are kept as facts, and of those that are kept as files.
const SMALL: usize = 300;
const LARGE: usize = 12_000;

/// The content of this number: every second one is so small that it is kept with the facts.
pub(crate) fn content(number: u64) -> Content {
    let size = if number.is_multiple_of(2) { SMALL } else { LARGE + usize::try_from(number).unwrap_or(0) * 1_000 };
    Content::new("application/octet-stream", noise(number, size))
}

/// All contents.
pub(crate) fn contents() -> impl Iterator<Item = Content> {
    (0..CONTENTS + 4 * SEEDED).map(content)
}

/// The images that are there before the storm, and whether each is garbage.
pub(crate) fn seeded() -> impl Iterator<Item = (Image, bool)> {
    (0..2 * SEEDED).map(|number| {
        let (first, garbage) = (CONTENTS + 2 * number, number >= SEEDED);
        (Image::of([first, first + 1], if garbage { "garbage" } else { "live" }), garbage)
    })
}

/// Whether a content of this size is kept as a file.
pub(crate) fn is_file(content: &Content) -> bool {
    content.bytes.len() >= LARGE
}

/// A manifest with what it names.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Content,
    /// The numbers of its configuration and its layer; an index has none.
    blobs: Vec<u64>,
    /// Of an index: images that nothing else names.
    pub(crate) children: Vec<Image>,
    /// The digest of what it refers to.
    pub(crate) subject: Option<String>,
    /// Whether it is tagged so that a rule takes it away.
    pub(crate) doomed: bool,
}

impl Image {
    /// An image of two contents; `note` makes it differ from others of the same two.
    pub(crate) fn of(blobs: [u64; 2], note: &str) -> Self {
        Self::with(blobs, note, None)
    }

    /// What refers to a manifest, as signatures and reports do.
    pub(crate) fn about(subject: &Content, blobs: [u64; 2], note: &str) -> Self {
        Self::with(blobs, note, Some(subject))
    }

    /// An index of two images of its own.
    pub(crate) fn index(random: &mut Random, note: &str) -> Self {
        let children = ["amd64", "arm64"].map(|name| Self::of(two(random), &format!("{name} of {note}")));
        let manifests = children.iter().map(|child| child.manifest.descriptor()).collect::<Vec<_>>();
        let body =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": {"note": note}});
        Self {
            manifest: Content::document(INDEX, &body),
            blobs: Vec::new(),
            children: children.into(),
            subject: None,
            doomed: false,
        }
    }

    /// One that a rule takes away.
    pub(crate) fn doomed(self) -> Self {
        Self { doomed: true, ..self }
    }

    fn with(blobs: [u64; 2], note: &str, subject: Option<&Content>) -> Self {
        let [config, layer] = blobs.map(content);
        let describe =
            |kind, content: &Content| json!({"mediaType": kind, "digest": content.digest, "size": content.bytes.len()});
        let mut body = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, &config),
            "layers": [describe(LAYER, &layer)], "annotations": {"note": note}});
        if let Some(subject) = subject {
            body["subject"] = subject.descriptor();
            body["artifactType"] = Value::from("application/vnd.example.report");
        }
        Self {
            manifest: Content::document(MANIFEST, &body),
            blobs: blobs.into(),
            children: Vec::new(),
            subject: subject.map(|subject| subject.digest.clone()),
            doomed: false,
        }
    }

    /// The numbers of the contents that it names by itself.
    pub(crate) fn own_blobs(&self) -> impl Iterator<Item = u64> {
        self.blobs.iter().copied()
    }

    /// The numbers of the contents that it and its children name.
    pub(crate) fn blobs(&self) -> Vec<u64> {
        self.all().flat_map(|image| image.own_blobs().collect::<Vec<_>>()).collect()
    }

    /// It and its children.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Image> {
        std::iter::once(self).chain(&self.children)
    }
}

/// Two contents.
pub(crate) fn two(random: &mut Random) -> [u64; 2] {
    [random.within(0..CONTENTS), random.within(0..CONTENTS)]
}
