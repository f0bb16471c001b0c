//! Well-formed values, and texts that are nearly well formed.

use hallmark_oci::{
    Algorithm, AppendUpload, BeginUpload, CancelUpload, DeleteBlob, DeleteManifest, Digest, FinishUpload,
    ListReferrers, ListRepositories, ListTags, Mount, Operation, Page, PullBlob, PullManifest, PutManifest, Reference,
    RepositoryName, Tag, UploadId, UploadStatus,
};
use proptest::prelude::*;

/// The text of a name, with the protocol's own words among its components.
pub(crate) fn name_text() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        3 => "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}",
        1 => prop::sample::select(vec!["blobs", "manifests", "tags", "uploads", "referrers", "list"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(component, 1..5).prop_map(|components| components.join("/"))
}

pub(crate) fn tag_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
}

pub(crate) fn digest_text() -> impl Strategy<Value = String> {
    prop_oneof!["sha256:[a-f0-9]{64}", "sha512:[a-f0-9]{128}"]
}

/// `text` with a few characters inserted, replaced or removed; sometimes it stays as it was.
pub(crate) fn nearly(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let wrong = prop::sample::select("aZ09./_-:%+ \0\n\\é@".chars().collect::<Vec<_>>());
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, wrong), 0..3);
    (text, edits).prop_map(|(text, edits)| {
        let mut characters: Vec<char> = text.chars().collect();
        for (at, edit, character) in edits {
            match edit {
                0 => characters.insert(at.index(characters.len() + 1), character),
                _ if characters.is_empty() => {}
                1 => {
                    let at = at.index(characters.len());
                    characters[at] = character;
                }
                _ => {
                    characters.remove(at.index(characters.len()));
                }
            }
        }
        characters.into_iter().collect()
    })
}

pub(crate) fn repository() -> impl Strategy<Value = RepositoryName> {
    name_text().prop_map(|text| text.parse().unwrap())
}

pub(crate) fn tag() -> impl Strategy<Value = Tag> {
    tag_text().prop_map(|text| text.parse().unwrap())
}

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    digest_text().prop_map(|text| text.parse().unwrap())
}

pub(crate) fn reference() -> impl Strategy<Value = Reference> {
    prop_oneof![tag().prop_map(Reference::Tag), digest().prop_map(Reference::Digest)]
}

pub(crate) fn upload() -> impl Strategy<Value = UploadId> {
    any::<[u8; 16]>().prop_map(UploadId::from_bytes)
}

pub(crate) fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![Algorithm::Sha256, Algorithm::Sha512])
}

/// A cursor need not be an entry of the list, so it is any text without control characters.
fn page() -> impl Strategy<Value = Page> {
    let after = "\\PC{1,40}".prop_filter("at most 255 bytes", |text| text.len() <= 255);
    (any::<Option<u64>>(), prop::option::of(after)).prop_map(|(limit, after)| Page { limit, after })
}

fn put_manifest() -> impl Strategy<Value = Operation> {
    let by_tag = (repository(), tag()).prop_map(|(repository, tag)| PutManifest {
        repository,
        reference: tag.into(),
        tags: Vec::new(),
    });
    let by_digest =
        (repository(), digest(), prop::collection::btree_set(tag(), 0..12)).prop_map(|(repository, digest, tags)| {
            PutManifest { repository, reference: digest.into(), tags: tags.into_iter().collect() }
        });
    prop_oneof![by_tag, by_digest].prop_map(Operation::PutManifest)
}

fn begin_upload() -> impl Strategy<Value = Operation> {
    let mount = (digest(), prop::option::of(repository())).prop_map(|(digest, from)| Mount { digest, from });
    (repository(), prop::option::of(mount), prop::option::of(digest()), prop::option::of(algorithm())).prop_map(
        |(repository, mount, digest, algorithm)| {
            Operation::BeginUpload(BeginUpload { repository, mount, digest, algorithm })
        },
    )
}

fn session_operation() -> impl Strategy<Value = Operation> {
    (repository(), upload(), digest(), 0..4_u8).prop_map(|(repository, upload, digest, which)| match which {
        0 => Operation::UploadStatus(UploadStatus { repository, upload }),
        1 => Operation::AppendUpload(AppendUpload { repository, upload }),
        2 => Operation::FinishUpload(FinishUpload { repository, upload, digest }),
        _ => Operation::CancelUpload(CancelUpload { repository, upload }),
    })
}

fn listing() -> impl Strategy<Value = Operation> {
    let artifact_type =
        prop::option::of("[a-z]{1,8}/[a-z.+-]{1,20}(; [a-z]=[a-z])?".prop_map(|text| text.replace(' ', "")));
    prop_oneof![
        (repository(), page()).prop_map(|(repository, page)| Operation::ListTags(ListTags { repository, page })),
        page().prop_map(|page| Operation::ListRepositories(ListRepositories { page })),
        (repository(), digest(), artifact_type, page()).prop_map(|(repository, subject, artifact_type, page)| {
            Operation::ListReferrers(ListReferrers { repository, subject, artifact_type, page })
        }),
    ]
}

/// Every operation there is.
pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        1 => Just(Operation::Ping),
        3 => (repository(), reference(), any::<bool>()).prop_map(|(repository, reference, head)| {
            Operation::PullManifest(PullManifest { repository, reference, head })
        }),
        3 => (repository(), digest(), any::<bool>()).prop_map(|(repository, digest, head)| {
            Operation::PullBlob(PullBlob { repository, digest, head })
        }),
        2 => (repository(), reference()).prop_map(|(repository, reference)| {
            Operation::DeleteManifest(DeleteManifest { repository, reference })
        }),
        1 => (repository(), digest()).prop_map(|(repository, digest)| {
            Operation::DeleteBlob(DeleteBlob { repository, digest })
        }),
        3 => put_manifest(),
        4 => begin_upload(),
        4 => session_operation(),
        4 => listing(),
    ]
}
