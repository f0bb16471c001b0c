//! Fills the database of a stopped server with long lists: many tags in one repository, or many repositories.
//! It takes the doors that a push takes, only many changes at a time, so that what it leaves is what pushes would have left.
//! Run `seed DATABASE ACCOUNT tags REPOSITORY COUNT` or `seed DATABASE ACCOUNT repositories PREFIX COUNT`: tags are called
//! `v000000` and so on, repositories `PREFIX000000` and so on, and each repository has the one tag `v000000`.

use std::collections::VecDeque;
use std::error::Error;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, RepositoryName, Tag};
use hallmark_storage::metadata::{
    AccountId, DatabaseConfig, Event, Metadata, PrincipalId, PutManifest, PutRefused, Repository, Tx,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The smallest manifest that carries a tag: an index that names nothing.
const MANIFEST: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// Entries that one change makes: few enough to stay far below the time a change may take.
const SPAN: usize = 250;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).collect::<VecDeque<_>>();
    let mut word = |name: &str| words.pop_front().ok_or(format!("{name} is missing: DATABASE ACCOUNT KIND NAME COUNT"));
    let path = word("DATABASE")?.into();
    let (account, kind, name) = (word("ACCOUNT")?, word("KIND")?, word("NAME")?);
    let count = word("COUNT")?.parse::<usize>()?;
    let now = i64::try_from(now()?)?;

    let metadata = Metadata::open(&DatabaseConfig::Sqlite { path }, now).await?;
    let owner = metadata.account(&account).await?.ok_or("there is no such account")?;
    let actor = owner.owner.ok_or("the account is no user's")?;
    let seed = Seed { account: owner.id, actor, digest: Digest::of(Algorithm::Sha256, MANIFEST), now };
    for begin in (0..count).step_by(SPAN) {
        let numbers = begin..count.min(begin + SPAN);
        match kind.as_str() {
            "tags" => tags(&metadata, &seed, name.parse()?, numbers).await?,
            "repositories" => repositories(&metadata, &seed, &name, numbers).await?,
            other => return Err(format!("KIND is tags or repositories, not {other}").into()),
        }
    }
    metadata.close().await;
    Ok(())
}

/// What all entries share.
#[derive(Clone)]
struct Seed {
    account: AccountId,
    actor: PrincipalId,
    digest: Digest,
    now: i64,
}

async fn tags(metadata: &Metadata, seed: &Seed, name: RepositoryName, numbers: Range<usize>) -> Outcome<()> {
    let tags = numbers.map(tag).collect::<Result<Vec<_>, _>>()?;
    put(metadata, seed, vec![(name, tags)]).await
}

async fn repositories(metadata: &Metadata, seed: &Seed, prefix: &str, numbers: Range<usize>) -> Outcome<()> {
    let mut entries = Vec::with_capacity(numbers.len());
    for number in numbers {
        entries.push((format!("{prefix}{number:06}").parse()?, vec![tag(0)?]));
    }
    put(metadata, seed, entries).await
}

/// One change: the manifest under these tags in each of these repositories.
async fn put(metadata: &Metadata, seed: &Seed, entries: Vec<(RepositoryName, Vec<Tag>)>) -> Outcome<()> {
    let manifest = Manifest::parse(MANIFEST, None, MANIFEST_BYTES)?;
    let input = (seed.clone(), manifest, entries);
    metadata
        .write(input, |tx, (seed, manifest, entries)| {
            async move {
                for (name, tags) in entries {
                    let repository = tx.create_repository(name, seed.account, seed.now).await?;
                    push(tx, seed, &repository, manifest, tags).await?;
                }
                Ok::<_, PutRefused>(())
            }
            .boxed()
        })
        .await?;
    Ok(())
}

/// What a push does in its transaction, event and all.
async fn push(
    tx: &mut Tx,
    seed: &Seed,
    repository: &Repository,
    manifest: &Manifest,
    tags: &[Tag],
) -> Result<(), PutRefused> {
    let (digest, pushed_by, now) = (&seed.digest, seed.actor, seed.now);
    tx.put_manifest(&PutManifest { repository, digest, manifest, body: MANIFEST, tags, pushed_by, now }).await?;
    tx.record(&Event {
        actor: seed.actor,
        kind: "manifest_pushed",
        account: Some(repository.account_id),
        repository: Some(repository.id),
        subject: seed.digest.as_str(),
        payload: "{}",
        request_id: "seed",
        at: seed.now,
    })
    .await?;
    Ok(())
}

fn tag(number: usize) -> Outcome<Tag> {
    Ok(format!("v{number:06}").parse()?)
}

/// Milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "a program of its own has to read the clock somewhere")]
fn now() -> Outcome<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())
}
