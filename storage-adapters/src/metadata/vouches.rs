//! Who vouched for what a tag means, the roots of trust domains, and what happened to tags in its order.

use hallmark_oci::{Digest, Tag};

use super::database::Metadata;
use super::error::Error;
use super::rows::{PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::{TURNS, Tx};
use super::value::{json_texts, values};

statements! {
    ROOT = ["SELECT version, body, domain FROM trust_roots WHERE domain = $1 AND version = $2"];
    NEWEST_ROOT = ["SELECT version, body, domain FROM trust_roots WHERE domain = $1 ORDER BY version DESC LIMIT 1"];
    DOMAIN_ROOT = [
        "SELECT r.version, r.body, r.domain FROM trust_roots r
          WHERE r.domain = (SELECT 'tuf1/organization/' || CAST(p.account_id AS TEXT) FROM repositories p WHERE p.id = $1)
          ORDER BY r.version DESC LIMIT 1"
    ];
    ROOTS_SINCE = ["SELECT COUNT(*) FROM trust_roots WHERE domain = $1 AND made_at > $2"];
    SHARE_ROOT = ["SELECT version FROM trust_roots WHERE domain = $1 AND version = $2" {share}];
    HOLD_ROOT = ["SELECT version FROM trust_roots WHERE domain = $1 AND version = $2" {update}];
    ADD_ROOT = [
        "INSERT INTO trust_roots (domain, version, body, made_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (domain, version) DO NOTHING"
    ];
    TAGGED = [
        "SELECT m.digest, m.size, m.media_type, t.moved_at, h.actor_id, w.at, w.digest FROM tags t
           JOIN manifests m ON m.repository_id = t.repository_id AND m.id = t.manifest_id
           LEFT JOIN tag_history h ON h.repository_id = t.repository_id AND h.name = t.name AND h.version = t.version
           LEFT JOIN withdrawals w ON w.repository_id = t.repository_id AND w.tag = t.name
          WHERE t.repository_id = $1 AND t.name = $2"
    ];
    VOUCH = [
        "INSERT INTO vouches (repository_id, tag, digest, size, media_type, signer_id, signer, source, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (repository_id, tag) DO UPDATE SET digest = excluded.digest, size = excluded.size,
           media_type = excluded.media_type, signer_id = excluded.signer_id, signer = excluded.signer,
           source = excluded.source, at = excluded.at"
    ];
    WITHDRAW = ["DELETE FROM vouches WHERE repository_id = $1 AND tag = $2"];
    WITHDRAWN = [
        "INSERT INTO withdrawals (repository_id, tag, digest, at)
         SELECT repository_id, tag, digest, CASE WHEN at > $3 THEN at ELSE $3 END FROM vouches
          WHERE repository_id = $1 AND tag = $2
         ON CONFLICT (repository_id, tag) DO UPDATE SET digest = excluded.digest, at = excluded.at"
    ];
    SAID_AGAIN = ["DELETE FROM withdrawals WHERE repository_id = $1 AND tag = $2"];
    FORGET = ["DELETE FROM vouches WHERE repository_id = $1 AND tag = $2 AND at = $3"];
    OF_TAGS = [
        "SELECT v.tag, v.digest, v.size, v.media_type, v.signer, v.source, v.at, m.digest, t.moved_at FROM vouches v
           LEFT JOIN tags t ON t.repository_id = v.repository_id AND t.name = v.tag
           LEFT JOIN manifests m ON m.repository_id = t.repository_id AND m.id = t.manifest_id
          WHERE v.repository_id = $1 AND v.tag" {in texts "2"}
    ];
    PAGE = [
        "SELECT v.tag, v.digest, v.size, v.media_type, v.signer, v.source, v.at, m.digest, t.moved_at FROM vouches v
           LEFT JOIN tags t ON t.repository_id = v.repository_id AND t.name = v.tag
           LEFT JOIN manifests m ON m.repository_id = t.repository_id AND m.id = t.manifest_id
          WHERE v.repository_id = $1 AND v.tag > $2 ORDER BY v.tag LIMIT $3"
    ];
    WITH_WORDS = [
        "SELECT held.id, (SELECT page.repository_id FROM vouches page WHERE page.repository_id = held.id LIMIT 1)
           FROM (SELECT r.id FROM repositories r WHERE r.id > $1 ORDER BY r.id LIMIT $2) AS held ORDER BY held.id"
    ];
    HAPPENED = [
        "SELECT e.seq, e.kind, e.repository_id, e.subject, e.payload, e.actor_id, e.at FROM events e
          WHERE e.seq > $1 ORDER BY e.seq LIMIT $2"
    ];
}

/// A root of a trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustRoot {
    /// The domain.
    pub domain: String,
    /// Its version.
    pub version: i64,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// What a tag points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The manifest's digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// What a tag points to, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointed {
    /// To what.
    pub tagged: Tagged,
    /// When it was moved there, in milliseconds since the epoch.
    pub moved_at: i64,
    /// Who moved it there.
    pub moved_by: Option<PrincipalId>,
    /// When what was said of it was taken back last, in milliseconds since the epoch, and what it was said to mean; if nobody
    /// has said anything since.
    pub withdrawn: Option<(i64, Digest)>,
}

/// Somebody's word for what a tag means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// The tag.
    pub tag: Tag,
    /// What it is said to mean.
    pub tagged: Tagged,
    /// Who said it, as holders of grants are written.
    pub signer: String,
    /// By what: a signature, or a rule.
    pub source: String,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// What the tag points to now, and since when; `None` when it is gone.
    pub now: Option<(Digest, i64)>,
}

impl Vouch {
    /// Whether the tag still points to what was vouched for: one that was moved away and back was not vouched for since.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.now.as_ref().is_some_and(|(digest, since)| *digest == self.tagged.digest && *since <= self.at)
    }
}

/// Something that happened, as jobs that follow the events read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// Its place in the order of events.
    pub seq: i64,
    /// What.
    pub kind: String,
    /// In which repository.
    pub repository: Option<RepositoryId>,
    /// To what.
    pub subject: String,
    /// More about it, as JSON.
    pub payload: String,
    /// Who did it.
    pub actor: PrincipalId,
    /// When, in milliseconds since the epoch.
    pub at: i64,
}

impl Metadata {
    /// A root of a domain: the newest, or the one of this version.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_root(&self, domain: &str, version: Option<i64>) -> Result<Option<TrustRoot>, Error> {
        let row = match version {
            Some(version) => self.row(&ROOT, values![domain, version]).await?,
            None => self.row(&NEWEST_ROOT, values![domain]).await?,
        };
        row.as_ref().map(root).transpose()
    }

    /// How many roots of a domain were made after this time.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_roots_since(&self, domain: &str, time: i64) -> Result<i64, Error> {
        self.row(&ROOTS_SINCE, values![domain, time]).await?.map_or(Ok(0), |row| row.integer(0))
    }

    /// The newest root of the domain of a repository's organization; `None` where it has none of its own.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_root_of(&self, repository: RepositoryId) -> Result<Option<TrustRoot>, Error> {
        self.row(&DOMAIN_ROOT, values![repository]).await?.as_ref().map(root).transpose()
    }

    /// What was said of these tags of a repository.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn vouches_of<'t>(
        &self,
        repository: RepositoryId,
        tags: impl Iterator<Item = &'t str>,
    ) -> Result<Vec<Vouch>, Error> {
        let tags = json_texts(tags);
        self.rows(&OF_TAGS, values![repository, &tags]).await?.iter().map(vouch).collect()
    }

    /// What was said of the tags of a repository, by tag, at most `limit` after this one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn vouches(&self, repository: RepositoryId, after: &str, limit: u32) -> Result<Vec<Vouch>, Error> {
        self.rows(&PAGE, values![repository, after, i64::from(limit)]).await?.iter().map(vouch).collect()
    }

    /// At most `limit` repositories after this one, by id, and whether anything was said of their tags.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn with_vouches(&self, after: RepositoryId, limit: u32) -> Result<Vec<(RepositoryId, bool)>, Error> {
        let rows = self.rows(&WITH_WORDS, values![after, i64::from(limit)]).await?;
        rows.iter().map(|row| Ok((RepositoryId(row.integer(0)?), row.maybe_integer(1)?.is_some()))).collect()
    }

    /// At most `limit` events after this place.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn happened(&self, after: i64, limit: u32) -> Result<Vec<Happened>, Error> {
        let happened = |row: &Row| -> Result<Happened, Error> {
            Ok(Happened {
                seq: row.integer(0)?,
                kind: row.text(1)?,
                repository: row.maybe_integer(2)?.map(RepositoryId),
                subject: row.text(3)?,
                payload: row.text(4)?,
                actor: PrincipalId(row.integer(5)?),
                at: row.integer(6)?,
            })
        };
        self.rows(&HAPPENED, values![after, i64::from(limit)]).await?.iter().map(happened).collect()
    }
}

impl Tx {
    /// Whether the root of this version is the newest of its domain, and stays so until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn is_newest_root(&mut self, domain: &str, version: i64) -> Result<bool, Error> {
        self.rows(&SHARE_ROOT, values![domain, version]).await?;
        // Asked after the lock is held: whoever held it may have put another root above.
        let newest = self.row(&NEWEST_ROOT, values![domain]).await?;
        Ok(newest.map(|row| row.integer(0)).transpose()? == Some(version))
    }

    /// The newest root of the domain of a repository's organization, as this change sees it; `None` where it has none of its own.
    ///
    /// # Errors
    /// The database failed.
    pub async fn trust_root_of(&mut self, repository: RepositoryId) -> Result<Option<TrustRoot>, Error> {
        self.row(&DOMAIN_ROOT, values![repository]).await?.as_ref().map(root).transpose()
    }

    /// Keeps a root of a domain; whether there was none of its version. It waits for those who publish under the one before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_trust_root(&mut self, root: &TrustRoot, now: i64) -> Result<bool, Error> {
        self.rows(&HOLD_ROOT, values![&root.domain, root.version - 1]).await?;
        Ok(self.execute(&ADD_ROOT, values![&root.domain, root.version, root.body.as_slice(), now]).await? == 1)
    }

    /// The newest root of a domain, which stays the newest until the change ends. It waits for those who publish under it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold_newest_root(&mut self, domain: &str) -> Result<Option<TrustRoot>, Error> {
        for _ in 0..TURNS {
            let Some(newest) = self.row(&NEWEST_ROOT, values![domain]).await? else { return Ok(None) };
            let newest = root(&newest)?;
            self.rows(&HOLD_ROOT, values![domain, newest.version]).await?;
            // Asked again after the lock is held: whoever held it may have put another root above.
            if self.is_newest_root(domain, newest.version).await? {
                return Ok(Some(newest));
            }
        }
        Err(self.give_way("trust_roots"))
    }

    /// What a tag of a repository points to, as this change sees it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tagged(&mut self, repository: RepositoryId, tag: &Tag) -> Result<Option<Pointed>, Error> {
        let row = self.row(&TAGGED, values![repository, tag]).await?;
        let pointed = |row: Row| {
            let tagged = Tagged { digest: row.parsed(0)?, size: row.unsigned(1)?, media_type: row.text(2)? };
            let moved_by = row.maybe_integer(4)?.map(PrincipalId);
            let withdrawn = row.maybe_integer(5)?.zip(row.maybe_parsed(6)?);
            Ok(Pointed { tagged, moved_at: row.integer(3)?, moved_by, withdrawn })
        };
        row.map(pointed).transpose()
    }

    /// What was said of a tag of a repository, as this change sees it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vouch_of(&mut self, repository: RepositoryId, tag: &Tag) -> Result<Option<Vouch>, Error> {
        let tags = json_texts(std::iter::once(tag.as_str()));
        self.row(&OF_TAGS, values![repository, &tags]).await?.as_ref().map(vouch).transpose()
    }

    /// Keeps somebody's word for what a tag means, in the place of the one before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vouch(&mut self, repository: RepositoryId, vouch: &Vouch, signer: PrincipalId) -> Result<(), Error> {
        let Vouch { tag, tagged: Tagged { digest, size, media_type }, signer: name, source, at, now: _ } = vouch;
        let size = i64::try_from(*size).unwrap_or(i64::MAX);
        let row = values![repository, tag, digest, size, media_type, signer, name, source, *at];
        self.execute(&VOUCH, row).await?;
        self.execute(&SAID_AGAIN, values![repository, tag]).await.map(drop)
    }

    /// Takes back what was said of a tag, and remembers what and when; whether anything was said.
    ///
    /// # Errors
    /// The database failed.
    pub async fn withdraw_vouch(&mut self, repository: RepositoryId, tag: &Tag, now: i64) -> Result<bool, Error> {
        self.execute(&WITHDRAWN, values![repository, tag, now]).await?;
        Ok(self.execute(&WITHDRAW, values![repository, tag]).await? == 1)
    }

    /// Forgets what was said `at` this time of a tag that has moved on: it would hold again if the tag were set back. What was
    /// said anew meanwhile stays.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_vouch(&mut self, repository: RepositoryId, tag: &Tag, at: i64) -> Result<(), Error> {
        self.execute(&FORGET, values![repository, tag, at]).await.map(drop)
    }
}

fn root(row: &Row) -> Result<TrustRoot, Error> {
    Ok(TrustRoot { version: row.integer(0)?, body: row.bytes(1)?, domain: row.text(2)? })
}

fn vouch(row: &Row) -> Result<Vouch, Error> {
    Ok(Vouch {
        tag: row.parsed(0)?,
        tagged: Tagged { digest: row.parsed(1)?, size: row.unsigned(2)?, media_type: row.text(3)? },
        signer: row.text(4)?,
        source: row.text(5)?,
        at: row.integer(6)?,
        now: row.maybe_parsed(7)?.zip(row.maybe_integer(8)?),
    })
}
