//! Repository names, tags, references, upload ids and media types (distribution-spec, "Pulling Manifests").

use hallmark_oci::{
    Digest, MediaType, Reference, ReferenceInvalid, RepositoryName, RepositoryNameInvalid, Tag, TagInvalid, UploadId,
};
use proptest::prelude::*;

use crate::model::{DIGEST, Grammar, TAG, UPLOAD, name_pattern};
use crate::strategies::{digest_text, name_text, nearly, tag_text, upload};

#[test]
fn a_name_is_lower_case_components_joined_by_slashes() {
    for name in ["a", "a/b", "library/hello-world", "a.b_c__d-e---f/0", "blobs/uploads/manifests", "0", "tags/list"] {
        assert_eq!(name.parse::<RepositoryName>().unwrap().as_str(), name);
    }
    for name in [
        "A", "a/B", "a//b", "/a", "a/", "/", ".", "..", "a/..", "a/.", "-a", "a-", "_a", "a_", ".a", "a.", "a..b",
        "a___b", "a._b", "a_-b", "a.-b", "a b", "a\0b", "a%2fb", "é", "a:b", "a@b", "_catalog", "a/_oci", "a\\b",
    ] {
        assert_eq!(name.parse::<RepositoryName>(), Err(RepositoryNameInvalid::Component), "{name}");
    }
    assert_eq!("".parse::<RepositoryName>(), Err(RepositoryNameInvalid::Empty));
}

#[test]
fn a_name_has_at_most_255_bytes() {
    assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
    assert_eq!("a".repeat(256).parse::<RepositoryName>(), Err(RepositoryNameInvalid::TooLong));
}

#[test]
fn the_account_is_the_first_of_two_or_more_components() {
    for (name, account) in [("app", None), ("ann/app", Some("ann")), ("ann/web/app", Some("ann"))] {
        assert_eq!(name.parse::<RepositoryName>().unwrap().account(), account);
    }
}

#[test]
fn a_tag_has_at_most_128_bytes_and_begins_with_a_word_character() {
    for tag in ["latest", "1.0", "_", "_-.", "UPPER", "a--b", &"a".repeat(128)] {
        assert_eq!(tag.parse::<Tag>().unwrap().as_str(), tag);
    }
    assert_eq!("".parse::<Tag>(), Err(TagInvalid::Empty));
    assert_eq!("a".repeat(129).parse::<Tag>(), Err(TagInvalid::TooLong));
    for tag in [".INVALID_MANIFEST_NAME", "-a", "a b", "a/b", "a:b", "é", "a\0", "a\n", "a%20"] {
        assert_eq!(tag.parse::<Tag>(), Err(TagInvalid::Characters), "{tag}");
    }
}

#[test]
fn a_reference_with_a_colon_is_a_digest_or_nothing() {
    assert!(matches!("latest".parse(), Ok(Reference::Tag(_))));
    let digest = format!("sha256:{}", "a".repeat(64));
    assert!(matches!(digest.parse(), Ok(Reference::Digest(_))));
    assert!(matches!("sha256:x".parse::<Reference>(), Err(ReferenceInvalid::Digest(_))));
    assert!(matches!(".x".parse::<Reference>(), Err(ReferenceInvalid::Tag(_))));
}

#[test]
fn a_media_type_is_printable_with_a_slash_inside() {
    for text in ["a/b", "application/vnd.x+json", "text/plain; charset=utf-8", "sbom/example", "a/b/c"] {
        assert_eq!(text.parse::<MediaType>().unwrap().as_str(), text);
    }
    for text in
        ["", "/", "a", "a/", "/b", " a/b", "a/b ", "a/b\n", "a/b\0", "a/é", "a /b", &format!("a/{}", "b".repeat(254))]
    {
        assert!(text.parse::<MediaType>().is_err(), "{text:?}");
    }
}

#[test]
fn foreign_layers_are_known_by_their_type() {
    for (text, is_foreign) in [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true),
        ("application/vnd.oci.image.layer.v1.tar+gzip", false),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", false),
    ] {
        assert_eq!(text.parse::<MediaType>().unwrap().is_foreign_layer(), is_foreign, "{text}");
    }
}

#[test]
fn a_name_is_accepted_exactly_when_the_pattern_matches() {
    let grammar = Grammar::new(&name_pattern());
    proptest!(|(text in nearly(name_text()))| {
        let parsed = text.parse::<RepositoryName>();
        prop_assert_eq!(parsed.is_ok(), text.len() <= 255 && grammar.matches(&text), "{}", text);
        if let Ok(name) = parsed {
            prop_assert_eq!(name.to_string(), text);
        }
    });
}

#[test]
fn every_short_text_is_a_name_exactly_when_the_pattern_matches() {
    let grammar = Grammar::new(&name_pattern());
    let alphabet = ['a', '0', '.', '_', '-', '/', 'A'];
    let mut texts = vec![String::new()];
    for _ in 0..6 {
        texts = texts.iter().flat_map(|text| alphabet.map(|last| format!("{text}{last}"))).collect();
        for text in &texts {
            assert_eq!(text.parse::<RepositoryName>().is_ok(), grammar.matches(text), "{text}");
        }
        // Only what may still become a name grows; every other continuation is refused for the same reason.
        texts.retain(|text| grammar.matches(text) || grammar.matches(&format!("{text}a")));
    }
}

#[test]
fn a_tag_is_accepted_exactly_when_the_pattern_matches() {
    let grammar = Grammar::new(TAG);
    proptest!(|(text in nearly(tag_text()))| {
        let parsed = text.parse::<Tag>();
        prop_assert_eq!(parsed.is_ok(), grammar.matches(&text), "{}", text);
        if let Ok(tag) = parsed {
            prop_assert_eq!(tag.to_string(), text);
        }
    });
}

#[test]
fn a_reference_is_accepted_exactly_when_one_of_the_patterns_matches() {
    let grammar = Grammar::new(&format!("{TAG}|{DIGEST}"));
    proptest!(|(text in nearly(prop_oneof![tag_text(), digest_text()]))| {
        let parsed = text.parse::<Reference>();
        prop_assert_eq!(parsed.is_ok(), grammar.matches(&text), "{}", text);
        if let Ok(reference) = parsed {
            prop_assert_eq!(matches!(&reference, Reference::Digest(_)), text.parse::<Digest>().is_ok());
            prop_assert_eq!(reference.to_string(), text);
        }
    });
}

#[test]
fn an_upload_id_is_accepted_exactly_when_the_pattern_matches() {
    let grammar = Grammar::new(UPLOAD);
    proptest!(|(text in nearly(upload().prop_map(|id| id.to_string())))| {
        prop_assert_eq!(text.parse::<UploadId>().is_ok(), grammar.matches(&text), "{}", text);
    });
}

#[test]
fn an_upload_id_is_its_bytes_in_hex() {
    let id = UploadId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
    assert_eq!(id.as_str(), "000102030405060708090a0b0c0d0eff");
}
