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

use hallmark_oci::Operation;

/// The matrix that asks for an operation as everybody. A new one has to be put into one of them first.
fn matrix_of(operation: &Operation) -> &'static str {
    match operation {
        // It is about no repository: `v2/ping.rs` and `v2/challenges.rs`.
        Operation::Ping => "ping",
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
        | Operation::ListReferrers(_) => "images",
        Operation::ReadTrust(_)
        | Operation::PublishTrust(_)
        | Operation::TrustKey(_)
        | Operation::DeleteTrust(_)
        | Operation::ListTrustChanges(_)
        | Operation::ReadTuf(_) => "trust",
    }
}
