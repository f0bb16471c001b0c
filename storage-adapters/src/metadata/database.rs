use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hallmark_oci::RepositoryName;
use quick_cache::Weighter;

use super::cache::{Cache, Kept};
use super::error::Error;
use super::facts::Facts;
use super::migrate;
use super::names::Rest;
use super::rows::PrincipalId;
use super::runner::Runner;
use super::sql::{Reader, Row};
use super::statement::{Engine, Statement};
use super::statistics::{Counters, Statistics};
use super::value::Value;
use super::writer::Writer;

/// The facts of one Hallmark. Cheap to clone: all clones are the same database.
#[derive(Clone)]
pub struct Metadata {
    inner: Arc<Inner>,
    cache: Option<Arc<Cache>>,
}

pub(super) struct Inner {
    pub(super) reader: Reader,
    pub(super) writes: Writes,
    pub(super) counters: Arc<Counters>,
    pub(super) schema: i64,
    pub(super) rest: Arc<Rest>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This process remembered it.
    Memory,
    /// The database was asked.
    Database,
}

/// How changes are made: by one task, or by many transactions.
pub(super) enum Writes {
    Writer(Writer),
    Runner(Runner),
}

impl Metadata {
    pub(super) fn new(inner: Inner, cache: Option<Cache>) -> Self {
        Self { inner: Arc::new(inner), cache: cache.map(Arc::new) }
    }

    /// The same database, every read asked of it anew. For tests and for tools that look at what is really there.
    #[must_use]
    pub fn without_cache(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), cache: None }
    }

    /// Asks the database for one row.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        self.row(&migrate::VERSION, &[]).await.map(drop)
    }

    /// The schema of the database: the number of its last migration.
    #[must_use]
    pub fn schema_version(&self) -> i64 {
        self.inner.schema
    }

    /// When the database came to its schema, in milliseconds since the epoch: from about then on, replicas of the release before
    /// stop.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn migrated_at(&self) -> Result<i64, Error> {
        self.row(&migrate::MIGRATED_AT, &[]).await?.map_or(Ok(0), |row| row.integer(0))
    }

    /// The database that answers.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.inner.reader.engine()
    }

    /// The size of the embedded database's write-ahead log, in bytes; `None` on PostgreSQL. It asks the file system.
    #[must_use]
    pub fn log_bytes(&self) -> Option<u64> {
        self.inner.reader.log_bytes()
    }

    /// What the database has been doing since it was opened.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.inner.counters.read()
    }

    /// Takes no further change, waits for those that began or wait, and closes every connection. Then another process may
    /// open the data folder.
    pub async fn close(&self) {
        match &self.inner.writes {
            Writes::Writer(writer) => {
                self.inner.reader.close().await;
                writer.close().await;
            }
            Writes::Runner(runner) => {
                runner.close().await;
                self.inner.reader.close().await;
            }
        }
    }

    pub(super) fn rest(&self) -> &Rest {
        &self.inner.rest
    }

    pub(super) fn writes(&self) -> &Writes {
        &self.inner.writes
    }

    pub(super) async fn rows(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.inner.counters.read_one();
        self.inner.reader.rows(statement, values).await
    }

    pub(super) async fn row(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        self.inner.counters.read_one();
        self.inner.reader.row(statement, values).await
    }

    /// The facts that are kept for a principal and a name if the stamp of all `slots` still stands, else those that `ask`
    /// gives, which are kept when there is such a repository.
    pub(super) async fn remembered(
        &self,
        slots: &[super::generations::Slot],
        (who, name): (PrincipalId, &RepositoryName),
        ask: impl Future<Output = Result<Arc<Facts>, Error>>,
    ) -> Result<(Arc<Facts>, Source), Error> {
        let Some(cache) = &self.cache else { return Ok((ask.await?, Source::Database)) };
        let generation = cache.generations.of_all(slots);
        let key = (who, name.clone());
        if let Some((stamp, facts)) = cache.facts.get(&key)
            && stamp == generation
        {
            self.inner.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
            return Ok((facts, Source::Memory));
        }
        self.inner.counters.cache_misses.fetch_add(1, Ordering::Relaxed);
        let facts = ask.await?;
        if facts.repository.is_some() {
            cache.facts.insert(key, (generation, Arc::clone(&facts)));
        }
        Ok((facts, Source::Database))
    }

    /// [`Self::cached_from`] for those who need not know where the answer came from.
    pub(super) async fn cached<K, V, W>(
        &self,
        kind: impl FnOnce(&Cache) -> &Kept<K, V, W>,
        slot: super::generations::Slot,
        key: impl FnOnce() -> K,
        ask: impl Future<Output = Result<Option<V>, Error>>,
    ) -> Result<Option<V>, Error>
    where
        K: Hash + Eq,
        V: Clone,
        W: Weighter<K, (u64, V)> + Clone,
    {
        self.cached_from(kind, slot, key, ask).await.map(|(answer, _)| answer)
    }

    /// The answer, and where it came from, that `kind` holds under `key` if its stamp still stands, else the one that `ask` gives, which is kept.
    /// Absence is never kept: there is no end to what does not exist.
    pub(super) async fn cached_from<K, V, W>(
        &self,
        kind: impl FnOnce(&Cache) -> &Kept<K, V, W>,
        slot: super::generations::Slot,
        key: impl FnOnce() -> K,
        ask: impl Future<Output = Result<Option<V>, Error>>,
    ) -> Result<(Option<V>, Source), Error>
    where
        K: Hash + Eq,
        V: Clone,
        W: Weighter<K, (u64, V)> + Clone,
    {
        self.cached_under(kind, &[slot], key, ask).await
    }

    /// [`Self::cached_from`], with an answer that holds while all of these stamps stand.
    pub(super) async fn cached_under<K, V, W>(
        &self,
        kind: impl FnOnce(&Cache) -> &Kept<K, V, W>,
        slots: &[super::generations::Slot],
        key: impl FnOnce() -> K,
        ask: impl Future<Output = Result<Option<V>, Error>>,
    ) -> Result<(Option<V>, Source), Error>
    where
        K: Hash + Eq,
        V: Clone,
        W: Weighter<K, (u64, V)> + Clone,
    {
        let Some(cache) = &self.cache else { return Ok((ask.await?, Source::Database)) };
        let generation = cache.generations.of_all(slots);
        let (kind, key) = (kind(cache), key());
        if let Some((stamp, value)) = kind.get(&key)
            && stamp == generation
        {
            self.inner.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
            return Ok((Some(value), Source::Memory));
        }
        self.inner.counters.cache_misses.fetch_add(1, Ordering::Relaxed);
        let answer = ask.await?;
        if let Some(value) = &answer {
            kind.insert(key, (generation, value.clone()));
        }
        Ok((answer, Source::Database))
    }
}
