//! What strangers might send: genuine samples, changed a little again and again, for the tests of whatever reads them.

use proptest::prelude::*;

/// How often one case changes its sample; each time it is read.
const CHANGES: usize = 64;
/// After how many changes a text is genuine again.
const ANEW: usize = 4;
/// How many cases a test runs: with the changes of each, more than a hundred thousand texts.
pub(crate) const CASES: u32 = 1_600;
/// No text grows longer.
const BYTES: usize = 2_048;

/// One change: what is done, where, and with what.
pub(crate) type Change = (u8, u16, u8);

/// A sample by its number, or bytes of no sample, and what is done to it one after the other.
pub(crate) fn changes(samples: usize) -> impl Strategy<Value = (Start, Vec<Change>)> {
    let start = prop_oneof![
        4 => (0..samples).prop_map(Start::Sample),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Start::Bytes),
    ];
    (start, prop::collection::vec(any::<Change>(), CHANGES))
}

/// What is changed.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Sample(usize),
    Bytes(Vec<u8>),
}

impl Start {
    pub(crate) fn of<T: AsRef<[u8]>>(&self, samples: &[T]) -> Vec<u8> {
        match self {
            Self::Sample(number) => samples[*number].as_ref().to_vec(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// What a text becomes, change by change; after some it is genuine again, since one that is broken already is refused at once.
pub(crate) fn texts(genuine: Vec<u8>, changes: Vec<Change>) -> impl Iterator<Item = Vec<u8>> {
    let mut text = Vec::new();
    changes.into_iter().enumerate().map(move |(number, one)| {
        if number % ANEW == 0 {
            text.clone_from(&genuine);
        }
        change(&mut text, one);
        text.clone()
    })
}

/// Changes a text by a byte or a piece of it.
fn change(text: &mut Vec<u8>, (what, place, byte): Change) {
    let at = usize::from(place) % (text.len() + 1);
    let end = (at + 1 + usize::from(byte) % 24).min(text.len());
    match what % 7 {
        0 if at < text.len() => text[at] = byte,
        1 if at < text.len() => text[at] ^= 1 << (byte % 8),
        2 => drop(text.drain(at..end)),
        3 if text.len() < BYTES => text.extend_from_within(at..end),
        4 if text.len() < BYTES => {
            let piece = text[at..end].to_vec();
            text.splice(at..at, piece);
        }
        5 if text.len() < BYTES => text.insert(at, byte),
        // A cut is rare: it takes what the changes after it could have met.
        6 if byte < 16 => text.truncate(at),
        _ => {}
    }
}
