//! Small storms on the real collector, one content and two repositories as in the model, whose histories are replayed on it: in some order
//! of what was done at once, and of what two collectors did meanwhile, the model must have told everybody what they were told. Some of
//! them move a tag too, and put and delete an index. The storms from outside are larger, and judged by what they leave.
//! The clock stands still while all do something, and goes on when all are done.
//! Start reading at `record`, then at `replay`.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use hallmark_oci::{Digest, Reference};
use hallmark_storage::metadata::{BlobDeletion, Body, Error, ManifestDeletion, PutRefused, Repository, Undeleted};
use stateright::Model;

use crate::harness::images::{digest, image, index};
use crate::harness::{Dice, NOW, World, is_crowded, run, suite};
use crate::registry::{GRACES, Pulled, Registry, State, Told};

suite! {
    what_storms_were_told_the_model_could_have_told,
    bytes_that_a_storm_leaves_are_those_that_the_model_leaves,
    what_storms_of_tags_and_indices_were_told_the_model_could_have_told,
}

/// The content that everybody pushes.
const CONTENT: &[u8] = b"content";
/// The tag that moves.
const TAG: &str = "t";
/// Storms, the moments of each, what each client does within one, and how many clients there are.
const STORMS: u64 = 6;
const MOMENTS: i64 = 14;
/// Where there are tags and an index the model may be in many more states.
const MOMENTS_WITH_TAGS: i64 = 9;
const DEEDS: usize = 2;
const CLIENTS: usize = 2;
/// How many collectors are at it beside them.
const COLLECTORS: usize = 2;

/// What one client did in a moment: what it was told, or what it would have been told if it did not fail because others were in
/// the way.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Told(Told),
    Perhaps(Told),
}

/// What is done in a storm.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Blobs and the image, by its digest.
    Plain,
    /// And a tag that moves to it and away, and an index that names it.
    WithTags,
}

impl Kind {
    /// Of how many wishes the dice choose.
    fn wishes(self) -> u64 {
        match self {
            Self::Plain => 11,
            Self::WithTags => 17,
        }
    }

    fn moments(self) -> i64 {
        match self {
            Self::Plain => MOMENTS,
            Self::WithTags => MOMENTS_WITH_TAGS,
        }
    }
}

/// What each client did at once in one moment.
type Moment = Vec<Vec<Seen>>;

/// One registry with the two repositories of the model.
struct Small {
    world: World,
    repositories: [Repository; 2],
}

impl Small {
    async fn of(world: World) -> Self {
        world.metadata.set_graces(GRACES);
        let repositories = [world.repository("alice/one").await, world.repository("alice/two").await];
        Self { world, repositories }
    }

    /// Asks for one of the things that the model knows.
    async fn act(&self, dice: &mut Dice, kind: Kind, now: i64) -> Seen {
        let number = usize::from(dice.below(2) == 1);
        let wish = match dice.below(kind.wishes()) {
            0 | 1 => Told::Pushed(number),
            2 => Told::Shown(number, true),
            3 => Told::Mounted(number, true),
            4..=6 => Told::Put(number, true),
            7 => Told::Deleted(number, true),
            8 => Told::BlobDeleted(number, true),
            9 => Told::Undeleted(number, true),
            10 => Told::Pulled(number, Pulled::Whole),
            11 | 12 => Told::IndexPut(number, true),
            13 | 14 => Told::IndexDeleted(number, true),
            15 => Told::Tagged(number, true),
            _ => Told::Untagged(number),
        };
        self.ask(wish, now).await
    }

    async fn ask(&self, wish: Told, now: i64) -> Seen {
        match self.try_to(wish, now).await {
            Ok(told) => Seen::Told(told),
            Err(error) if is_crowded(&error) => Seen::Perhaps(wish),
            Err(error) => panic!("{wish:?}: {error:?}"),
        }
    }

    async fn try_to(&self, wish: Told, now: i64) -> Result<Told, Error> {
        let (world, of) = (&self.world, |number: usize| &self.repositories[number]);
        let (body, at) = (image(CONTENT, &[], None), NOW + now);
        Ok(match wish {
            Told::Pushed(number) => world.push(of(number), CONTENT, at).await.map(|_| wish)?,
            Told::Shown(number, _) => {
                let metadata = world.metadata.without_cache();
                let shown = metadata.shown_blob(of(number).id, &digest(CONTENT), at).await?;
                Told::Shown(number, shown.is_some())
            }
            Told::Mounted(number, _) => {
                Told::Mounted(number, world.mount((of(1 - number), of(number)), CONTENT, at).await?)
            }
            Told::Put(number, _) => Told::Put(number, self.puts(number, &body, &[], at).await?),
            Told::Tagged(number, _) => Told::Tagged(number, self.puts(number, &body, &[TAG], at).await?),
            Told::Untagged(number) => {
                assert!(self.puts(number, &index(&[]), &[TAG], at).await?, "it names nothing that could be missing");
                wish
            }
            Told::IndexPut(number, _) => Told::IndexPut(number, self.puts(number, &index(&[&body]), &[], at).await?),
            Told::IndexDeleted(number, _) => {
                let deletion = world.delete(of(number), &digest(index(&[&body]).as_bytes()), at).await?;
                Told::IndexDeleted(number, matches!(deletion, ManifestDeletion::Deleted { .. }))
            }
            Told::Deleted(number, _) => {
                let deletion = world.delete(of(number), &digest(body.as_bytes()), at).await?;
                Told::Deleted(number, matches!(deletion, ManifestDeletion::Deleted { .. }))
            }
            Told::BlobDeleted(number, _) => {
                let deletion = world.delete_blob(of(number), CONTENT, at).await;
                Told::BlobDeleted(number, deletion == BlobDeletion::Deleted)
            }
            Told::Undeleted(number, _) => {
                let back = world.undelete(of(number), &digest(body.as_bytes()), at).await?;
                Told::Undeleted(number, matches!(back, Undeleted::Back(..)))
            }
            Told::Pulled(number, _) => Told::Pulled(number, self.pull(of(number), digest(body.as_bytes())).await?),
        })
    }

    /// Puts a manifest; whether what it names was there.
    async fn puts(&self, number: usize, body: &str, tags: &[&str], at: i64) -> Result<bool, Error> {
        match self.world.put(&self.repositories[number], body, tags, at).await {
            Ok(_) => Ok(true),
            Err(PutRefused::UnknownBlobs(_) | PutRefused::UnknownChildren(_)) => Ok(false),
            Err(PutRefused::Failed(error)) => Err(error),
            Err(refused) => panic!("{refused:?}"),
        }
    }

    async fn pull(&self, repository: &Repository, manifest: Digest) -> Result<Pulled, Error> {
        let metadata = self.world.metadata.without_cache();
        if metadata.manifest(repository.id, &Reference::Digest(manifest)).await?.is_none() {
            return Ok(Pulled::Absent);
        }
        let Some(blob) = metadata.blob(repository.id, &digest(CONTENT)).await? else { return Ok(Pulled::Broken) };
        let is_whole = match &blob.body {
            Some(body) => matches!(body, Body::Whole(_)),
            None => {
                let found = self.world.blobs.hash(&blob.key, hallmark_oci::Algorithm::Sha256).await.unwrap();
                found.is_some_and(|(found, _)| found == digest(CONTENT))
            }
        };
        Ok(if is_whole { Pulled::Whole } else { Pulled::Broken })
    }

    /// What a collector does, which tells nobody anything. What it cannot do now it does later.
    async fn collect(&self, now: i64) {
        match hallmark_gc::clean(&self.world.metadata, &self.world.blobs, NOW + now, || true).await {
            Ok(_) => {}
            Err(hallmark_gc::Error::Metadata(error) | hallmark_gc::Error::Unseen { first: error, .. }) => {
                assert!(is_crowded(&error), "{error:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Lets every grace run out; which manifests are left, and how many files.
    async fn drain(&self) -> ([bool; 2], usize) {
        // A claim that nobody came back for ends after ten minutes, and a key that could not be deleted rests for half an hour.
        for day in 1..12 {
            self.collect(day * 24 * 60 * 60 * 1_000).await;
        }
        let manifest = digest(image(CONTENT, &[], None).as_bytes());
        let mut left = [false; 2];
        for (left, repository) in left.iter_mut().zip(&self.repositories) {
            *left = self.world.holds(repository, &manifest).await;
        }
        (left, self.world.files())
    }
}

/// A storm: in each moment clients and two collectors at once.
async fn record(small: &Small, kind: Kind, seed: u64) -> Vec<Moment> {
    let mut history = Vec::new();
    for now in 0..kind.moments() {
        let client = |number: usize| async move {
            let mut dice = Dice(seed << 32 | (now as u64) << 8 | number as u64);
            let mut seen = Vec::new();
            for _ in 0..DEEDS {
                seen.push(small.act(&mut dice, kind, now).await);
            }
            seen
        };
        let collectors = join_all((0..COLLECTORS).map(|_| small.collect(now)));
        let (moment, _) = tokio::join!(join_all((0..CLIENTS).map(client)), collectors);
        history.push(moment);
    }
    history
}

/// The states that the model may be in after a history; otherwise the moment in which nobody could have been told that.
fn replay(registry: &Registry, history: &[Moment]) -> Result<HashSet<State>, usize> {
    let mut states: HashSet<State> = registry.init_states().into_iter().collect();
    for (number, moment) in history.iter().enumerate() {
        states = at_once(registry, states, moment);
        if states.is_empty() {
            return Err(number);
        }
        states = states.iter().map(|state| registry.later(state)).collect();
    }
    Ok(states)
}

/// All states after what several did at once, in every order that keeps each one's own.
fn at_once(registry: &Registry, states: HashSet<State>, moment: &Moment) -> HashSet<State> {
    let begin = vec![0; moment.len()];
    let mut level = HashMap::from([(begin, registry.by_itself(states))]);
    for _ in 0..moment.iter().map(Vec::len).sum() {
        let mut next: HashMap<Vec<usize>, HashSet<State>> = HashMap::new();
        for (places, states) in &level {
            for (client, seen) in moment.iter().enumerate() {
                let Some(seen) = seen.get(places[client]) else { continue };
                let mut places = places.clone();
                places[client] += 1;
                next.entry(places).or_default().extend(states.iter().flat_map(|state| after(registry, state, *seen)));
            }
        }
        level = next.into_iter().map(|(places, states)| (places, registry.by_itself(states))).collect();
    }
    level.into_values().flatten().collect()
}

fn after(registry: &Registry, state: &State, seen: Seen) -> Vec<State> {
    match seen {
        Seen::Told(told) => registry.after(state, told).into_iter().collect(),
        Seen::Perhaps(told) => registry.after(state, told).into_iter().chain([state.clone()]).collect(),
    }
}

/// What a client would have been told may be told by nearly any model: most of it must be what they were told.
fn tells_enough(history: &[Moment]) {
    let seen: Vec<&Seen> = history.iter().flatten().flatten().collect();
    let told = seen.iter().filter(|seen| matches!(seen, Seen::Told(_))).count();
    assert!(2 * told > seen.len(), "{told} of {} were told", seen.len());
}

async fn what_storms_were_told_the_model_could_have_told(world: World) {
    let small = Small::of(world).await;
    let history = record(&small, Kind::Plain, 1).await;
    tells_enough(&history);
    let replayed = replay(&Registry::default(), &history);
    assert!(replayed.is_ok(), "moment {:?} of {history:#?}", replayed.err());
}

async fn bytes_that_a_storm_leaves_are_those_that_the_model_leaves(world: World) {
    let small = Small::of(world).await;
    let history = record(&small, Kind::Plain, 2).await;
    tells_enough(&history);
    let states = replay(&Registry::default(), &history).expect("the model could have told that");
    let left = small.drain().await;
    let could = states.iter().map(|state| Registry::default().left_of(state)).collect::<HashSet<_>>();
    assert!(could.contains(&left), "{left:?} is left, and could be {could:?} after {history:#?}");
}

async fn what_storms_of_tags_and_indices_were_told_the_model_could_have_told(world: World) {
    let small = Small::of(world).await;
    let history = record(&small, Kind::WithTags, 3).await;
    tells_enough(&history);
    let replayed = replay(&Registry::default(), &history);
    assert!(replayed.is_ok(), "moment {:?} of {history:#?}", replayed.err());
}

/// More storms, each with other dice, on the database that takes turns the fastest.
#[test]
fn many_storms_are_replayed() {
    are_replayed(Kind::Plain);
}

#[test]
fn many_storms_of_tags_and_indices_are_replayed() {
    are_replayed(Kind::WithTags);
}

fn are_replayed(kind: Kind) {
    for seed in 3..3 + STORMS {
        run(hallmark_storage::metadata::Engine::Sqlite, async |world| {
            let small = Small::of(world).await;
            let history = record(&small, kind, seed).await;
            tells_enough(&history);
            let states =
                replay(&Registry::default(), &history).unwrap_or_else(|moment| panic!("{moment} of {history:#?}"));
            let left = small.drain().await;
            assert!(states.iter().any(|state| Registry::default().left_of(state) == left), "{left:?}, {history:#?}");
        });
    }
}

/// What one client is told who asks for one thing a moment.
async fn one_after_another(small: &Small, from: i64, wishes: &[Told]) -> Vec<Moment> {
    let mut history = Vec::new();
    for (now, wish) in (from..).zip(wishes) {
        history.push(vec![vec![small.ask(*wish, now).await]]);
    }
    history
}

/// A collector that looks, waits until somebody has put a manifest, and then takes what it saw that nobody needed.
#[test]
fn a_history_with_a_collector_that_looks_before_it_locks_is_refused() {
    run(hallmark_storage::metadata::Engine::Sqlite, async |world| {
        let small = Small::of(world).await;
        let mut history = one_after_another(&small, 0, &[Told::Pushed(0), Told::Put(0, true)]).await;
        for table in ["manifest_blobs", "repository_blobs"] {
            small.world.look(&format!("DELETE FROM {table}")).await;
        }
        history.extend(one_after_another(&small, 2, &[Told::Pulled(0, Pulled::Whole)]).await);
        assert_eq!(replay(&Registry::default(), &history[..2]).err(), None);
        assert_eq!(replay(&Registry::default(), &history).err(), Some(2), "{history:?}");
    });
}

/// A collector that does not know that an orphan was put again by its digest.
#[test]
fn a_history_with_a_collector_that_takes_what_was_put_again_is_refused() {
    run(hallmark_storage::metadata::Engine::Sqlite, async |world| {
        let small = Small::of(world).await;
        let wishes = [Told::Pushed(0), Told::Put(0, true), Told::IndexPut(0, true), Told::IndexDeleted(0, true)];
        let mut history = one_after_another(&small, 0, &wishes).await;
        history.extend(one_after_another(&small, 4, &[Told::Put(0, true)]).await);
        small.world.look("UPDATE candidates SET orphaned = 1").await;
        small.collect(9).await;
        history.extend(one_after_another(&small, 9, &[Told::Pulled(0, Pulled::Whole)]).await);
        assert_eq!(replay(&Registry::default(), &history[..5]).err(), None);
        assert_eq!(replay(&Registry::default(), &history).err(), Some(5), "{history:?}");
    });
}

/// A collector that answers a request it never looked at.
#[test]
fn a_history_with_a_collector_that_forgets_what_it_was_asked_for_is_refused() {
    run(hallmark_storage::metadata::Engine::Sqlite, async |world| {
        let small = Small::of(world).await;
        let history = one_after_another(&small, 0, &[Told::Pushed(0), Told::Mounted(1, true)]).await;
        small.world.look("DELETE FROM candidates").await;
        let states = replay(&Registry::default(), &history).unwrap();
        let left = small.drain().await;
        assert_eq!(left, ([false; 2], 1), "it stays for ever");
        assert!(states.iter().all(|state| Registry::default().left_of(state) != left));
    });
}

/// One word of a history that is not as it was told.
#[test]
fn a_history_in_which_somebody_was_told_otherwise_is_refused() {
    let told = |told: &[Told]| told.iter().map(|told| vec![vec![Seen::Told(*told)]]).collect::<Vec<Moment>>();
    let refused = |history: &[Told]| replay(&Registry::default(), &told(history)).err();
    let begin = [Told::Pushed(0), Told::Put(0, true), Told::Mounted(1, true), Told::Pulled(0, Pulled::Whole)];
    assert_eq!(refused(&begin), None);
    for (place, other) in [
        (1, Told::Put(1, true)),
        (1, Told::Put(0, false)),
        (2, Told::Mounted(1, false)),
        (2, Told::Undeleted(0, true)),
        (3, Told::Pulled(0, Pulled::Absent)),
        (3, Told::Pulled(0, Pulled::Broken)),
        (3, Told::BlobDeleted(0, true)),
        (3, Told::Shown(0, false)),
        (3, Told::IndexPut(0, false)),
        (3, Told::IndexPut(1, true)),
        (3, Told::IndexDeleted(0, true)),
        (3, Told::Tagged(0, false)),
    ] {
        let mut history = begin;
        history[place] = other;
        assert!(refused(&history).is_some(), "{history:?}");
    }
}
