//! The table of error codes, as clients and conformance suites know it.

use std::collections::BTreeSet;

use hallmark_oci::ErrorCode;

/// The codes of distribution-spec, "Error Codes", and the two that its suite knows besides.
const SPECIFIED: [&str; 15] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "TAG_INVALID",
];

#[test]
fn every_code_of_the_specification_is_in_the_table() {
    let words: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.word()).collect();
    for word in SPECIFIED {
        assert!(words.contains(word), "{word}");
    }
}

#[test]
fn a_code_is_upper_case_and_its_status_is_a_failure() {
    for code in ErrorCode::ALL {
        assert!(code.word().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code}");
        assert!((400..600).contains(&code.status()), "{code}");
        assert!(!code.message().is_empty(), "{code}");
    }
}

#[test]
fn statuses_are_those_that_registries_answer() {
    for (code, status) in [
        (ErrorCode::Unauthorized, 401),
        (ErrorCode::Denied, 403),
        (ErrorCode::ManifestUnknown, 404),
        (ErrorCode::BlobUploadUnknown, 404),
        (ErrorCode::Unsupported, 405),
        (ErrorCode::ManifestTooLarge, 413),
        (ErrorCode::TagsTooMany, 414),
        (ErrorCode::RangeInvalid, 416),
        (ErrorCode::TooManyRequests, 429),
        (ErrorCode::Unknown, 500),
        (ErrorCode::Unavailable, 503),
        (ErrorCode::InsufficientStorage, 507),
    ] {
        assert_eq!(code.status(), status, "{code}");
    }
}

/// The v1.1.1 suite refuses a 400 whose code it does not know. `INVALID` is answered by the management API alone, and the words
/// of content trust below `_trust` alone.
#[test]
fn a_400_has_a_code_that_the_suite_knows_or_is_about_paging_or_trust() {
    let others = [
        ErrorCode::PaginationNumberInvalid,
        ErrorCode::Invalid,
        ErrorCode::InvalidGun,
        ErrorCode::NoFilename,
        ErrorCode::InvalidRole,
        ErrorCode::MalformedUpload,
        ErrorCode::MalformedJson,
        ErrorCode::InvalidUpdate,
        ErrorCode::Version,
        ErrorCode::InvalidParameters,
    ];
    for code in ErrorCode::ALL.iter().filter(|code| code.status() == 400) {
        assert!(SPECIFIED.contains(&code.word()) || others.contains(code), "{code}");
    }
}
