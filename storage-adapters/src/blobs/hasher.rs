//! The hash of a blob as its bytes arrive, as fast as the machine can.
//!
//! SHA-256 is most of what a push costs. Where a processor has instructions for it every library is equally fast; where it
//! has none, AWS-LC's vector code takes half the time of portable code. TLS links AWS-LC anyway, and of all that it
//! exports one function is wanted here: the one that moves a SHA-256 state over whole blocks. Everything around it (the
//! unfinished block, the padding, the saved form) is [`hallmark_oci::Hasher`]'s, so that a state saved by one is taken up
//! by the other.

use hallmark_oci::{Algorithm, Digest, HashStateInvalid, Hasher};

const BLOCK: usize = 64;
/// Where the parts of a saved SHA-256 state lie: after the byte that names the algorithm come eight words, the number of
/// hashed blocks, and the unfinished block behind a byte that tells its length.
const WORDS: std::ops::Range<usize> = 1..33;
const BLOCKS: std::ops::Range<usize> = 33..41;
const PENDING: usize = 41;
const SAVED: usize = 105;

/// A running hash of a blob. It can be saved, and taken up by another process.
#[derive(Debug, Clone)]
pub(super) enum BlobHasher {
    Sha256(Sha256),
    Other(Hasher),
}

/// A SHA-256 state over whole blocks, and the bytes that do not fill one yet.
#[derive(Debug, Clone)]
pub(super) struct Sha256 {
    words: [u32; 8],
    blocks: u64,
    pending: [u8; BLOCK],
    filled: usize,
}

impl BlobHasher {
    /// A hash of nothing yet.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self::restore(&Hasher::new(algorithm).save()).expect("a fresh state is a state")
    }

    /// Takes up a state that [`BlobHasher::save`] or [`Hasher::save`] gave.
    ///
    /// # Errors
    /// [`HashStateInvalid`] when the bytes are not such a state.
    pub(super) fn restore(state: &[u8]) -> Result<Self, HashStateInvalid> {
        let checked = Hasher::restore(state)?;
        Ok(match checked.algorithm() {
            Algorithm::Sha256 => Self::Sha256(Sha256::restore(&checked.save())),
            Algorithm::Sha512 => Self::Other(checked),
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Other(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn save(&self) -> Vec<u8> {
        match self {
            Self::Sha256(hasher) => hasher.save(),
            Self::Other(hasher) => hasher.save(),
        }
    }

    pub(super) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => {
                Hasher::restore(&hasher.save()).expect("what was taken up from a saved state saves to one").finish()
            }
            Self::Other(hasher) => hasher.finish(),
        }
    }
}

impl Sha256 {
    /// From a state that [`Hasher::save`] has just made of a SHA-256 hash.
    fn restore(saved: &[u8]) -> Self {
        let mut hasher = Self { words: [0; 8], blocks: 0, pending: [0; BLOCK], filled: usize::from(saved[PENDING]) };
        for (word, bytes) in hasher.words.iter_mut().zip(saved[WORDS].as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        for (place, byte) in saved[BLOCKS].iter().enumerate() {
            hasher.blocks |= u64::from(*byte) << (8 * place);
        }
        hasher.pending[..hasher.filled].copy_from_slice(&saved[PENDING + 1..][..hasher.filled]);
        hasher
    }

    fn save(&self) -> Vec<u8> {
        let mut saved = Hasher::new(Algorithm::Sha256).save();
        debug_assert_eq!(saved.len(), SAVED);
        for (bytes, word) in saved[WORDS].as_chunks_mut::<4>().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        saved[BLOCKS].copy_from_slice(&self.blocks.to_le_bytes());
        saved[PENDING] = u8::try_from(self.filled).expect("an unfinished block is shorter than 64 bytes");
        saved[PENDING + 1..][..self.filled].copy_from_slice(&self.pending[..self.filled]);
        saved
    }

    fn update(&mut self, mut bytes: &[u8]) {
        if self.filled > 0 {
            let taken = bytes.len().min(BLOCK - self.filled);
            self.pending[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < BLOCK {
                return;
            }
            let block = self.pending;
            self.transform(&[block]);
            self.filled = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        self.transform(blocks);
        self.pending[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    #[expect(unsafe_code, reason = "the one call into AWS-LC; its proof stands beside it")]
    fn transform(&mut self, blocks: &[[u8; BLOCK]]) {
        if blocks.is_empty() {
            return;
        }
        // SAFETY: the function reads and writes eight 32-bit words at its first argument and reads 64 bytes for each of
        // the counted blocks at its second (openssl/sha.h, SHA256_TransformBlocks). `words` is eight words, borrowed for
        // writing; `blocks` is `blocks.len()` arrays of 64 bytes without a gap. It keeps neither pointer.
        unsafe {
            aws_lc_sys::SHA256_TransformBlocks(self.words.as_mut_ptr(), blocks.as_ptr().cast(), blocks.len());
        }
        self.blocks += blocks.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(pieces: &[&[u8]]) -> (BlobHasher, Hasher) {
        let mut plain = Hasher::new(Algorithm::Sha256);
        let mut fast = BlobHasher::restore(&plain.save()).unwrap();
        for piece in pieces {
            plain.update(piece);
            fast.update(piece);
            assert_eq!(fast.save(), plain.save(), "after {} bytes", piece.len());
        }
        (fast, plain)
    }

    #[test]
    fn any_split_hashes_and_saves_as_the_portable_hash_does() {
        let content: Vec<u8> = (0..1_000_u32).map(|number| (number % 251) as u8).collect();
        for first in 0..200 {
            for second in [0, 1, 63, 64, 65, 127, 128, 129, 700] {
                let (head, rest) = content.split_at(first);
                let (middle, tail) = rest.split_at(second);
                let (fast, plain) = both(&[head, middle, tail]);
                assert_eq!(fast.finish(), plain.finish());
            }
        }
    }

    #[test]
    fn a_state_saved_by_one_is_taken_up_by_the_other() {
        let (mut fast, plain) = both(&[b"part of a layer"]);
        let mut plain_again = Hasher::restore(&fast.save()).unwrap();
        fast = BlobHasher::restore(&plain.save()).unwrap();
        plain_again.update(&[7; 1_000]);
        fast.update(&[7; 1_000]);
        assert_eq!(fast.finish(), plain_again.finish());
    }

    #[test]
    fn the_digest_of_abc_is_the_one_of_the_standard() {
        let (fast, _) = both(&[b"abc"]);
        let digest = fast.finish();
        assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let saved = Hasher::new(Algorithm::Sha256).save();
        assert!(BlobHasher::restore(&saved[1..]).is_err());
        assert!(BlobHasher::restore(&[]).is_err());
    }
}
