//! What a storm counted: the numbers that a record quotes, and every broken promise in a sentence.

use std::{collections::BTreeMap, fmt};

use super::restore::Lost;
use crate::http::Response;

/// The counts of one client, or of a whole storm.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often the server was killed.
    pub kills: usize,
    /// After how many of them the power was lost with everything that was not synced, and with a part of it.
    pub dark: usize,
    /// See [`Tally::dark`].
    pub torn: usize,
    /// Manifests that were answered 201, tag moves included.
    pub manifests: usize,
    /// Blobs that were answered 201.
    pub blobs: usize,
    /// Deletes that were answered 202.
    pub deletes: usize,
    /// Uploads that were open at a kill and taken up again, to the right digest.
    pub resumed: usize,
    /// How often an upload was refused with 416 at the very offset where it stands: another request holds it.
    pub busy: usize,
    /// Manifests pulled whole after a kill.
    pub pulled: usize,
    /// Blobs read and hashed again after a kill.
    pub rehashed: usize,
    /// What the power losses took.
    pub lost: Lost,
    /// Answers that were neither success nor loss of the connection, by status, each with one example.
    pub refusals: BTreeMap<u16, (usize, String)>,
    /// Every promise that was broken.
    pub violations: Vec<String>,
}

impl Tally {
    /// How many answers refused.
    pub fn refused(&self) -> usize {
        self.refusals.values().map(|(count, _)| count).sum()
    }

    /// Counts an answer that refused. One that asks for patience must say for how long.
    pub(crate) fn refuse(&mut self, what: &str, repository: &str, answer: &Response) {
        let text = format!("{what} in {repository}: {answer}");
        if matches!(answer.status, 503 | 507) && answer.header("retry-after").is_none() {
            self.violate(format!("no Retry-After: {text}"));
        }
        self.refusals.entry(answer.status).or_insert((0, text)).0 += 1;
    }

    /// Writes down a broken promise.
    pub(crate) fn violate(&mut self, what: String) {
        self.violations.push(what);
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.dark += other.dark;
        self.torn += other.torn;
        self.manifests += other.manifests;
        self.blobs += other.blobs;
        self.deletes += other.deletes;
        self.resumed += other.resumed;
        self.busy += other.busy;
        self.pulled += other.pulled;
        self.rehashed += other.rehashed;
        self.lost += other.lost;
        for (status, (count, example)) in other.refusals {
            self.refusals.entry(status).or_insert((0, example)).0 += count;
        }
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More broken promises than these say nothing new.
        const SHOWN: usize = 20;
        write!(
            formatter,
            "{} kills, after {} of them everything unsynced was lost, after {} a part; acknowledged: {} manifests, {} blobs, {} deletes; {} uploads resumed, {} times refused as held by \
             another request; {} manifests pulled whole, {} blobs rehashed; the power losses took {} pieces and {} names; {} violations",
            self.kills,
            self.dark,
            self.torn,
            self.manifests,
            self.blobs,
            self.deletes,
            self.resumed,
            self.busy,
            self.pulled,
            self.rehashed,
            self.lost.pieces,
            self.lost.names,
            self.violations.len()
        )?;
        for (status, (count, example)) in &self.refusals {
            write!(formatter, "\n  refused {count} times with {status}: {example}")?;
        }
        for violation in self.violations.iter().take(SHOWN) {
            write!(formatter, "\n  VIOLATION: {violation}")?;
        }
        Ok(())
    }
}
