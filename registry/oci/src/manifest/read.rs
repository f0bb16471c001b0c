//! From a JSON document to the facts of a manifest, refusing ambiguity on the way.
//! Strictness about JSON itself is in `json.rs`.
//! Start at [`manifest`].

use std::collections::BTreeMap;

use super::{Kind, Manifest, ManifestInvalid, Place};
use crate::json::{self, Object, Value, excerpt};
use crate::limits::{CONTENT_BYTES, DESCRIPTORS, MEDIA_TYPE_BYTES};
use crate::{Descriptor, Digest, MediaType};

/// The keys of a manifest and of a descriptor that some client gives a meaning to.
const MANIFEST_KEYS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
    "signatures",
];
const DESCRIPTOR_KEYS: &[&str] =
    &["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];

/// The reading behind [`Manifest::parse`].
pub(super) fn manifest(body: &[u8], content_type: Option<&str>, limit: usize) -> Result<Manifest, ManifestInvalid> {
    if body.len() > limit {
        return Err(ManifestInvalid::TooLarge { limit });
    }
    let Value::Object(document) = json::parse(body)? else {
        return Err(ManifestInvalid::NotAnObject(Place::Document));
    };
    refuse_lookalikes(&document, Place::Document, MANIFEST_KEYS)?;
    let kind = kind(&document, content_type)?;
    match kind {
        Kind::OciImage | Kind::DockerImage => refuse_members(&document, &["manifests"])?,
        Kind::OciIndex | Kind::DockerList => refuse_members(&document, &["config", "layers"])?,
    }
    let mut manifest = Manifest {
        kind,
        artifact_type: artifact_type(&document, Place::Document)?,
        subject: subject(&document, kind)?,
        annotations: annotations(&document, Place::Document)?,
        blobs: Vec::new(),
        foreign_layers: Vec::new(),
        children: Vec::new(),
    };
    match kind {
        Kind::OciImage | Kind::DockerImage => read_image(&document, &mut manifest)?,
        Kind::OciIndex | Kind::DockerList => read_index(&document, &mut manifest)?,
    }
    let descriptors = manifest.blobs.len() + manifest.foreign_layers.len() + manifest.children.len();
    if descriptors + usize::from(manifest.subject.is_some()) > DESCRIPTORS {
        return Err(ManifestInvalid::TooManyDescriptors);
    }
    Ok(manifest)
}

/// What the document is, where header, body and schema version agree on it.
fn kind(document: &Object<'_>, content_type: Option<&str>) -> Result<Kind, ManifestInvalid> {
    let header = content_type.map(essence).filter(|header| !header.is_empty());
    let body = match document.get("mediaType") {
        None => None,
        Some(Value::Text(text)) => Some(text.as_ref()),
        Some(_) => return Err(member(Place::Document, "mediaType", "a text")),
    };
    let is_schema_one =
        |name: &str| name.to_ascii_lowercase().starts_with("application/vnd.docker.distribution.manifest.v1+");
    let version = document.get("schemaVersion");
    if matches!(version, Some(Value::Unsigned(1)))
        || document.get("fsLayers").is_some()
        || header.is_some_and(is_schema_one)
        || body.is_some_and(is_schema_one)
    {
        return Err(ManifestInvalid::SchemaOne);
    }
    if !matches!(version, Some(Value::Unsigned(2))) {
        return Err(ManifestInvalid::SchemaVersion);
    }
    // A header's type is case-insensitive (RFC 9110 section 8.3.1). The body's own is compared by clients byte by byte.
    let kind = match (header, body) {
        (None, None) => return Err(ManifestInvalid::MediaTypeMissing),
        (Some(header), Some(body)) if !header.eq_ignore_ascii_case(body) => {
            return Err(ManifestInvalid::MediaTypeConflict);
        }
        (_, Some(body)) => kind_of(body),
        (Some(header), None) => kind_of(&header.to_ascii_lowercase()),
    };
    let named = || excerpt(body.or(header).unwrap_or_default());
    kind.ok_or_else(|| ManifestInvalid::MediaTypeUnsupported(named()))
}

fn kind_of(media_type: &str) -> Option<Kind> {
    [
        (MediaType::OCI_MANIFEST, Kind::OciImage),
        (MediaType::OCI_INDEX, Kind::OciIndex),
        (MediaType::DOCKER_MANIFEST, Kind::DockerImage),
        (MediaType::DOCKER_LIST, Kind::DockerList),
    ]
    .into_iter()
    .find_map(|(known, kind)| (known.as_str() == media_type).then_some(kind))
}

/// The type in a `Content-Type` header, without its parameters.
fn essence(header: &str) -> &str {
    header.split_once(';').map_or(header, |(essence, _)| essence).trim()
}

fn refuse_members(document: &Object<'_>, foreign: &[&'static str]) -> Result<(), ManifestInvalid> {
    match foreign.iter().find(|key| document.get(key).is_some()) {
        Some(key) => Err(ManifestInvalid::Ambiguous(key)),
        None => Ok(()),
    }
}

fn refuse_lookalikes(object: &Object<'_>, place: Place, known: &[&'static str]) -> Result<(), ManifestInvalid> {
    match object.lookalike(known) {
        Some(key) => Err(ManifestInvalid::Lookalike { place, key: excerpt(key) }),
        None => Ok(()),
    }
}

fn read_image(document: &Object<'_>, manifest: &mut Manifest) -> Result<(), ManifestInvalid> {
    let config = document.get("config").ok_or(ManifestInvalid::Missing { place: Place::Document, key: "config" })?;
    let config = descriptor(config, Place::Config)?;
    if manifest.artifact_type.is_none() {
        manifest.artifact_type = Some(config.media_type.as_str().to_owned());
    }
    manifest.blobs.push(config);
    for layer in descriptors(document, "layers", Place::Layer)? {
        if layer.media_type.is_foreign_layer() && !layer.urls.is_empty() {
            manifest.foreign_layers.push(layer);
        } else {
            manifest.blobs.push(layer);
        }
    }
    Ok(())
}

fn read_index(document: &Object<'_>, manifest: &mut Manifest) -> Result<(), ManifestInvalid> {
    for child in descriptors(document, "manifests", Place::Child)? {
        if child.media_type.is_manifest() {
            manifest.children.push(child);
        } else {
            manifest.blobs.push(child);
        }
    }
    Ok(())
}

/// The subject, which only OCI documents have; in a Docker one the key is one of the many that mean nothing.
fn subject(document: &Object<'_>, kind: Kind) -> Result<Option<Descriptor>, ManifestInvalid> {
    match kind {
        Kind::OciImage | Kind::OciIndex => {
            document.get("subject").map(|subject| descriptor(subject, Place::Subject)).transpose()
        }
        Kind::DockerImage | Kind::DockerList => Ok(None),
    }
}

/// A required list of descriptors. `null` is an empty one: Go writes a list so that was never filled.
fn descriptors(
    document: &Object<'_>,
    key: &'static str,
    place: fn(usize) -> Place,
) -> Result<Vec<Descriptor>, ManifestInvalid> {
    let entries = match document.get(key) {
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(member(Place::Document, key, "a list")),
        None if document.has(key) => return Ok(Vec::new()),
        None => return Err(ManifestInvalid::Missing { place: Place::Document, key }),
    };
    if entries.len() > DESCRIPTORS {
        return Err(ManifestInvalid::TooManyDescriptors);
    }
    entries.iter().enumerate().map(|(index, entry)| descriptor(entry, place(index))).collect()
}

fn descriptor(value: &Value<'_>, place: Place) -> Result<Descriptor, ManifestInvalid> {
    let Value::Object(object) = value else { return Err(ManifestInvalid::NotAnObject(place)) };
    refuse_lookalikes(object, place, DESCRIPTOR_KEYS)?;
    let media_type = text(object, place, "mediaType")?.ok_or(ManifestInvalid::Missing { place, key: "mediaType" })?;
    let media_type: MediaType = media_type.parse().map_err(|source| ManifestInvalid::MediaType { place, source })?;
    let digest = text(object, place, "digest")?.ok_or(ManifestInvalid::Missing { place, key: "digest" })?;
    let digest: Digest = digest.parse().map_err(|source| ManifestInvalid::Digest { place, source })?;
    let size = match object.get("size") {
        None => return Err(ManifestInvalid::Missing { place, key: "size" }),
        Some(Value::Unsigned(size)) if *size <= CONTENT_BYTES => *size,
        Some(_) => return Err(member(place, "size", "a whole number of bytes from 0 to 2^63 - 1")),
    };
    check_data(object, place)?;
    Ok(Descriptor {
        media_type,
        digest,
        size,
        urls: urls(object, place)?,
        annotations: annotations(object, place)?,
        artifact_type: artifact_type(object, place)?,
    })
}

/// Content embedded in a descriptor must be base64, so that every reader sees the same bytes or none.
///
/// That those bytes have the descriptor's size and digest is for the consumer to check, as the image specification
/// says; the registry stores the document as it is and reads contents from blobs only.
fn check_data(object: &Object<'_>, place: Place) -> Result<(), ManifestInvalid> {
    let Some(data) = text(object, place, "data")? else { return Ok(()) };
    let digits = data.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if data.len().is_multiple_of(4) && data.len() - digits.len() <= 2 && digits.bytes().all(is_digit) {
        Ok(())
    } else {
        Err(member(place, "data", "base64"))
    }
}

fn urls(object: &Object<'_>, place: Place) -> Result<Vec<String>, ManifestInvalid> {
    let refused = || member(place, "urls", "a list of texts");
    match object.get("urls") {
        None => Ok(Vec::new()),
        Some(Value::Array(urls)) => urls
            .iter()
            .map(|url| if let Value::Text(url) = url { Ok(url.to_string()) } else { Err(refused()) })
            .collect(),
        Some(_) => Err(refused()),
    }
}

fn annotations(object: &Object<'_>, place: Place) -> Result<BTreeMap<String, String>, ManifestInvalid> {
    let refused = || member(place, "annotations", "an object of texts");
    match object.get("annotations") {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(annotations)) => annotations
            .members()
            .map(|(key, value)| match value {
                Value::Text(value) => Ok((key.to_owned(), value.to_string())),
                _ => Err(refused()),
            })
            .collect(),
        Some(_) => Err(refused()),
    }
}

/// An artifact type. Any text is one, but for control characters: it is a column, a filter and a header's neighbour.
fn artifact_type(object: &Object<'_>, place: Place) -> Result<Option<String>, ManifestInvalid> {
    match text(object, place, "artifactType")? {
        None | Some("") => Ok(None),
        Some(text) if text.len() <= MEDIA_TYPE_BYTES && !text.contains(char::is_control) => Ok(Some(text.to_owned())),
        Some(_) => Err(member(place, "artifactType", "a media type of at most 255 characters")),
    }
}

fn text<'v>(object: &'v Object<'_>, place: Place, key: &'static str) -> Result<Option<&'v str>, ManifestInvalid> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(member(place, key, "a text")),
    }
}

fn member(place: Place, key: &'static str, expected: &'static str) -> ManifestInvalid {
    ManifestInvalid::Member { place, key, expected }
}
