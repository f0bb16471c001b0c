//! Measures the embedded database: small changes a second through the one writer, and reads from memory and from disk.
//! Run it in release: `cargo run --release -p hallmark-storage --example measure_metadata [FOLDER]`.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, Reference, Tag};
use hallmark_storage::metadata::{
    AccountId, DatabaseConfig, Metadata, PrincipalId, PutManifest, PutRefused, Repository,
};

const BODY: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const SECONDS: Duration = Duration::from_secs(3);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder =
        tempfile::Builder::new().prefix("measure").tempdir_in(std::env::args().nth(1).unwrap_or(".".into()))?;
    let config = DatabaseConfig::Sqlite { path: folder.path().join("hallmark.db") };
    let metadata = Metadata::open(&config, 0).await?;
    let repository: Repository = metadata
        .write("measured".parse()?, |tx, name| Box::pin(tx.create_repository(name, AccountId::SYSTEM, 0)))
        .await
        .map_err(|error: hallmark_storage::metadata::Error| error)?;
    let mut out = std::io::stdout();
    for clients in [1, 8, 64] {
        let before = metadata.statistics();
        let made = changes(&metadata, &repository, clients).await?;
        let after = metadata.statistics();
        let rate = made as f64 / SECONDS.as_secs_f64();
        let commits = after.commits - before.commits;
        writeln!(out, "put manifest and tag, {clients:>2} clients: {rate:>7.0}/s, {commits} commits for {made}")?;
    }
    let reference: Reference = "latest".parse()?;
    for (name, metadata) in [("memory", metadata.clone()), ("disk", metadata.without_cache())] {
        let (began, mut reads) = (Instant::now(), 0_u32);
        while began.elapsed() < SECONDS {
            for _ in 0..100 {
                metadata.manifest(repository.id, &reference).await?;
            }
            reads += 100;
        }
        writeln!(out, "manifest by tag, from {name}: {:?} each", began.elapsed() / reads)?;
    }
    metadata.close().await;
    Ok(())
}

/// Puts manifests from many tasks for a while; how many were acknowledged.
async fn changes(metadata: &Metadata, repository: &Repository, clients: u64) -> Result<u64, Failure> {
    let end = Instant::now() + SECONDS;
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (metadata, repository) = (metadata.clone(), repository.clone());
            tokio::spawn(async move {
                let mut made = 0;
                while Instant::now() < end {
                    put(&metadata, &repository, clients << 48 | client << 32 | made).await?;
                    made += 1;
                }
                Ok::<u64, PutRefused>(made)
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += task.await??;
    }
    Ok(made)
}

async fn put(metadata: &Metadata, repository: &Repository, number: u64) -> Result<(), PutRefused> {
    let body = BODY.replace("[]}", &format!("[],\"annotations\":{{\"number\":\"{number}\"}}}}"));
    metadata
        .write((repository.clone(), body), |tx, (repository, body)| {
            Box::pin(async move {
                tx.repository(&repository.name).await?;
                let manifest = Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES).expect("BODY is an index");
                let digest = Digest::of(Algorithm::Sha256, body.as_bytes());
                let tags: &[Tag] = &["latest".parse().expect("a tag")];
                let put = PutManifest {
                    repository,
                    digest: &digest,
                    manifest: &manifest,
                    body: body.as_bytes(),
                    tags,
                    pushed_by: PrincipalId(0),
                    now: 0,
                };
                tx.put_manifest(&put).await.map(drop)
            })
        })
        .await
}
