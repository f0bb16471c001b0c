//! A hash that is kept and taken up again says what one pass says.

use hallmark_oci::{Algorithm, Digest, HashStateInvalid, Hasher};
use proptest::prelude::*;

use crate::strategies::algorithm;

proptest! {
    #[test]
    fn a_hash_survives_being_saved_anywhere(
        algorithm in algorithm(),
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
    ) {
        let mut hasher = Hasher::new(algorithm);
        for chunk in &chunks {
            hasher.update(chunk);
            hasher = Hasher::restore(&hasher.save()).unwrap();
            prop_assert_eq!(hasher.algorithm(), algorithm);
        }
        prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &chunks.concat()));
    }

    #[test]
    fn no_bytes_make_restoring_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(mut hasher) = Hasher::restore(&bytes) {
            hasher.update(b"x");
            let _ = hasher.finish();
        }
    }

    #[test]
    fn no_damaged_state_makes_restoring_panic(algorithm in algorithm(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(b"some bytes");
        let mut state = hasher.save();
        let at = at.index(state.len());
        state[at] = byte;
        if let Ok(mut hasher) = Hasher::restore(&state) {
            hasher.update(&[0; 300]);
            let _ = hasher.finish();
        }
    }
}

#[test]
fn a_state_of_another_length_or_algorithm_is_refused() {
    let state = Hasher::new(Algorithm::Sha256).save();
    assert_eq!(state.len(), 105);
    assert_eq!(Hasher::new(Algorithm::Sha512).save().len(), 209);
    let mut other = state.clone();
    for (bytes, why) in [
        (&state[..104], "cut short"),
        (&[], "empty"),
        ([&state[..], &[0]].concat().as_slice(), "too long"),
        (
            {
                other[0] = 3;
                &other[..]
            },
            "unknown algorithm",
        ),
    ] {
        assert_eq!(Hasher::restore(bytes).unwrap_err(), HashStateInvalid, "{why}");
    }
}

#[test]
fn a_state_says_its_algorithm_in_its_first_byte() {
    assert_eq!(Hasher::new(Algorithm::Sha256).save()[0], 1);
    assert_eq!(Hasher::new(Algorithm::Sha512).save()[0], 2);
}

/// The stored format: a restored upload counts its blocks where an earlier release wrote them.
#[test]
fn a_state_counts_its_blocks_and_refuses_more_content_than_there_can_be() {
    for (algorithm, count) in [(Algorithm::Sha256, 33..41), (Algorithm::Sha512, 65..81)] {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&[0; 128 * 3 + 5]);
        let blocks = if algorithm == Algorithm::Sha256 { 6 } else { 3 };
        let mut state = hasher.save();
        assert_eq!((state[count.start], &state[count.start + 1..count.end]), (blocks, &vec![0; count.len() - 1][..]));
        state[count.end - 1] = 1;
        assert_eq!(Hasher::restore(&state).unwrap_err(), HashStateInvalid, "{algorithm}");
    }
}
