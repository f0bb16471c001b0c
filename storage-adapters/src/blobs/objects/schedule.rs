//! How large each part of a multipart upload is.

/// The parts that a bucket allows in one upload.
pub(super) const MAX_PARTS: u32 = 10_000;
/// The smallest part that a bucket allows, except for the last: 5 MiB.
pub(super) const MIN_PART_SIZE: u64 = 5 * 1024 * 1024;
/// The largest part that a bucket allows: 5 GiB.
const MAX_PART_SIZE: u64 = 5 * 1024 * 1024 * 1024;
/// The parts after which the size doubles.
const PARTS_A_STEP: u32 = 1_000;

/// The default size of the first parts: 8 MiB.
pub const DEFAULT_PART_SIZE: u64 = 8 * 1024 * 1024;
/// The default memory that the parts of all uploads share: 256 MiB.
pub const DEFAULT_PART_MEMORY: u64 = 256 * 1024 * 1024;

/// The size in bytes of part `number` (from 1) of an upload: `first` for the first thousand parts, then doubled every
/// thousand, but never more than `memory`, because a part is held whole until it is sent, and never more than 5 GiB.
///
/// With the default first size of 8 MiB, as the blob grows:
///
/// | parts | size of one | the blob at the end of them |
/// |---|---|---|
/// | 1 – 1,000 | 8 MiB | 7.8 GiB |
/// | – 2,000 | 16 MiB | 23 GiB |
/// | – 3,000 | 32 MiB | 55 GiB |
/// | – 4,000 | 64 MiB | 117 GiB |
/// | – 5,000 | 128 MiB | 242 GiB |
/// | – 6,000 | 256 MiB | 492 GiB |
/// | – 10,000 | 256 MiB, all that the default memory admits | 1.4 TiB |
/// | – 10,000 | up to 4 GiB, with memory of 4 GiB | 7.8 TiB, above the 5 TiB that S3 allows |
///
/// The sizes need not be those of an earlier request: a part that was sent keeps the size it has.
pub fn part_size(number: u32, first: u64, memory: u64) -> u64 {
    let doublings = number.saturating_sub(1) / PARTS_A_STEP;
    let size = first.checked_shl(doublings).unwrap_or(u64::MAX);
    size.min(memory).min(MAX_PART_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    fn largest_blob(memory: u64) -> u64 {
        (1..=MAX_PARTS).map(|number| part_size(number, DEFAULT_PART_SIZE, memory)).sum()
    }

    #[test]
    fn the_first_thousand_parts_have_one_size() {
        let sizes = [1, 1_000, 1_001, 2_000, 2_001].map(|number| part_size(number, 8, u64::MAX));
        assert_eq!(sizes, [8, 8, 16, 16, 32]);
    }

    #[test]
    fn ten_thousand_parts_reach_five_tebibytes() {
        assert!(largest_blob(4 * GIB) >= 5 * 1024 * GIB);
    }

    #[test]
    fn the_default_memory_admits_a_tebibyte() {
        assert!(largest_blob(DEFAULT_PART_MEMORY) >= 1024 * GIB);
    }

    #[test]
    fn no_part_is_larger_than_the_memory_or_the_bucket_allows() {
        assert_eq!(part_size(MAX_PARTS, DEFAULT_PART_SIZE, GIB), GIB);
        assert_eq!(part_size(u32::MAX, DEFAULT_PART_SIZE, u64::MAX), MAX_PART_SIZE);
    }
}
