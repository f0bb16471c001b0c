//! Room under hard limits: whoever adds bytes reserves room for them, looks whether it was there, and charges no more than that.
//! Why no limit is passed so, the facts tell (`metadata/usage.rs` of the storage).
//!
//! An upload reserves as its bytes come: as many as a request announces, else step by step, at most [`STEP`] at a time. What opens no upload (a mount, a
//! manifest, a small blob that comes whole) is tried as it is; when it turns out to add bytes where there is a limit, it is taken back,
//! and tried again with a [`Passage`]. Where there is no limit nothing of this costs anything.

use hallmark_oci::{RepositoryName, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    self, AccountId, Limits, PrincipalId, RepositoryId, Rights, Room, SYSTEM_ACCOUNT, Scope, Seen, Tx,
};

use super::Occasion;
use super::occasion::Nowhere;
use super::receive::Session;
use super::upload::UploadError;
use crate::access::{self, Ground, Reason};
use crate::app::App;
use crate::passage::{ACCOUNT, NoRoom, REPOSITORY, TRIES, look_in, signed};
pub(super) use crate::passage::{Exceeded, Passage, UNLEASED};

/// How much is reserved at most at a time for bytes whose number nobody announced.
const STEP: u64 = 64 * 1024 * 1024;
/// How much is reserved at least at a time, where there is room for so much.
const LEAST_STEP: u64 = 1024 * 1024;
/// The part of the room that is left of which one upload reserves no more at a time: others come too.
const SHARE: u64 = 4;
/// A change that was taken back, because it would have charged more than was reserved for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short {
    limits: Limits,
    charged: Room,
}

/// What an upload may come to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowance {
    /// The hard limits that hold where it goes.
    pub(super) limits: Limits,
    /// What is reserved for it.
    pub(super) reserved: Room,
}

impl Allowance {
    /// What is missing in each place that has a limit so that `bytes` are reserved there.
    fn missing(&self, bytes: u64) -> Room {
        let bytes = signed(bytes);
        let missing = |limit: Option<u64>, reserved: i64| limit.map_or(0, |_| (bytes - reserved).max(0));
        Room {
            account: missing(self.limits.account, self.reserved.account),
            repository: missing(self.limits.repository, self.reserved.repository),
        }
    }

    /// Under the limits that a change which was taken back has met.
    pub(super) fn under(self, short: &Short) -> Self {
        Self { limits: short.limits, ..self }
    }

    fn add(&mut self, room: Room) {
        self.reserved.account += room.account;
        self.reserved.repository += room.repository;
    }
}

fn negated(room: Room) -> Room {
    Room { account: -room.account, repository: -room.repository }
}

/// How many bytes an upload is to hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// So many, and no more.
    Announced(u64),
    /// So many at least, and nobody knows how many more.
    Unknown(u64),
}

/// Reserves room for an upload that is to hold so many bytes, and for some more when their number is not known.
///
/// # Errors
/// [`UploadError::Exceeded`] with the numbers, and then nothing is reserved beside what was; [`UploadError::Overtaken`] when
/// another has leased the upload; the database's.
pub(super) async fn reserve(
    app: &App,
    upload: (&Session, i64),
    allowance: &mut Allowance,
    wish: Wish,
) -> Result<(), UploadError> {
    let (Wish::Announced(least) | Wish::Unknown(least)) = wish;
    if allowance.missing(least) == Room::default() {
        return Ok(());
    }
    if let Wish::Unknown(_) = wish {
        let step = step(app, upload.0, allowance).await?;
        // Others may have reserved a step at this moment too, so that none of them had room: then for what came alone.
        match reserve_between(app, upload, allowance, (least, least.saturating_add(step))).await {
            Err(UploadError::Exceeded(_)) => {}
            reserved => return reserved,
        }
    }
    match reserve_between(app, upload, allowance, (least, least)).await {
        Err(UploadError::Exceeded(exceeded)) => {
            let (session, _) = upload;
            Err(UploadError::Exceeded(told(app, &session.name, session.principal, exceeded).await))
        }
        reserved => reserved,
    }
}

/// Counts a refusal, and takes out of it what whoever is refused may not know: how much is in use is told to those whom the API tells
/// it. To others the numbers of siblings that they may not see would move with every refusal.
async fn told(app: &App, name: &RepositoryName, who: PrincipalId, exceeded: Box<Exceeded>) -> Box<Exceeded> {
    app.metrics.quota_refused();
    let may_know = match app.metadata.seen(who, None, name, None).await {
        Ok(seen) => may_know(&seen, exceeded.kind),
        Err(error) => {
            tracing::debug!(%error, "who is refused is told the least, since nobody knows what they may know");
            false
        }
    };
    let in_use = exceeded.in_use.filter(|_| may_know);
    Box::new(Exceeded { in_use, ..*exceeded })
}

/// Whether somebody may know how much is in use: of an account, who sees all that is in it; of a repository, who manages it too.
fn may_know(seen: &Seen, kind: &str) -> bool {
    let mut sees_all = false;
    let decision = access::decide(seen.principal.as_ref(), &seen.facts, |reason, _| {
        sees_all |= match reason {
            Reason::Administrator | Reason::Auditor | Reason::OwnAccount | Reason::OrganizationOwner => true,
            Reason::Grant(_) | Reason::MembersCreate | Reason::Public => false,
        };
    });
    sees_all || kind == REPOSITORY && decision.rights.contain(Rights::MANAGE)
}

/// How much more than what came is reserved at a time: a part of the room that is left, as far as can be seen.
async fn step(app: &App, session: &Session, allowance: &Allowance) -> Result<u64, UploadError> {
    let Limits { account_id, account, repository } = allowance.limits;
    let mut room = u64::MAX;
    for (scope, limit) in [(Scope::Account(account_id), account), (Scope::Repository(session.repository), repository)] {
        let Some(limit) = limit else { continue };
        let usage = app.metadata.usage(scope).await?;
        room = room.min(limit.saturating_sub(usage.used.saturating_add(usage.reserved)));
    }
    Ok((room / SHARE).clamp(LEAST_STEP, STEP).min(room))
}

/// Gives back what an upload has reserved beyond the bytes that it holds; if that fails, it is given back with the upload.
pub(super) async fn give_back(app: &App, (session, fence): (&Session, i64), allowance: &mut Allowance, bytes: u64) {
    let limits = allowance.limits;
    let beyond = |limit: Option<u64>, reserved: i64| limit.map_or(0, |_| (reserved - signed(bytes)).max(0));
    let room = Room {
        account: beyond(limits.account, allowance.reserved.account),
        repository: beyond(limits.repository, allowance.reserved.repository),
    };
    if room == Room::default() {
        return;
    }
    let place = (session.repository, limits.account_id);
    // Relied on no longer, whatever the answer is: it may have been given back all the same.
    allowance.add(negated(room));
    if let Err(error) = put(app, (&session.upload, fence), place, allowance.reserved).await {
        tracing::debug!(%error, "what an upload reserved and does not need is given back with it");
    }
}

/// Reserves room for `most` bytes, or as many as there is room for, but not less than `least`.
async fn reserve_between(
    app: &App,
    (session, fence): (&Session, i64),
    allowance: &mut Allowance,
    (least, most): (u64, u64),
) -> Result<(), UploadError> {
    let (upload, place) = ((&session.upload, fence), (session.repository, allowance.limits.account_id));
    let wish = allowance.missing(most);
    let asked = Asked { wish, needed: allowance.missing(least), own: allowance.reserved, bytes: least };
    look_before(app, &session.name, (session.repository, allowance.limits), asked).await.map_err(barred)?;
    let mut more = *allowance;
    more.add(wish);
    // Until the answer says that it is reserved it is not relied on.
    put(app, upload, place, more.reserved).await?;
    let (limits, needed) = (allowance.limits, allowance.missing(least));
    *allowance = more;
    let asked = Asked { wish, needed, own: allowance.reserved, bytes: least };
    let too_much = look(app, &session.name, (session.repository, limits), asked).await;
    let back = match &too_much {
        Ok(too_much) => *too_much,
        Err(_) => wish,
    };
    if back != Room::default() {
        allowance.add(negated(back));
        put(app, upload, place, allowance.reserved).await?;
    }
    match too_much {
        Ok(_) => Ok(()),
        Err(why) => Err(barred(why)),
    }
}

fn barred(why: NoPassage) -> UploadError {
    match why {
        NoPassage::Exceeded(exceeded) => UploadError::Exceeded(exceeded),
        NoPassage::Nowhere(Nowhere::Failed(error)) => error.into(),
        NoPassage::TooMany | NoPassage::Unsettled | NoPassage::Nowhere(_) => UploadError::Unsettled,
    }
}

/// Says how much an upload has reserved in all: once or twice is the same, so that an answer that is lost costs nothing.
async fn put(
    app: &App,
    (upload, fence): (&UploadId, i64),
    place: (RepositoryId, AccountId),
    reserved: Room,
) -> Result<(), UploadError> {
    let held: Result<bool, metadata::Error> = app
        .metadata
        .write((upload.clone(), fence, place, reserved), |tx, (upload, fence, place, reserved)| {
            Box::pin(async move { tx.reserve((upload, *fence), *place, *reserved).await })
        })
        .await;
    if held? { Ok(()) } else { Err(UploadError::Overtaken) }
}

/// What was just reserved, before it is looked at.
#[derive(Clone, Copy)]
struct Asked {
    /// What was added.
    wish: Room,
    /// That part of it that cannot be done without.
    needed: Room,
    /// All that is reserved for the same upload.
    own: Room,
    /// The bytes that it is for.
    bytes: u64,
}

/// Refuses what there is no room for as it is, before anything is reserved: what is reserved leaves others less, if only for the
/// moment until it is taken back.
async fn look_before(
    app: &App,
    name: &RepositoryName,
    (repository, limits): (RepositoryId, Limits),
    asked: Asked,
) -> Result<(), NoPassage> {
    let Asked { needed, own, bytes, .. } = asked;
    let account = (Scope::Account(limits.account_id), ACCOUNT, name.account().unwrap_or(SYSTEM_ACCOUNT));
    let repository = (Scope::Repository(repository), REPOSITORY, name.as_str());
    for (place, limit, needed, own) in [
        (account, limits.account, needed.account, own.account),
        (repository, limits.repository, needed.repository, own.repository),
    ] {
        if let Some(limit) = limit.filter(|_| needed > 0) {
            look_in(app, place, limit.saturating_sub(needed.unsigned_abs()), (0, own), bytes)
                .await
                .map_err(|barred| under(barred.into(), limit))?;
        }
    }
    Ok(())
}

/// A refusal that names this limit.
fn under(barred: NoPassage, limit: u64) -> NoPassage {
    match barred {
        NoPassage::Exceeded(exceeded) => NoPassage::Exceeded(Box::new(Exceeded { limit, ..*exceeded })),
        other => other,
    }
}

/// Looks whether there is room for what was just reserved; how much of it is too much.
async fn look(
    app: &App,
    name: &RepositoryName,
    (repository, limits): (RepositoryId, Limits),
    asked: Asked,
) -> Result<Room, NoPassage> {
    let Asked { wish, needed, own, bytes } = asked;
    let mut too_much = Room::default();
    if let Some(limit) = limits.account.filter(|_| wish.account > 0) {
        let place = (Scope::Account(limits.account_id), ACCOUNT, name.account().unwrap_or(SYSTEM_ACCOUNT));
        let spare = wish.account - needed.account;
        too_much.account = look_in(app, place, limit, (spare, own.account), bytes).await?;
    }
    if let Some(limit) = limits.repository.filter(|_| wish.repository > 0) {
        let place = (Scope::Repository(repository), REPOSITORY, name.as_str());
        let spare = wish.repository - needed.repository;
        too_much.repository = look_in(app, place, limit, (spare, own.repository), bytes).await?;
    }
    Ok(too_much)
}

/// Where a change is made, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: RepositoryName,
    pub(super) actor: PrincipalId,
    pub(super) ground: Ground,
    pub(super) occasion: Occasion,
}

/// Why a change did not get the room that it needs.
#[derive(Debug)]
pub(super) enum NoPassage {
    /// There is none.
    Exceeded(Box<Exceeded>),
    /// The user has as many uploads open as one may have.
    TooMany,
    /// What it needs kept changing.
    Unsettled,
    /// The repository is not there any more.
    Nowhere(Nowhere),
}

impl From<Nowhere> for NoPassage {
    fn from(nowhere: Nowhere) -> Self {
        Self::Nowhere(nowhere)
    }
}

impl From<NoRoom> for NoPassage {
    fn from(barred: NoRoom) -> Self {
        match barred {
            NoRoom::Exceeded(exceeded) => Self::Exceeded(exceeded),
            NoRoom::Failed(error) => Self::Nowhere(error.into()),
        }
    }
}

impl From<metadata::Error> for NoPassage {
    fn from(error: metadata::Error) -> Self {
        Self::Nowhere(error.into())
    }
}

/// How one try of a change ended that was not refused.
pub(super) enum Tried<T> {
    /// It is made.
    Made(T),
    /// It needs room.
    Short(Short),
}

/// Makes a change as it is, and again with room when it turns out to need some.
///
/// # Errors
/// The change's own, and [`NoPassage`].
pub(super) async fn with_room<T, E: From<NoPassage>, F>(
    app: &App,
    place: &Place,
    change: impl Fn(Option<Passage>) -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<Tried<T>, E>> + Send,
{
    let mut passage: Option<Passage> = None;
    for _ in 0..TRIES {
        let tried = change(passage.clone()).await;
        let short = match tried {
            Ok(Tried::Made(made)) => return Ok(made),
            Ok(Tried::Short(short)) => Ok(short),
            Err(error) => Err(error),
        };
        // Ended by the change itself, unless that was taken back.
        if let Some(passage) = passage.take() {
            passage.leave(app).await;
        }
        passage = Some(enter(app, place, &short?).await?);
    }
    if let Some(passage) = passage {
        passage.leave(app).await;
    }
    Err(NoPassage::Unsettled.into())
}

/// Ends a change that is complete: it has charged no more than its passage reserved, which ends with it.
///
/// # Errors
/// [`Unmade::Short`]: the change must be taken back.
pub(super) async fn settle(tx: &mut Tx, repository: RepositoryId, passage: Option<&Passage>) -> Result<(), Unmade> {
    let reserved = passage.map_or(Room::default(), |passage| passage.reserved);
    cover(tx, repository, reserved)?;
    if let Some(passage) = passage
        && !tx.end_passage(&passage.upload).await?
    {
        // It expired: what was reserved is no longer.
        return Err(short(tx, repository).into());
    }
    Ok(())
}

/// Whether a change has charged no more than was reserved for it.
///
/// # Errors
/// [`Short`]: it must be taken back.
pub(super) fn cover(tx: &mut Tx, repository: RepositoryId, reserved: Room) -> Result<(), Short> {
    if tx.is_covered(repository, reserved) { Ok(()) } else { Err(short(tx, repository)) }
}

fn short(tx: &mut Tx, repository: RepositoryId) -> Short {
    let limits = tx.limits(repository);
    Short { limits, charged: tx.charged((repository, limits.account_id)) }
}

/// Why a change was taken back.
pub(super) enum Unmade {
    /// It needs room.
    Short(Short),
    /// It has nowhere to go.
    Nowhere(Nowhere),
}

impl From<Short> for Unmade {
    fn from(short: Short) -> Self {
        Self::Short(short)
    }
}

impl From<Nowhere> for Unmade {
    fn from(nowhere: Nowhere) -> Self {
        Self::Nowhere(nowhere)
    }
}

impl From<metadata::Error> for Unmade {
    fn from(error: metadata::Error) -> Self {
        Self::Nowhere(error.into())
    }
}

/// Reserves what a change has charged that was taken back: in the places that have a limit.
async fn enter(app: &App, place: &Place, short: &Short) -> Result<Passage, NoPassage> {
    let Short { limits, charged } = *short;
    let under = |limit: Option<u64>, charged: i64| limit.map_or(0, |_| charged.max(0));
    let room = Room {
        account: under(limits.account, charged.account),
        repository: under(limits.repository, charged.repository),
    };
    let (passage, key) = Passage::prepared(app, room);
    let opening = (place.clone(), passage.clone(), key);
    let repository = app.metadata.write(opening, |tx, opening| Box::pin(open(tx, opening))).await?;
    let requested = room.account.max(room.repository).unsigned_abs();
    let asked = Asked { wish: room, needed: room, own: room, bytes: requested };
    match look(app, &place.name, (repository, limits), asked).await {
        Ok(_) => Ok(passage),
        Err(barred) => {
            passage.leave(app).await;
            Err(match barred {
                NoPassage::Exceeded(exceeded) => {
                    NoPassage::Exceeded(told(app, &place.name, place.actor, exceeded).await)
                }
                barred => barred,
            })
        }
    }
}

async fn open(tx: &mut Tx, (place, passage, key): &(Place, Passage, StorageKey)) -> Result<RepositoryId, NoPassage> {
    let Place { name, actor, ground, occasion } = place;
    let repository = occasion.repository(tx, name, *actor, ground).await?;
    let place = (repository.id, repository.account_id);
    if passage.open(tx, key, place, (*actor, occasion.now)).await? {
        Ok(repository.id)
    } else {
        Err(NoPassage::TooMany)
    }
}
