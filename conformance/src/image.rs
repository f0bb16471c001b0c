//! Images made by code: random layers that any client can unpack, the same for the same seed.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{
    Outcome,
    tar::{Entry, archive},
};

/// The media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a layer that is not compressed, so that its digest is also its `diff_id`.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// `sha256:<hex>` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// `sha512:<hex>` of some bytes.
pub fn digest_sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that look random, do not compress, and are the same for the same seed (`SplitMix64`).
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Content with its media type and digest.
#[derive(Clone, Debug)]
pub struct Content {
    /// The media type.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// `sha256:<hex>` of the bytes.
    pub digest: String,
}

impl Content {
    /// Content of this media type.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), digest: digest(&bytes), bytes }
    }

    /// Content that is a JSON document.
    pub fn document(media_type: &str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    /// The descriptor of this content.
    pub fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// A whole image: what its manifest names, and the manifest.
#[derive(Clone, Debug)]
pub struct Image {
    /// The configuration.
    pub config: Content,
    /// The layers, lowest first.
    pub layers: Vec<Content>,
    /// The manifest.
    pub manifest: Content,
    /// The architecture in the configuration.
    pub architecture: String,
}

impl Image {
    /// An image for amd64 with one layer for each size in bytes, each a tar archive of one file of noise.
    pub fn random(seed: u64, layers: &[usize]) -> Self {
        Self::for_architecture("amd64", seed, layers)
    }

    /// As [`Image::random`], for another architecture.
    pub fn for_architecture(architecture: &str, seed: u64, layers: &[usize]) -> Self {
        let layers: Vec<Content> = (0_u64..)
            .zip(layers)
            .map(|(number, size)| layer(seed.wrapping_mul(1_000).wrapping_add(number), *size))
            .collect();
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = Content::document(
            CONFIG,
            &json!({
                "architecture": architecture,
                "os": "linux",
                "created": "1970-01-01T00:00:00Z",
                "config": { "Cmd": ["/none"] },
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
                "history": diff_ids.iter().map(|_| json!({ "created_by": "noise" })).collect::<Vec<_>>(),
            }),
        );
        let manifest = Content::document(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": layers.iter().map(Content::descriptor).collect::<Vec<_>>(),
            }),
        );
        Self { config, layers, manifest, architecture: architecture.to_owned() }
    }

    /// Everything that the manifest names: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Content> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// Writes the archive that `docker load` and `crane push` read, with this name in it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_docker_archive(&self, path: &Path, name: &str) -> Outcome<()> {
        let stem = |content: &Content| content.digest.trim_start_matches("sha256:").to_owned();
        let config = format!("{}.json", stem(&self.config));
        let layers: Vec<String> = self.layers.iter().map(|layer| format!("{}.tar", stem(layer))).collect();
        let list = json!([{ "Config": config, "RepoTags": [name], "Layers": layers }]);
        let mut entries =
            vec![entry("manifest.json", list.to_string().into_bytes()), entry(&config, self.config.bytes.clone())];
        entries.extend(layers.iter().zip(&self.layers).map(|(name, layer)| entry(name, layer.bytes.clone())));
        Ok(fs::write(path, archive(&entries))?)
    }
}

/// An image index and the images it names.
#[derive(Clone, Debug)]
pub struct Index {
    /// The images, one for each platform.
    pub images: Vec<Image>,
    /// The index itself.
    pub manifest: Content,
}

impl Index {
    /// An index of one-layer images for amd64 and arm64.
    pub fn random(seed: u64, layer: usize) -> Self {
        let amd64 = Image::for_architecture("amd64", seed, &[layer]);
        let arm64 = Image::for_architecture("arm64", seed + 1, &[layer]);
        Self::of(vec![amd64, arm64])
    }

    /// An index of these images.
    pub fn of(images: Vec<Image>) -> Self {
        let entries: Vec<Value> = images
            .iter()
            .map(|image| {
                let mut descriptor = image.manifest.descriptor();
                descriptor["platform"] = json!({ "architecture": image.architecture, "os": "linux" });
                descriptor
            })
            .collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        Self { manifest: Content::document(INDEX, &manifest), images }
    }
}

/// Writes an OCI image layout whose one entry, called `tag`, is the image.
///
/// # Errors
/// A file cannot be written.
pub fn write_layout(folder: &Path, image: &Image, tag: &str) -> Outcome<()> {
    let contents: Vec<&Content> = image.blobs().chain([&image.manifest]).collect();
    write_contents(folder, &contents, &image.manifest, tag)
}

/// Writes an OCI image layout whose one entry, called `tag`, is the index.
///
/// # Errors
/// A file cannot be written.
pub fn write_index_layout(folder: &Path, index: &Index, tag: &str) -> Outcome<()> {
    let images = index.images.iter();
    let contents: Vec<&Content> =
        images.flat_map(|image| image.blobs().chain([&image.manifest])).chain([&index.manifest]).collect();
    write_contents(folder, &contents, &index.manifest, tag)
}

fn write_contents(folder: &Path, contents: &[&Content], top: &Content, tag: &str) -> Outcome<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    for content in contents {
        fs::write(blobs.join(content.digest.trim_start_matches("sha256:")), &content.bytes)?;
    }
    let mut descriptor = top.descriptor();
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] });
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}

fn layer(seed: u64, size: usize) -> Content {
    let file = entry(&format!("noise-{seed}"), noise(seed, size));
    Content::new(LAYER, archive(&[file]))
}

fn entry(path: &str, bytes: Vec<u8>) -> Entry {
    Entry { path: path.to_owned(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_image() {
        let (first, second) = (Image::random(1, &[10, 20]), Image::random(1, &[10, 20]));
        assert_eq!(first.manifest.digest, second.manifest.digest);
        assert_ne!(first.manifest.digest, Image::random(2, &[10, 20]).manifest.digest);
    }

    #[test]
    fn a_digest_is_the_standard_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), empty);
    }
}
