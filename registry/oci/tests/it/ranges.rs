//! Byte ranges of downloads (RFC 9110 section 14) and chunk ranges of uploads (distribution-spec, "Pushing a blob in chunks").

use hallmark_oci::{ByteRange, ChunkRange, RangeAnswer};
use proptest::prelude::*;

use crate::model::Grammar;

#[test]
fn a_download_range_is_one_of_three_forms() {
    use RangeAnswer::{Part, Unsatisfiable, Whole};
    for (header, expected) in [
        ("bytes=500-1499", Part(500..1500)),
        ("bytes=500-", Part(500..2048)),
        ("bytes=-500", Part(1548..2048)),
        ("bytes=2000-5000", Part(2000..2048)),
        ("bytes=-5000", Part(0..2048)),
        ("bytes=0-0", Part(0..1)),
        ("bytes=0-", Part(0..2048)),
        ("bytes=2047-2047", Part(2047..2048)),
        ("BYTES=1-2", Part(1..3)),
        ("bytes=0-99999999999999999999999", Part(0..2048)),
        ("bytes=-99999999999999999999999", Part(0..2048)),
        ("bytes=500-0", Unsatisfiable),
        ("bytes=5000-10000", Unsatisfiable),
        ("bytes=2048-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("bytes=99999999999999999999999-", Unsatisfiable),
        ("bytes=0-1,3-4", Whole),
        ("bytes=-", Whole),
        ("bytes=", Whole),
        ("bytes", Whole),
        ("", Whole),
        ("items=0-1", Whole),
        ("bytes=a-b", Whole),
        ("bytes=0x0-1", Whole),
        ("bytes=+0-1", Whole),
        ("bytes=0--1", Whole),
        ("bytes=--1", Whole),
        ("bytes=1 - 2", Whole),
    ] {
        assert_eq!(ByteRange::resolve(header, 2048), expected, "{header}");
    }
}

#[test]
fn nothing_can_be_taken_from_an_empty_content() {
    assert_eq!(ByteRange::resolve("bytes=0-", 0), RangeAnswer::Unsatisfiable);
    assert_eq!(ByteRange::resolve("bytes=0-5", 0), RangeAnswer::Unsatisfiable);
    assert_eq!(ByteRange::resolve("bytes=-5", 0), RangeAnswer::Whole);
}

#[test]
fn a_chunk_range_has_no_unit_and_no_total() {
    for (text, start, end, length) in
        [("0-0", 0, 0, 1), ("0-99", 0, 99, 100), ("100-199", 100, 199, 100), ("007-008", 7, 8, 2)]
    {
        let range: ChunkRange = text.parse().unwrap();
        assert_eq!((range.start, range.end, range.len()), (start, end, length), "{text}");
    }
    for text in [
        "",
        "-",
        "0",
        "0-",
        "-0",
        "1-0",
        "0-1-2",
        "bytes 0-1",
        "bytes=0-1",
        "0-1/2",
        "0-1/*",
        " 0-1",
        "0-1 ",
        "+0-1",
        "0-+1",
        "a-b",
        "0x0-1",
        "0-18446744073709551616",
        "0-18446744073709551615",
        "0-9223372036854775807",
        "99999999999999999999999-99999999999999999999999",
        "٠-١",
    ] {
        assert!(text.parse::<ChunkRange>().is_err(), "{text:?}");
    }
    assert_eq!("0-9223372036854775806".parse::<ChunkRange>().unwrap().len(), i64::MAX as u64);
}

#[test]
fn progress_of_none_and_of_one_byte_look_alike() {
    for (received, text) in [(0, "0-0"), (1, "0-0"), (2, "0-1"), (100, "0-99")] {
        assert_eq!(ChunkRange::received(received).to_string(), text);
    }
}

/// The positions that a range names, found by looking at each one.
fn named(first: Option<u64>, last: Option<u64>, size: u64) -> Vec<u64> {
    let is_named = |at: &u64| match (first, last) {
        (Some(first), Some(last)) => first <= *at && *at <= last,
        (Some(first), None) => first <= *at,
        (None, Some(length)) => *at + length >= size,
        (None, None) => true,
    };
    (0..size).filter(is_named).collect()
}

#[test]
fn a_chunk_range_is_accepted_exactly_when_the_pattern_matches_in_order_and_in_bounds() {
    let grammar = Grammar::new("[0-9]+-[0-9]+");
    proptest!(|(text in prop_oneof!["[0-9]{0,21}-[0-9]{0,21}", "[0-9a /=-]{0,8}"])| {
        let expected = grammar.matches(&text).then(|| {
            let (start, end) = text.split_once('-').unwrap();
            (start.parse::<u128>().unwrap(), end.parse::<u128>().unwrap())
        });
        let expected = expected.filter(|(start, end)| start <= end && *end < i64::MAX as u128);
        let parsed = text.parse::<ChunkRange>().ok().map(|range| (u128::from(range.start), u128::from(range.end)));
        prop_assert_eq!(parsed, expected, "{}", text);
    });
}

proptest! {
    #[test]
    fn a_download_range_names_the_positions_that_the_rfc_names(
        first in prop::option::of(0..40_u64), last in prop::option::of(0..40_u64), size in 1..30_u64,
    ) {
        let text = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let header = format!("bytes={}-{}", text(first), text(last));
        let named = named(first, last, size);
        let expected = match (named.first(), named.last()) {
            (Some(_), Some(_)) if first.is_none() && last.is_none() => RangeAnswer::Whole,
            (Some(first), Some(last)) => RangeAnswer::Part(*first..last + 1),
            _ => RangeAnswer::Unsatisfiable,
        };
        prop_assert_eq!(ByteRange::resolve(&header, size), expected, "{} of {}", header, size);
    }

    #[test]
    fn whatever_the_header_a_part_is_within_the_content(header in any::<String>(), size: u64) {
        if let RangeAnswer::Part(range) = ByteRange::resolve(&header, size) {
            prop_assert!(range.start < range.end && range.end <= size);
        }
    }

    /// A client that cuts a blob into chunks, names each by its range, and continues after what it is told was received.
    #[test]
    fn chunks_by_their_ranges_put_a_blob_together_again(lengths in prop::collection::vec(1..1000_u64, 1..20)) {
        let mut received = 0;
        for length in lengths {
            let text = ChunkRange { start: received, end: received + length - 1 }.to_string();
            let chunk: ChunkRange = text.parse().unwrap();
            prop_assert_eq!((chunk.start, chunk.len()), (received, length));
            received += chunk.len();
            let told: ChunkRange = ChunkRange::received(received).to_string().parse().unwrap();
            prop_assert_eq!(told.end + 1, received);
        }
    }
}
