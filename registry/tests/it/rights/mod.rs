//! Lives here: what people and programs may do with images, how far what they showed reaches, and attacks on both.
//! Never here: how rights are managed (`api`), what an image is (`v2`).
//! Start reading at `matrix.rs`.

mod attacks;
mod create_on_push;
mod credentials;
mod limiter;
mod matrix;
mod replicas;
mod trust_matrix;
mod writers_sign;

use hallmark_oci::Operation;

/// The operations that `matrix.rs` asks for as everybody, by their names.
const IMAGES: [&str; 13] = [
    "pull_manifest",
    "pull_blob",
    "put_manifest",
    "delete_manifest",
    "delete_blob",
    "begin_upload",
    "upload_status",
    "append_upload",
    "finish_upload",
    "cancel_upload",
    "list_tags",
    "list_repositories",
    "list_referrers",
];
/// Those that `trust_matrix.rs` asks for.
const TRUST: [&str; 6] = ["read_trust", "publish_trust", "trust_key", "delete_trust", "list_trust_changes", "read_tuf"];

/// The list that an operation has to stand in. A new one has to be put into one of them first, and then into its matrix.
fn matrix_of(operation: &Operation) -> &'static [&'static str] {
    match operation {
        // It is about no repository: `v2/ping.rs` and `v2/challenges.rs`.
        Operation::Ping => &["ping"],
        Operation::PullManifest(_)
        | Operation::PullBlob(_)
        | Operation::PutManifest(_)
        | Operation::DeleteManifest(_)
        | Operation::DeleteBlob(_)
        | Operation::BeginUpload(_)
        | Operation::UploadStatus(_)
        | Operation::AppendUpload(_)
        | Operation::FinishUpload(_)
        | Operation::CancelUpload(_)
        | Operation::ListTags(_)
        | Operation::ListRepositories(_)
        | Operation::ListReferrers(_) => &IMAGES,
        Operation::ReadTrust(_)
        | Operation::PublishTrust(_)
        | Operation::TrustKey(_)
        | Operation::DeleteTrust(_)
        | Operation::ListTrustChanges(_)
        | Operation::ReadTuf(_) => &TRUST,
    }
}

#[test]
fn every_operation_stands_in_the_list_of_its_matrix() {
    for (method, path, query) in [
        ("GET", "/v2/", None),
        ("GET", "/v2/acme/web/manifests/1", None),
        ("GET", "/v2/_catalog", None),
        ("GET", "/v2/_trust/changefeed", Some("records=1")),
        ("GET", "/tuf/acme/web/timestamp.json", None),
    ] {
        let operation = Operation::parse(method, path, query).unwrap();
        assert!(matrix_of(&operation).contains(&operation.name()), "{path}");
    }
}
