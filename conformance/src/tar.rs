//! Just enough of the tar format to make layers and archives that clients read.

/// Entries are padded to whole blocks of this size.
const BLOCK: usize = 512;

/// One file of an archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The path inside the archive, shorter than 100 bytes.
    pub path: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// An archive of regular files, owned by root, dated to the epoch: the same entries give the same bytes.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let size: usize = entries.iter().map(|entry| entry.bytes.len() + 2 * BLOCK).sum();
    let mut archive = Vec::with_capacity(size + 2 * BLOCK);
    for entry in entries {
        archive.extend_from_slice(&header(&entry.path, entry.bytes.len()));
        archive.extend_from_slice(&entry.bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// A `ustar` header. Its checksum is the sum of its bytes with the checksum itself read as spaces.
fn header(path: &str, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_whole_blocks_and_ends_with_two_empty_ones() {
        let entry = Entry { path: "a".into(), bytes: vec![7; 513] };
        let archive = archive(&[entry]);
        assert_eq!(archive.len(), BLOCK * (1 + 2 + 2));
        assert!(archive[BLOCK * 3..].iter().all(|byte| *byte == 0));
    }
}
