//! What is pushed and pulled: layers that nothing can compress, and small images.
//! Never hashes a layer while a measurement runs: only its last bytes are its own, and what stands before them is hashed once.
//! Start at `Layers::next`.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::{Digest as _, Sha256};

/// The random bytes that a layer repeats. Longer than any compressor's window; small enough to stay near the processor,
/// so that the client's reads of its own memory cost little.
const PATTERN_SIZE: usize = 8 * 1024 * 1024;
/// What the client hands to the kernel in one write.
const PIECE_SIZE: usize = 1024 * 1024;
/// The last bytes of a layer, which make its digest unlike every other's.
const SUFFIX_SIZE: usize = 16;

/// Makes layers of any size, each unlike all others.
#[derive(Debug)]
pub(crate) struct Layers {
    pattern: Vec<u8>,
    prefixes: Mutex<HashMap<u64, Sha256>>,
    next: AtomicU64,
}

/// A layer: repeated pattern, own suffix, and the digest of both.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    pattern: &'a [u8],
    suffix: [u8; SUFFIX_SIZE],
    size: u64,
    /// `sha256:<hex>`.
    pub(crate) digest: String,
}

impl Layers {
    /// A maker of layers whose pattern is the same in every run.
    pub(crate) fn new() -> Self {
        Self { pattern: noise(PATTERN_SIZE), prefixes: Mutex::default(), next: AtomicU64::new(1) }
    }

    /// A layer of `size` bytes that was never made before. The first one of a size hashes it; later ones cost microseconds.
    pub(crate) fn next(&self, size: u64) -> Layer<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut suffix = [0; SUFFIX_SIZE];
        suffix[..8].copy_from_slice(&number.to_be_bytes());
        let mut hash = self.prefix(size);
        hash.update(suffix);
        Layer { pattern: &self.pattern, suffix, size, digest: format!("sha256:{}", hex(&hash.finalize())) }
    }

    fn prefix(&self, size: u64) -> Sha256 {
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = prefixes.entry(size).or_insert_with(|| {
            let mut hash = Sha256::new();
            pieces(&self.pattern, size - SUFFIX_SIZE as u64).for_each(|piece| hash.update(piece));
            hash
        });
        hash.clone()
    }
}

impl Layer<'_> {
    /// Its length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether this is the hash of the layer.
    pub(crate) fn hashes_to(&self, hash: &[u8]) -> bool {
        self.digest == format!("sha256:{}", hex(hash))
    }

    /// Its bytes, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        pieces(self.pattern, self.size - SUFFIX_SIZE as u64).chain([&self.suffix[..]])
    }
}

/// A blob or manifest small enough to hold, with its digest.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// `sha256:<hex>`.
    pub(crate) digest: String,
}

impl Small {
    /// These bytes and their digest.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let digest = sha256(&bytes);
        Self { bytes, digest }
    }
}

/// An image of one configuration, one layer and one manifest.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The configuration blob.
    pub(crate) config: Small,
    /// The only layer.
    pub(crate) layer: Small,
    /// The manifest that names both.
    pub(crate) manifest: Small,
}

/// The media type of [`Image::manifest`].
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of [`empty_index`].
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The size of a small image's layer.
const SMALL_LAYER_SIZE: usize = 4096;

impl Image {
    /// The image of this number: 300 bytes of configuration, 4 KiB of layer, 500 bytes of manifest.
    pub(crate) fn numbered(number: u64) -> Self {
        Self::sized(number, SMALL_LAYER_SIZE)
    }

    /// The same with a layer of so many bytes, at least 8.
    pub(crate) fn sized(number: u64, layer: usize) -> Self {
        let config = Small::new(
            format!(
                r#"{{"architecture":"amd64","os":"linux","author":"image {number}","config":{{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["/bin/true"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}}}"#
            )
            .into_bytes(),
        );
        let mut layer = noise(layer);
        layer[..8].copy_from_slice(&number.to_be_bytes());
        let layer = Small::new(layer);
        let manifest = Small::new(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}]}}"#,
                config.digest,
                config.bytes.len(),
                layer.digest,
                layer.bytes.len()
            )
            .into_bytes(),
        );
        Self { config, layer, manifest }
    }
}

/// An index that names nothing: the smallest thing that makes a repository or carries a tag.
pub(crate) fn empty_index() -> Small {
    Small::new(format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[]}}"#).into_bytes())
}

/// `sha256:<hex>` of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn pieces(pattern: &[u8], size: u64) -> impl Iterator<Item = &[u8]> {
    let mut left = usize::try_from(size).unwrap_or(usize::MAX);
    pattern.chunks(PIECE_SIZE).cycle().map_while(move |piece| {
        let taken = piece.len().min(left);
        left -= taken;
        (taken > 0).then(|| &piece[..taken])
    })
}

/// Bytes without a pattern, the same in every run (xorshift64*).
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layers_digest_is_that_of_its_pieces() {
        let layers = Layers::new();
        for size in [16, 17, PIECE_SIZE as u64 + 5, PATTERN_SIZE as u64 + 100] {
            let layer = layers.next(size);
            let bytes = layer.pieces().collect::<Vec<_>>().concat();
            assert_eq!((bytes.len() as u64, sha256(&bytes)), (size, layer.digest.clone()));
        }
    }

    #[test]
    fn no_two_layers_are_alike() {
        let layers = Layers::new();
        assert_ne!(layers.next(100).digest, layers.next(100).digest);
    }
}
