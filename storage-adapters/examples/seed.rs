//! Fills the database of a stopped server with long lists: many tags in one repository, many repositories, or an organization
//! of many people.
//! It takes the doors that requests take, only many changes at a time, so that what it leaves is what they would have left.
//! Run `seed DATABASE ACCOUNT tags REPOSITORY COUNT` or `seed DATABASE ACCOUNT repositories PREFIX COUNT`: tags are called
//! `v000000` and so on, repositories `PREFIX000000` and so on, and each repository has the one tag `v000000`.
//! `seed DATABASE ACCOUNT signed REPOSITORY COUNT` makes tags that the account's owner has vouched for, and `seed DATABASE ACCOUNT
//! signed-repositories PREFIX COUNT` such repositories; nothing of that is published yet. `seed DATABASE ACCOUNT due - 0` lets all
//! that was published be renewed at once.
//! `seed DATABASE ACCOUNT images REPOSITORY COUNT` makes images of two small blobs of their own each. `seed DATABASE ACCOUNT garbage
//! REPOSITORY COUNT` makes such images that were pushed and deleted so long ago that every grace is over, and lets the collector rest.
//! `seed DATABASE ORGANIZATION people MEMBER COUNT` makes the organization, owned by the user `admin`: `COUNT` members, a team
//! for every ten of them, `COUNT` repositories `ORGANIZATION/r000000` and so on, and each team may read ten of them. The user
//! `MEMBER`, who is there already, is in a hundred teams spread over all, of which the first is one.

use std::collections::VecDeque;
use std::error::Error;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, RepositoryName, Tag};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    AccountId, DatabaseConfig, Error as Failed, Event, Grant, Metadata, NewUser, Organization, Principal, PrincipalId,
    PutManifest, PutRefused, Repository, Rights, SmallKey, StoreSmall, SystemRole, Target, TrustDialect, Tx, Vouch,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The smallest manifest that carries a tag: an index that names nothing.
const MANIFEST: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// Entries that one change makes: few enough to stay far below the time a change may take.
const SPAN: usize = 100;
/// Images that one change makes: each takes several of the numbers that a change has laid ready.
const IMAGES: usize = 100;
/// Members of a team, and repositories that it may read.
const TEAM: usize = 10;
/// Teams that the one member is in.
const TEAMS_OF_MEMBER: usize = 100;
/// The first tag of every repository.
const FIRST: &str = "v000000";
/// How long ago garbage was pushed and deleted, in milliseconds: longer than all graces that a registry has by default.
const LONG_AGO: i64 = 60 * 24 * 60 * 60 * 1_000;
/// The setting that lets the collector rest, until somebody lets it go on.
const PAUSED: &str = "gc_paused";
/// The sizes of a configuration and of a layer, in bytes.
const CONFIG_SIZE: usize = 300;
const LAYER_SIZE: usize = 256;
/// Who owns the organization.
const OWNER: &str = "admin";

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).collect::<VecDeque<_>>();
    let mut word = |name: &str| words.pop_front().ok_or(format!("{name} is missing: DATABASE ACCOUNT KIND NAME COUNT"));
    let path = word("DATABASE")?.into();
    let (account, kind, name) = (word("ACCOUNT")?, word("KIND")?, word("NAME")?);
    let count = word("COUNT")?.parse::<usize>()?;
    let now = i64::try_from(now()?)?;

    let metadata = Metadata::open(&DatabaseConfig::Sqlite { path }, now).await?;
    if kind == "people" {
        people(&metadata, (&account, &name), count, now).await?;
        metadata.close().await;
        return Ok(());
    }
    let owner = metadata.account(&account).await?.ok_or("there is no such account")?;
    let actor = owner.owner.ok_or("the account is no user's")?;
    let seed = Seed { account: owner.id, actor, digest: Digest::of(Algorithm::Sha256, MANIFEST), now };
    if kind == "due" {
        let renewed: Result<u64, Failed> =
            metadata.write((), |tx, ()| tx.renew_all_trust(TrustDialect::Tuf, None).boxed()).await;
        renewed?;
    }
    let span = if ["images", "garbage"].contains(&kind.as_str()) { IMAGES } else { SPAN };
    for begin in (0..count).step_by(span) {
        let numbers = begin..count.min(begin + span);
        match kind.as_str() {
            "tags" => tags(&metadata, &seed, name.parse()?, numbers).await?,
            "signed" => {
                let repository: RepositoryName = name.parse()?;
                tags(&metadata, &seed, repository.clone(), numbers.clone()).await?;
                let signed = numbers.map(|number| Ok((repository.clone(), tag(number)?))).collect::<Outcome<Vec<_>>>();
                vouch(&metadata, &seed, signed?).await?;
            }
            "signed-repositories" => {
                repositories(&metadata, &seed, &name, numbers.clone()).await?;
                let signed = numbers.map(|number| Ok((format!("{name}{number:06}").parse()?, tag(0)?)));
                vouch(&metadata, &seed, signed.collect::<Outcome<Vec<_>>>()?).await?;
            }
            "repositories" => repositories(&metadata, &seed, &name, numbers).await?,
            "images" => images(&metadata, &seed, (name.parse()?, Fate::Stays), numbers).await?,
            "garbage" => {
                let long_ago = Seed { now: now - LONG_AGO, ..seed.clone() };
                images(&metadata, &long_ago, (name.parse()?, Fate::Goes), numbers).await?;
            }
            other => return Err(format!("KIND is tags, repositories, images or people, not {other}").into()),
        }
    }
    if kind == "garbage" {
        let paused: Result<(), Failed> = metadata.write((), |tx, ()| tx.set_setting(PAUSED, Some("on")).boxed()).await;
        paused?;
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

/// What becomes of an image after it was pushed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
}

/// One change: images of these numbers, each with a configuration and a layer that no other has.
async fn images(
    metadata: &Metadata,
    seed: &Seed,
    (name, fate): (RepositoryName, Fate),
    numbers: Range<usize>,
) -> Outcome<()> {
    metadata
        .write((seed.clone(), name, fate, numbers), |tx, (seed, name, fate, numbers)| {
            async move {
                let repository = tx.create_repository(name, seed.account, seed.now).await?;
                for number in numbers.clone() {
                    image(tx, seed, (&repository, *fate), number).await?;
                }
                Ok::<_, PutRefused>(())
            }
            .boxed()
        })
        .await?;
    Ok(())
}

async fn image(
    tx: &mut Tx,
    seed: &Seed,
    (repository, fate): (&Repository, Fate),
    number: usize,
) -> Result<(), PutRefused> {
    let word = if fate == Fate::Stays { "image" } else { "garbage" };
    let config = padded(format!(r#"{{"architecture":"amd64","os":"linux","author":"{word} {number}"}}"#), CONFIG_SIZE);
    let layer = padded(format!("layer of {word} {number}"), LAYER_SIZE);
    for body in [&config, &layer] {
        let (digest, key) = (Digest::of(Algorithm::Sha256, body), StorageKey::random());
        let small = StoreSmall { repository, key: SmallKey::Fresh(&key), digest: &digest, body, now: seed.now };
        tx.store_small(&small).await?;
    }
    let describe = |kind: &str, body: &[u8]| {
        let digest = Digest::of(Algorithm::Sha256, body);
        format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#, body.len())
    };
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        describe("config.v1+json", &config),
        describe("layer.v1.tar", &layer)
    );
    let digest = Digest::of(Algorithm::Sha256, body.as_bytes());
    let (Ok(manifest), Ok(tag)) = (Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES), tag(number)) else {
        return Ok(());
    };
    let seed = Seed { digest: digest.clone(), ..seed.clone() };
    let tags = if fate == Fate::Stays { vec![tag] } else { Vec::new() };
    push(tx, &seed, repository, (&manifest, body.as_bytes()), &tags).await?;
    if fate == Fate::Goes {
        tx.delete_manifest(repository, &digest, seed.actor, seed.now).await?;
    }
    Ok(())
}

/// Spaces after it, up to so many bytes.
fn padded(text: String, size: usize) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    bytes.resize(size, b' ');
    bytes
}

/// Everything of an organization, in spans that one change makes.
async fn people(metadata: &Metadata, (name, member): (&str, &str), count: usize, now: i64) -> Outcome<()> {
    let found = async |name| Ok::<_, Failed>(metadata.user(name).await?.map(|user| user.principal));
    let owner = found(OWNER).await?.ok_or("there is no owner")?.id;
    let member = found(member).await?.ok_or("there is no such member")?;
    let made = metadata.write(name.to_owned(), move |tx, name| tx.create_organization(name, owner, now).boxed()).await;
    let organization = made.map_err(|error: Failed| error)?.ok_or("the name of the organization is taken")?;
    let digest = Digest::of(Algorithm::Sha256, MANIFEST);
    let seed = Seed { account: organization.id, actor: owner, digest, now };
    let apart = (count / TEAM / TEAMS_OF_MEMBER).max(1);
    for begin in (0..count).step_by(SPAN) {
        let numbers = begin..count.min(begin + SPAN);
        repositories(metadata, &seed, &format!("{name}/r"), numbers.clone()).await?;
        let span = Span { organization: organization.clone(), member: member.clone(), apart, numbers };
        metadata.write((seed.clone(), span), |tx, (seed, span)| people_of(tx, seed, span).boxed()).await?;
    }
    Ok(())
}

/// The people, teams and grants of these numbers.
#[derive(Clone)]
struct Span {
    organization: Organization,
    member: Principal,
    /// How many teams lie from one of the member's to the next.
    apart: usize,
    numbers: Range<usize>,
}

async fn people_of(tx: &mut Tx, seed: &Seed, span: &Span) -> Result<(), Failed> {
    let (organization, account) = (&span.organization, span.organization.name.as_str());
    let mut team = None;
    for number in span.numbers.clone() {
        if number % TEAM == 0 {
            team = tx.create_team(organization, &format!("t{:05}", number / TEAM), "").await?;
        }
        let Some(team) = &team else { continue };
        if number % (TEAM * span.apart) == 0 {
            tx.put_member(organization, &span.member, false).await?;
            tx.add_to_team(team, span.member.id, "").await?;
        }
        let name = format!("{account}-{number:06}");
        let source = Some(("seed".to_owned(), name.clone()));
        let new = NewUser { name, password: None, role: SystemRole::None, source };
        if let Some(user) = tx.create_user(&new, seed.now).await? {
            tx.put_member(organization, &user, false).await?;
            tx.add_to_team(team, user.id, "").await?;
        }
        let Ok(repository) = format!("{account}/r{number:06}").parse() else { continue };
        if let Some(repository) = tx.repository(&repository).await? {
            let grant = Grant { account, target: Target::Repository(repository.id), holder: team.id };
            tx.put_grant(&grant, Rights::READ, seed.actor, seed.now).await?;
        }
    }
    Ok(())
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
                    push(tx, seed, &repository, (manifest, MANIFEST), tags).await?;
                }
                Ok::<_, PutRefused>(())
            }
            .boxed()
        })
        .await?;
    Ok(())
}

/// One change: the owner's word for what each of these tags means.
async fn vouch(metadata: &Metadata, seed: &Seed, signed: Vec<(RepositoryName, Tag)>) -> Outcome<()> {
    let said: Result<(), Failed> = metadata
        .write((seed.clone(), signed), |tx, (seed, signed)| {
            async move {
                for (name, tag) in signed {
                    let Some(repository) = tx.repository(name).await? else { continue };
                    let Some(pointed) = tx.tagged(repository.id, tag).await? else { continue };
                    let (signer, source) = ("user:admin".to_owned(), "signature".to_owned());
                    let (tagged, at) = (pointed.tagged, seed.now.max(pointed.moved_at));
                    let vouch = Vouch { tag: tag.clone(), tagged, signer, source, at, now: None };
                    tx.vouch(repository.id, &vouch, seed.actor).await?;
                    // One is enough to publish all that is vouched for; more would be published again, one page after another.
                    if vouch.tag.as_str() != FIRST {
                        continue;
                    }
                    tx.record(&Event {
                        actor: seed.actor,
                        kind: "tag_signed",
                        account: Some(repository.account_id),
                        repository: Some(repository.id),
                        subject: tag.as_str(),
                        payload: "{}",
                        request_id: "seed",
                        at: seed.now,
                    })
                    .await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await;
    Ok(said?)
}

/// What a push does in its transaction, event and all.
async fn push(
    tx: &mut Tx,
    seed: &Seed,
    repository: &Repository,
    (manifest, body): (&Manifest, &[u8]),
    tags: &[Tag],
) -> Result<(), PutRefused> {
    let (digest, pushed_by, now) = (&seed.digest, seed.actor, seed.now);
    tx.put_manifest(&PutManifest { repository, digest, manifest, body, tags, pushed_by, now }).await?;
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
