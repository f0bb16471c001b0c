//! Histories that were recorded elsewhere, replayed on the model.

use std::collections::{BTreeMap, HashSet};

use stateright::Model;

use super::{Action, Claim, GRACES, Pulled, Registry, Request, State, Told};

/// A history that was recorded elsewhere, replayed: whether this registry could have told the same.
impl Registry {
    /// What this state may become when somebody is told this in it; `None` when nobody would be.
    pub(crate) fn after(&self, state: &State, told: Told) -> Option<State> {
        let (action, happens) = match told {
            Told::Pushed(repository) => (Action::Push(repository), true),
            Told::Mounted(repository, true) => (Action::Mount(repository), state.shown(1 - repository)),
            Told::Put(repository, true) => (Action::PutAgain(repository), state.links[repository].is_some()),
            Told::Tagged(repository, true) => (Action::Put(repository), state.links[repository].is_some()),
            Told::Untagged(repository) if !state.tagged[repository] => return Some(state.clone()),
            Told::Untagged(repository) => (Action::Untag(repository), true),
            Told::IndexPut(repository, true) => (Action::PutParent(repository), state.manifests[repository]),
            Told::IndexDeleted(repository, true) => (Action::DeleteParent(repository), state.parents[repository]),
            Told::Deleted(repository, true) => {
                let is_free = state.manifests[repository] && !state.parents[repository];
                (Action::DeleteManifest(repository), is_free)
            }
            Told::BlobDeleted(repository, true) => {
                let is_free = state.links[repository].is_some() && !state.manifests[repository];
                (Action::DeleteBlob(repository), is_free)
            }
            Told::Undeleted(repository, true) => {
                (Action::Undelete(repository), state.trash[repository].is_some() && !state.manifests[repository])
            }
            refused => return state.tells(refused).then(|| state.clone()),
        };
        if !happens {
            return None;
        }
        let next = self.next_state(state, action)?;
        Some(State { asked: state.asked, ..next }.plain())
    }

    /// All that these states may become by what the registry does by itself. A look and its deed are one: nobody is in between.
    pub(crate) fn by_itself(&self, states: HashSet<State>) -> HashSet<State> {
        let (mut known, mut left) = (states.clone(), states.into_iter().collect::<Vec<_>>());
        while let Some(state) = left.pop() {
            let mut next = Vec::new();
            for ((item, owner), request) in state.requests.iter().filter(|(_, request)| request.due_at <= state.now) {
                let mut state = state.clone();
                state.review(&Claim::of((*item, *owner), request), self.bug);
                next.push(state);
            }
            for repository in (0..2).filter(|number| state.trash[*number].is_some_and(|purge_at| purge_at <= state.now))
            {
                let mut state = state.clone();
                state.purge(repository);
                next.push(state);
            }
            for (key, _) in state.doomed.iter().filter(|(_, due_at)| **due_at <= state.now) {
                let mut state = state.clone();
                state.sweep(*key);
                next.push(state);
            }
            let new = next.into_iter().map(State::plain).filter(|state| known.insert(state.clone()));
            left.extend(new);
        }
        known
    }

    /// The state a moment later.
    pub(crate) fn later(&self, state: &State) -> State {
        State { now: state.now + 1, ..state.clone() }.plain()
    }

    /// Which manifests, and how many keys with bytes, are left of a state when time goes on and nobody does anything.
    pub(crate) fn left_of(&self, state: &State) -> ([bool; 2], usize) {
        let left = state.drained(self.bug);
        (left.manifests, left.bytes.len())
    }
}

impl State {
    /// Whether somebody is told this who changes nothing.
    fn tells(&self, told: Told) -> bool {
        match told {
            Told::Shown(repository, shown) => self.shown(repository) == shown,
            Told::Mounted(repository, _) => !self.shown(1 - repository),
            Told::Put(repository, _) | Told::Tagged(repository, _) => self.links[repository].is_none(),
            Told::IndexPut(repository, _) => !self.manifests[repository],
            Told::IndexDeleted(repository, _) => !self.parents[repository],
            Told::Deleted(repository, _) => !self.manifests[repository] || self.parents[repository],
            Told::BlobDeleted(repository, _) => self.links[repository].is_none() || self.manifests[repository],
            Told::Undeleted(repository, _) => self.trash[repository].is_none() || self.manifests[repository],
            Told::Pulled(repository, Pulled::Absent) => !self.manifests[repository],
            Told::Pulled(repository, Pulled::Whole) => self.manifests[repository] && self.is_whole(repository),
            Told::Pulled(repository, Pulled::Broken) => self.manifests[repository] && !self.is_whole(repository),
            Told::Pushed(_) | Told::Untagged(_) => false,
        }
    }

    /// The same state without what makes no difference where nobody is in between a look and its deed: which key is which, which
    /// request came first, and for how long something has been due or old.
    fn plain(self) -> Self {
        let (now, old) = (self.now, self.now - GRACES.shown - GRACES.margin);
        let mut due: Vec<i64> = self.doomed.values().map(|due_at| *due_at.max(&now)).collect();
        due.sort_unstable();
        // The blob's own key comes first, then those that go, by their time.
        let first = u8::from(self.blob.is_some());
        let doomed: BTreeMap<u8, i64> = (first..).zip(due).collect();
        let has_bytes = self.blob.is_some_and(|key| self.bytes.contains(&key));
        let request = |request: &Request| Request { due_at: request.due_at.max(now), generation: 0, ..*request };
        Self {
            generations: 0,
            keys: first + doomed.len() as u8,
            blob: self.blob.map(|_| 0),
            bytes: (0..u8::from(has_bytes)).chain(doomed.keys().copied()).collect(),
            doomed,
            links: self.links.map(|touched| touched.map(|touched| touched.max(old))),
            put_at: self.put_at.map(|put_at| put_at.max(old)),
            trash: self.trash.map(|purge_at| purge_at.map(|purge_at| purge_at.max(now))),
            requests: self.requests.iter().map(|(item, seen)| (*item, request(seen))).collect(),
            ..self
        }
    }
}
