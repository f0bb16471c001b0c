//! The registry of the model: one account with two repositories, one content, and one image in each that names it. A tag may point to
//! that image, and an index name it.

mod history;

use std::collections::{BTreeMap, BTreeSet};

use hallmark_gc::mark::{self, Decision};
use hallmark_storage::metadata::{AccountSeen, BlobSeen, Graces, Item, LinkSeen, Looked, ManifestSeen};
use stateright::{Model, Property};

/// Graces of a step or two of the clock.
pub(crate) const GRACES: Graces = Graces { shown: 1, margin: 1, bytes: 1, window: 1 };
/// When the clock stops.
const END: i64 = 4;

/// A mistake that is made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    AnswersNewerRequests,
    LooksBeforeItLocks,
    UsesKeysAgain,
    TrashPinsNothing,
    TakesUntagged,
}

/// What somebody asked for in one of the repositories, and was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Pushed(usize),
    /// Whether the blob is shown.
    Shown(usize, bool),
    /// Into this repository from the other one; whether that one shows it.
    Mounted(usize, bool),
    /// Whether the blob that the manifest names was there.
    Put(usize, bool),
    /// Whether the manifest was there.
    Deleted(usize, bool),
    /// Whether the blob went.
    BlobDeleted(usize, bool),
    /// Whether the manifest came back.
    Undeleted(usize, bool),
    /// By a put with the tag; whether the blob that the manifest names was there.
    Tagged(usize, bool),
    /// The tag points to another manifest, wherever it pointed before.
    Untagged(usize),
    /// Whether the manifest that the index names was there.
    IndexPut(usize, bool),
    /// Whether the index was there.
    IndexDeleted(usize, bool),
    /// The manifest, and the bytes that it names.
    Pulled(usize, Pulled),
}

/// What a pull found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    Whole,
    Absent,
    /// The manifest, and not all that it names.
    Broken,
}

/// What may happen in it.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// How many times anybody asks for anything.
    pub(crate) operations: u8,
    /// How many looks may be under way at once. Where there are several, a claim may end before its collector has done anything:
    /// another takes the same request up, and neither knows of the other.
    pub(crate) collectors: usize,
    /// Whether the first repository has the image already, with a tag, with an index that names it, or with both.
    pub(crate) with_image: bool,
    pub(crate) bug: Option<Bug>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { operations: 3, collectors: 1, with_image: false, bug: None }
    }
}

/// A request to look at something: when, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    due_at: i64,
    generation: u8,
    /// Whether what the manifest belonged to is gone.
    orphaned: bool,
}

/// A look that is under way: before, and after it saw what it decides on, while it holds the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Claim {
    item: Item,
    owner: usize,
    generation: u8,
    orphaned: bool,
    /// Whether it has ended: others claim it again, and whoever made it goes on all the same.
    ended: bool,
    decision: Option<Decision>,
}

impl Claim {
    fn of((item, owner): (Item, usize), request: &Request) -> Self {
        let Request { generation, orphaned, .. } = *request;
        Self { item, owner, generation, orphaned, ended: false, decision: None }
    }

    fn is_about(&self, item: Item, owner: usize) -> bool {
        (self.item, self.owner) == (item, owner)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: i64,
    asked: u8,
    generations: u8,
    keys: u8,
    /// When each repository's link was touched.
    links: [Option<i64>; 2],
    in_account: bool,
    /// The key of the blob.
    blob: Option<u8>,
    /// The keys under which bytes lie.
    bytes: BTreeSet<u8>,
    /// When the bytes of keys go.
    doomed: BTreeMap<u8, i64>,
    manifests: [bool; 2],
    /// Whether a tag points to each repository's manifest.
    tagged: [bool; 2],
    /// Whether an index names it.
    parents: [bool; 2],
    /// When it was put.
    put_at: [i64; 2],
    /// Whether somebody put it or brought it back, and nobody deleted it or what it belonged to since: it stays, with a tag or without.
    wanted: [bool; 2],
    /// When each repository's manifest leaves the trash.
    trash: [Option<i64>; 2],
    requests: BTreeMap<(Item, usize), Request>,
    claims: BTreeSet<Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Push(usize),
    Mount(usize),
    Put(usize),
    DeleteManifest(usize),
    DeleteBlob(usize),
    Undelete(usize),
    /// Moves the tag to another manifest.
    Untag(usize),
    /// Moves a tag to this one.
    Tag(usize),
    /// Puts it by its digest: again, or without a tag.
    PutAgain(usize),
    /// Puts an index that names it.
    PutParent(usize),
    /// Deletes the index that names it.
    DeleteParent(usize),
    Purge(usize),
    Claim(Item, usize),
    End(Claim),
    Look(Claim),
    Review(Claim),
    Sweep(u8),
}

impl State {
    fn request(&mut self, item: Item, owner: usize, due_at: i64) {
        self.generations += 1;
        // That it is an orphan stays known whoever asks again.
        let orphaned = self.requests.get(&(item, owner)).is_some_and(|request| request.orphaned);
        self.requests.insert((item, owner), Request { due_at, generation: self.generations, orphaned });
    }

    fn set_orphaned(&mut self, owner: usize, orphaned: bool) {
        if let Some(request) = self.requests.get_mut(&(Item::Manifest, owner)) {
            request.orphaned = orphaned;
        }
    }

    fn put(&mut self, repository: usize) {
        if !self.manifests[repository] {
            self.wanted[repository] = true;
            // It is another row than the one that was there before: what was asked of that one finds nothing.
            self.requests.remove(&(Item::Manifest, repository));
        }
        self.manifests[repository] = true;
        self.tagged[repository] = true;
        self.put_at[repository] = self.now;
        self.trash[repository] = None;
    }

    /// Lays a manifest in the trash.
    fn bury(&mut self, repository: usize) {
        self.manifests[repository] = false;
        self.trash[repository] = Some(self.now + GRACES.window);
        self.request(Item::Link, repository, self.now + GRACES.margin);
    }

    fn shown(&self, repository: usize) -> bool {
        self.manifests[repository] || self.links[repository].is_some_and(|touched| touched > self.now - GRACES.shown)
    }

    fn link(&mut self, repository: usize) {
        self.in_account = true;
        self.links[repository] = Some(self.now);
        self.request(Item::Link, repository, self.now + GRACES.shown + GRACES.margin);
    }

    fn push(&mut self, repository: usize, bug: Option<Bug>) {
        let key = if bug == Some(Bug::UsesKeysAgain) { 0 } else { self.keys };
        self.keys += 1;
        self.bytes.insert(key);
        match self.blob {
            None => self.blob = Some(key),
            Some(known) if known == key => {}
            Some(_) => drop(self.doomed.insert(key, self.now)),
        }
        self.link(repository);
    }

    /// What is seen of it in the transaction that holds it.
    fn look(&self, claim: &Claim, bug: Option<Bug>) -> Looked {
        let current = self.requests.get(&(claim.item, claim.owner));
        let is_current = current.is_some_and(|request| request.generation == claim.generation);
        if !is_current {
            return Looked::Overtaken;
        }
        match claim.item {
            Item::Manifest if self.manifests[claim.owner] => Looked::Manifest(ManifestSeen {
                orphaned: claim.orphaned || bug == Some(Bug::TakesUntagged),
                tagged: self.tagged[claim.owner],
                has_parent: self.parents[claim.owner],
                touched_at: self.put_at[claim.owner],
                ..ManifestSeen::default()
            }),
            Item::Manifest => Looked::Gone,
            Item::Link => self.links[claim.owner].map_or(Looked::Gone, |touched_at| {
                Looked::Link(LinkSeen { named: self.manifests[claim.owner], touched_at })
            }),
            Item::Account if self.in_account => Looked::Account(AccountSeen {
                linked: self.links.iter().any(Option::is_some),
                in_trash: bug != Some(Bug::TrashPinsNothing) && self.trash.iter().any(Option::is_some),
            }),
            Item::Blob if self.blob.is_some() => Looked::Blob(BlobSeen { held: self.in_account }),
            Item::Account | Item::Blob => Looked::Gone,
        }
    }

    /// The deed, and the requests that it makes.
    fn take(&mut self, claim: &Claim) {
        match claim.item {
            // No tag points to it: none is taken away with it.
            Item::Manifest => self.bury(claim.owner),
            Item::Link => {
                self.links[claim.owner] = None;
                self.request(Item::Account, 0, self.now);
            }
            Item::Account => {
                self.in_account = false;
                self.request(Item::Blob, 0, self.now);
            }
            Item::Blob => {
                if let Some(key) = self.blob.take() {
                    self.doomed.insert(key, self.now + GRACES.bytes);
                }
            }
        }
    }

    fn settle(&mut self, claim: &Claim, bug: Option<Bug>) {
        let current = self.requests.get(&(claim.item, claim.owner));
        if current.is_some_and(|request| request.generation == claim.generation)
            || bug == Some(Bug::AnswersNewerRequests)
        {
            self.requests.remove(&(claim.item, claim.owner));
        }
    }

    fn review(&mut self, claim: &Claim, bug: Option<Bug>) {
        self.claims.remove(claim);
        // Nobody is in between where a look and its deed are one.
        let decision = claim.decision.unwrap_or_else(|| mark::decide(&self.look(claim, bug), self.now, &GRACES));
        match decision {
            Decision::Leave => {}
            Decision::Keep => self.settle(claim, bug),
            Decision::Later(due_at) => {
                if let Some(request) = self.requests.get_mut(&(claim.item, claim.owner)) {
                    request.due_at = due_at;
                }
            }
            Decision::Take => {
                self.take(claim);
                self.settle(claim, bug);
            }
        }
    }

    fn purge(&mut self, repository: usize) {
        self.trash[repository] = None;
        self.request(Item::Account, 0, self.now);
    }

    fn sweep(&mut self, key: u8) {
        if mark::key(self.blob == Some(key)) == Decision::Take {
            self.bytes.remove(&key);
            self.doomed.remove(&key);
        }
    }

    /// What is left when time goes on and nobody does anything.
    fn drained(&self, bug: Option<Bug>) -> Self {
        let mut state = self.clone();
        // Claims of collectors that died end by themselves.
        for claim in std::mem::take(&mut state.claims) {
            state.claims.insert(claim);
            state.review(&claim, bug);
        }
        for _ in 0..12 {
            state.now += 3;
            for repository in 0..2 {
                if state.trash[repository].is_some_and(|purge_at| purge_at <= state.now) {
                    state.purge(repository);
                }
            }
            for ((item, owner), request) in state.requests.clone() {
                if request.due_at <= state.now {
                    state.review(&Claim::of((item, owner), &request), bug);
                }
            }
            for (key, due_at) in state.doomed.clone() {
                if due_at <= state.now {
                    state.sweep(key);
                }
            }
        }
        state
    }

    /// Whether somebody has to wait for a look that holds what they need: a link for who names it, a row of the account or of the
    /// store for who links it. Whoever deletes a manifest needs neither.
    fn waits(&self, action: Action, bug: Option<Bug>) -> bool {
        let needs = |claim: &Claim| match action {
            Action::Put(repository) | Action::DeleteBlob(repository) => claim.is_about(Item::Link, repository),
            Action::Tag(repository)
            | Action::PutAgain(repository)
            | Action::PutParent(repository)
            | Action::DeleteManifest(repository) => claim.is_about(Item::Manifest, repository),
            // One of two who look at the same waits for the other.
            Action::Look(other) => claim.is_about(other.item, other.owner),
            Action::Push(repository) | Action::Mount(repository) | Action::Undelete(repository) => {
                claim.item != Item::Link || claim.owner == repository
            }
            _ => false,
        };
        bug != Some(Bug::LooksBeforeItLocks) && self.claims.iter().any(|claim| claim.decision.is_some() && needs(claim))
    }

    fn is_whole(&self, repository: usize) -> bool {
        self.links[repository].is_some() && self.in_account && self.blob.is_some_and(|key| self.bytes.contains(&key))
    }
}

impl Model for Registry {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        if !self.with_image {
            return vec![State::default()];
        }
        // What keeps the image goes by one operation in two of these: others are left for whoever comes to need it meanwhile.
        let begin = [(true, true), (true, false), (false, true)];
        let state = |(tagged, has_parent)| {
            let mut state = State::default();
            state.push(0, self.bug);
            state.put(0);
            (state.tagged[0], state.parents[0]) = (tagged, has_parent);
            state
        };
        begin.map(state).into()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < END {
            actions.push(Action::Tick);
        }
        for repository in 0..2 {
            if state.asked < self.operations {
                actions.push(Action::Push(repository));
                if state.shown(1 - repository) {
                    actions.push(Action::Mount(repository));
                }
                if state.links[repository].is_some() && !state.manifests[repository] {
                    actions.push(Action::Put(repository));
                }
                if state.manifests[repository] && !state.parents[repository] {
                    actions.push(Action::DeleteManifest(repository));
                }
                if state.manifests[repository] && self.with_image {
                    actions.push(Action::PutAgain(repository));
                    actions.push(if state.tagged[repository] { Action::Untag } else { Action::Tag }(repository));
                    let of_index = if state.parents[repository] { Action::DeleteParent } else { Action::PutParent };
                    actions.push(of_index(repository));
                }
                if !state.manifests[repository] && state.links[repository].is_some() {
                    actions.push(Action::DeleteBlob(repository));
                }
                if state.trash[repository].is_some() && !state.manifests[repository] {
                    actions.push(Action::Undelete(repository));
                }
            }
            if state.trash[repository].is_some_and(|purge_at| purge_at <= state.now) {
                actions.push(Action::Purge(repository));
            }
        }
        for ((item, owner), request) in &state.requests {
            let claimed = state
                .claims
                .iter()
                .any(|claim| claim.is_about(*item, *owner) && claim.generation == request.generation && !claim.ended);
            if request.due_at <= state.now && !claimed && state.claims.len() < self.collectors {
                actions.push(Action::Claim(*item, *owner));
            }
        }
        for claim in &state.claims {
            let next = if claim.decision.is_none() { Action::Look } else { Action::Review };
            actions.push(next(*claim));
            if self.collectors > 1 && !claim.ended {
                actions.push(Action::End(*claim));
            }
        }
        let due = state.doomed.iter().filter(|(_, due_at)| **due_at <= state.now);
        actions.extend(due.map(|(key, _)| Action::Sweep(*key)));
        actions.retain(|action| !state.waits(*action, self.bug));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Push(repository) => state.push(repository, self.bug),
            Action::Mount(repository) => state.link(repository),
            Action::Put(repository) => state.put(repository),
            Action::DeleteManifest(repository) => {
                state.tagged[repository] = false;
                state.wanted[repository] = false;
                state.bury(repository);
            }
            Action::Untag(repository) => {
                state.tagged[repository] = false;
                // Where the tag is deleted; one that moves away asks for a look later.
                state.request(Item::Manifest, repository, state.now + GRACES.margin);
            }
            Action::Tag(repository) => state.put(repository),
            Action::PutParent(repository) => state.parents[repository] = true,
            Action::PutAgain(repository) => {
                if !state.manifests[repository] {
                    state.put(repository);
                    state.tagged[repository] = false;
                }
                state.put_at[repository] = state.now;
                state.wanted[repository] = true;
                state.set_orphaned(repository, false);
                state.request(Item::Manifest, repository, state.now + GRACES.shown + GRACES.margin);
            }
            Action::DeleteParent(repository) => {
                state.parents[repository] = false;
                state.wanted[repository] = false;
                state.request(Item::Manifest, repository, state.now + GRACES.margin);
                state.set_orphaned(repository, true);
            }
            Action::DeleteBlob(repository) => {
                state.links[repository] = None;
                state.request(Item::Account, 0, state.now);
            }
            Action::Undelete(repository) => {
                state.link(repository);
                state.put(repository);
                // Its tags are brought back one by one.
                state.tagged[repository] = false;
            }
            Action::Purge(repository) => state.purge(repository),
            Action::Claim(item, owner) => {
                let request = *state.requests.get(&(item, owner))?;
                state.claims.insert(Claim::of((item, owner), &request));
            }
            Action::End(claim) => {
                state.claims.remove(&claim);
                state.claims.insert(Claim { ended: true, ..claim });
            }
            Action::Look(claim) => {
                let decision = mark::decide(&state.look(&claim, self.bug), state.now, &GRACES);
                state.claims.remove(&claim);
                state.claims.insert(Claim { decision: Some(decision), ..claim });
            }
            Action::Review(claim) => state.review(&claim, self.bug),
            Action::Sweep(key) => state.sweep(key),
        }
        let is_asked = matches!(
            action,
            Action::Push(_)
                | Action::Mount(_)
                | Action::Put(_)
                | Action::DeleteManifest(_)
                | Action::DeleteBlob(_)
                | Action::Undelete(_)
                | Action::Untag(_)
                | Action::Tag(_)
                | Action::PutAgain(_)
                | Action::PutParent(_)
                | Action::DeleteParent(_)
        );
        state.asked += u8::from(is_asked);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was acknowledged is whole", |_, state: &State| {
                (0..2).all(|repository| !state.manifests[repository] || state.is_whole(repository))
            }),
            Property::always("what a tag points to is there", |_, state: &State| {
                (0..2).all(|repository| !state.tagged[repository] || state.manifests[repository])
            }),
            Property::always("what an index names is there", |_, state: &State| {
                (0..2).all(|repository| !state.parents[repository] || state.manifests[repository])
            }),
            Property::always("what was asked to stay is there", |_, state: &State| {
                (0..2).all(|repository| !state.wanted[repository] || state.manifests[repository])
            }),
            Property::always("what is in the trash can come back", |_, state: &State| {
                let has_bytes = || state.in_account && state.blob.is_some_and(|key| state.bytes.contains(&key));
                state.trash.iter().all(|trash| trash.is_none() || has_bytes())
            }),
            Property::always("a key has one owner", |_, state: &State| {
                state.blob.is_none_or(|key| !state.doomed.contains_key(&key))
            }),
            Property::always("everything that nothing needs goes in the end", |registry: &Self, state: &State| {
                let left = state.drained(registry.bug);
                let needed = left.manifests.iter().any(|manifest| *manifest);
                let links = (0..2).all(|repository| left.links[repository].is_some() == left.manifests[repository]);
                links
                    && left.in_account == needed
                    && left.blob.is_some() == needed
                    && left.bytes.len() == usize::from(needed)
            }),
        ]
    }
}
