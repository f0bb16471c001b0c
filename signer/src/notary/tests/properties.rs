//! Whatever bytes come, they are read or refused.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::notary::{Root, Signed, Snapshot, Targets, Timestamp, Value};

use super::kit::Keys;

static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let keys = Keys::make();
    let state = crate::notary::FileState::of(hallmark_oci::TrustRole::root(), 1, b"");
    let mut timestamp = keys.snapshot(1, [&state]);
    timestamp.signed["_type"] = "Timestamp".into();
    let drafts = [keys.root(1), keys.targets(1), keys.releases(1), keys.snapshot(1, [&state]), timestamp];
    drafts.iter().map(super::kit::Draft::seal).collect()
});

/// Reads bytes as every kind of file.
fn read(bytes: &[u8]) -> usize {
    let read = [
        Signed::<Root>::parse(bytes).is_ok(),
        Signed::<Targets>::parse(bytes).is_ok(),
        Signed::<Snapshot>::parse(bytes).is_ok(),
        Signed::<Timestamp>::parse(bytes).is_ok(),
    ];
    read.into_iter().filter(|is_read| *is_read).count()
}

fn value() -> impl Strategy<Value = Value> {
    let text = || "[^\\p{Cc}]{0,8}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-(1_i64 << 53) + 1..1 << 53).prop_map(Value::Integer),
        text().prop_map(Value::Text),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::btree_map(text(), inner, 0..8).prop_map(Value::Object),
        ]
    })
}

/// A change of some bytes: some taken out, others put in their place.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let text = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec!["\"", "{", "}", "[]", "null", "-1", "1e9", ",", "\\u0000", "\"signed\":{},", "é"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), 0..4_usize, text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_canonical_form_says_the_same(value in value()) {
        let bytes = value.canonical();
        let again = Value::parse(&bytes).unwrap();
        prop_assert_eq!(&again, &value);
        prop_assert_eq!(again.canonical(), bytes);
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(read(&bytes), 0);
        if let Ok(value) = Value::parse(&bytes) {
            prop_assert!(!value.canonical().is_empty());
        }
    }

    #[test]
    fn mutated_files_are_read_or_refused(
        file in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        let mut bytes = file.get(&FILES).clone();
        let is_whole = mutations.is_empty();
        for (at, taken, put) in mutations {
            let at = at.index(bytes.len().max(1));
            let end = (at + taken).min(bytes.len());
            bytes.splice(at.min(end)..end, put);
        }
        let found = read(&bytes);
        prop_assert!(found <= 1, "read as more than one kind");
        prop_assert!(!is_whole || found == 1);
    }
}
