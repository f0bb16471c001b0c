//! Everything that a right in a repository is decided on, by one statement.

use std::sync::Arc;

use bytes::Bytes;
use hallmark_oci::{Reference, RepositoryName};

use super::accounts::AccountKind;
use super::database::{Metadata, Source};
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::manifests::StoredManifest;
use super::repositories::Repository;
use super::rights::Rights;
use super::rows::{AccountId, ManifestId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::users::{Principal, PrincipalKind, SystemRole, Vouching};
use super::value::{json_texts, values};

/// The name of the account that owns repositories of one component; no user and no organization can have it.
pub const SYSTEM_ACCOUNT: &str = "_system";
/// No credential has this id.
pub(super) const NO_CREDENTIAL: i64 = -1;
/// No tag and no digest is this text.
const NO_REFERENCE: &str = "";

statements! {
    // A manifest is read for those only who may know of its repository: to others how long that takes would tell what is in it.
    // Of the prefixes that reach the name few are granted to anybody in the account, however many are granted there: those are looked
    // up first, and then what each of the principal and their teams holds on them, one by one and by equality. As subqueries of one
    // value, since a join would be turned around where many hold one prefix.
    SEEN = [
        "WITH prefixes (account_id, prefix) AS MATERIALIZED (
           SELECT a.id, list.value FROM accounts a CROSS JOIN " {texts 5} " AS list
            WHERE a.name = $1
              AND (SELECT 1 FROM prefix_grants e WHERE e.account_id = a.id AND e.prefix = list.value LIMIT 1) IS NOT NULL),
         holders (id) AS (
           SELECT CAST($3 AS BIGINT)
           UNION ALL
           SELECT t.team_id FROM accounts a JOIN team_members t ON t.account_id = a.id AND t.user_id = $3 WHERE a.name = $1),
         known (id) AS MATERIALIZED (
           SELECT r.id FROM repositories r
            WHERE r.name = $2 AND $6 <> ''
              AND (r.public = 1
                OR EXISTS (SELECT 1 FROM users u
                            WHERE u.principal_id = $3 AND (u.account_id = r.account_id OR u.system_role <> ''))
                OR EXISTS (SELECT 1 FROM members m WHERE m.account_id = r.account_id AND m.user_id = $3 AND m.owner = 1)
                OR EXISTS (SELECT 1 FROM holders
                            WHERE (SELECT g.rights FROM repository_grants g
                                    WHERE g.principal_id = holders.id AND g.repository_id = r.id) IS NOT NULL)
                OR EXISTS (SELECT 1 FROM prefixes CROSS JOIN holders
                            WHERE (SELECT g.rights FROM prefix_grants g
                                    WHERE g.principal_id = holders.id AND g.account_id = prefixes.account_id
                                      AND g.prefix = prefixes.prefix) IS NOT NULL)))
         SELECT CAST(0 AS BIGINT), a.id, a.create_on_push + 2 * a.writers_sign, a.kind, a.name, r.id, r.public, u.principal_id, m.owner, CAST(NULL AS BYTEA)
           FROM accounts a
           LEFT JOIN repositories r ON r.name = $2 AND r.account_id = a.id
           LEFT JOIN users u ON u.account_id = a.id
           LEFT JOIN members m ON m.account_id = a.id AND m.user_id = $3
          WHERE a.name = $1
         UNION ALL
         SELECT CAST(1 AS BIGINT), g.principal_id, g.rights, '', '', NULL, NULL, NULL, NULL, NULL
           FROM repositories r JOIN repository_grants g ON g.principal_id = $3 AND g.repository_id = r.id
          WHERE r.name = $2
         UNION ALL
         SELECT CAST(1 AS BIGINT), g.principal_id, g.rights, '', '', NULL, NULL, NULL, NULL, NULL
           FROM repositories r JOIN team_members t ON t.account_id = r.account_id AND t.user_id = $3
           JOIN repository_grants g ON g.principal_id = t.team_id AND g.repository_id = r.id
          WHERE r.name = $2
         UNION ALL
         SELECT CAST(2 AS BIGINT), held.id, held.rights, held.prefix, '', NULL, NULL, NULL, NULL, NULL
           FROM (SELECT holders.id, prefixes.prefix,
                        (SELECT g.rights FROM prefix_grants g
                          WHERE g.principal_id = holders.id AND g.account_id = prefixes.account_id
                            AND g.prefix = prefixes.prefix) AS rights
                   FROM prefixes CROSS JOIN holders) AS held
          WHERE held.rights IS NOT NULL
         UNION ALL
         SELECT CAST(3 AS BIGINT), COALESCE(u.account_id, b.account_id), p.credential_epoch, COALESCE(u.name, h.name || '+' || b.name),
                p.kind || ' ' || COALESCE(u.system_role, '') || ' ' || COALESCE(u.source, ''), COALESCE(p.disabled_at, o.disabled_at),
                u.vouched_at, NULL, NULL, NULL
           FROM principals p LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id LEFT JOIN accounts h ON h.id = b.account_id
           LEFT JOIN users v ON v.account_id = b.account_id LEFT JOIN principals o ON o.id = v.principal_id
          WHERE p.id = $3 AND p.kind <> 'team'
         UNION ALL
         SELECT CAST(4 AS BIGINT), c.principal_id, c.expires_at, c.scopes, c.kind, c.revoked_at, NULL, NULL, NULL, NULL
           FROM credentials c WHERE c.id = $4
         UNION ALL
         SELECT CAST(5 AS BIGINT), m.id, CAST(0 AS BIGINT), m.digest, m.media_type, NULL, NULL, NULL, NULL, m.body
           FROM known JOIN tags t ON t.repository_id = known.id AND t.name = $6
           JOIN manifests m ON m.repository_id = t.repository_id AND m.id = t.manifest_id
         UNION ALL
         SELECT CAST(5 AS BIGINT), m.id, CAST(0 AS BIGINT), m.digest, m.media_type, NULL, NULL, NULL, NULL, m.body
           FROM known JOIN manifests m ON m.repository_id = known.id AND m.digest = $6"
    ];
}

/// What is known of a principal and a name of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The account that the name lies in, when there is one.
    pub account: Option<AccountFacts>,
    /// The repository of the name, when there is one.
    pub repository: Option<Repository>,
    /// Whether the principal belongs to the account, an organization, and then whether they own it.
    pub member: Option<bool>,
    /// What was granted to the principal or to a team of theirs that reaches the name.
    pub grants: Vec<Granted>,
}

/// What is known of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// The account.
    pub id: AccountId,
    /// What it is.
    pub kind: AccountKind,
    /// Whether a push may make repositories in it.
    pub create_on_push: bool,
    /// Whether `write` lets sign.
    pub writers_sign: bool,
}

/// Rights that reach a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who holds them: the principal, or a team of theirs.
    pub holder: PrincipalId,
    /// The prefix that they hold them on; `None` on the repository itself.
    pub prefix: Option<String>,
    /// What they may do.
    pub rights: Rights,
}

/// Everything that a request with a token stands on, as one statement saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whoever the token names, when they are there.
    pub principal: Option<Principal>,
    /// What the token was made from, when that is there.
    pub credential: Option<SeenCredential>,
    /// What is known of the repository and of the principal in it.
    pub facts: Facts,
    /// The manifest that was asked for with it, when the repository has it and the principal may know of the repository. What is not
    /// found here may be there all the same.
    pub manifest: Option<Arc<StoredManifest>>,
}

/// A long-lived credential as far as it bounds what was made from it.
#[derive(Clone, Debug)]
pub struct SeenCredential {
    /// Whose it is.
    pub principal: PrincipalId,
    /// What it is, in the registry's words.
    pub kind: String,
    /// The scopes it is limited to, as text.
    pub scopes: String,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

impl Metadata {
    /// What a request with a token stands on: whoever it names, what it was made from, the repository, and the manifest that it is
    /// about, by one statement. Nothing of it is remembered.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn seen(
        &self,
        principal: PrincipalId,
        credential: Option<i64>,
        name: &RepositoryName,
        reference: Option<&Reference>,
    ) -> Result<Seen, Error> {
        let account = name.account().unwrap_or(SYSTEM_ACCOUNT);
        let (credential, prefixes) = (credential.unwrap_or(NO_CREDENTIAL), prefixes(name));
        let reference = match reference {
            Some(Reference::Tag(tag)) => tag.as_str(),
            Some(Reference::Digest(digest)) => digest.as_str(),
            None => NO_REFERENCE,
        };
        let rows =
            self.rows(&SEEN, values![account, name, principal, credential, prefixes.as_str(), reference]).await?;
        let mut seen = Seen::default();
        for row in &rows {
            match row.integer(0)? {
                3 => seen.principal = Some(of_seen(row, principal)?),
                4 => seen.credential = Some(credential_of_seen(row)?),
                5 => seen.manifest = Some(manifest_of_seen(row)?),
                _ => {}
            }
        }
        seen.facts = facts(&rows, name)?;
        Ok(seen)
    }

    /// What is known of `principal` (`None`: nobody in particular) and the repository `name`, and where that was found: what
    /// is absent is never found in memory.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn facts(
        &self,
        principal: Option<PrincipalId>,
        name: &RepositoryName,
    ) -> Result<(Arc<Facts>, Source), Error> {
        let who = principal.unwrap_or(PrincipalId::NOBODY);
        let account = name.account().unwrap_or(SYSTEM_ACCOUNT);
        let ask = async {
            let prefixes = prefixes(name);
            let values = values![account, name, who, NO_CREDENTIAL, prefixes.as_str(), NO_REFERENCE];
            let rows = self.rows(&SEEN, values).await?;
            facts(&rows, name).map(Arc::new)
        };
        let slots = [Slot::name(name), Slot::principal(who), Slot::account(account)];
        self.remembered(&slots, (who, name), ask).await
    }
}

impl Tx {
    /// What is known of a principal and a repository's name, as it stands in this change.
    ///
    /// # Errors
    /// The database failed.
    pub async fn facts(&mut self, principal: PrincipalId, name: &RepositoryName) -> Result<Facts, Error> {
        let account = name.account().unwrap_or(SYSTEM_ACCOUNT);
        let prefixes = prefixes(name);
        let values = values![account, name, principal, NO_CREDENTIAL, prefixes.as_str(), NO_REFERENCE];
        let rows = self.rows(&SEEN, values).await?;
        facts(&rows, name)
    }
}

/// Every text that a prefix which reaches this name can be, as the one parameter that a statement takes for a list: the account with
/// its slash, and each beginning of the name that is longer. A name has at most 255 letters.
fn prefixes(name: &RepositoryName) -> String {
    let name = name.as_str();
    let account = name.find('/').map_or(name.len() + 1, |slash| slash + 1);
    json_texts((account..=name.len()).map(|end| &name[..end]))
}

fn facts(rows: &[Row], name: &RepositoryName) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for row in rows {
        match row.integer(0)? {
            0 => account(row, name, &mut facts)?,
            1 => facts.grants.push(granted(row, None)?),
            2 => facts.grants.push(granted(row, Some(row.text(3)?))?),
            // Who the principal is and what they want, which is asked for with it only by a token.
            3..=5 => {}
            other => return Err(Error::new(ErrorKind::Corrupt, format!("a row of kind {other}"))),
        }
    }
    // By what rests nobody holds anything.
    facts.grants.retain(|grant| !grant.rights.is_empty());
    // No order of rows means anything; a fixed one makes answers comparable.
    facts.grants.sort_by(|a, b| (a.holder, &a.prefix).cmp(&(b.holder, &b.prefix)));
    // Who is in a team through two sources holds what it holds once.
    facts.grants.dedup();
    Ok(facts)
}

fn account(row: &Row, name: &RepositoryName, facts: &mut Facts) -> Result<(), Error> {
    let (id, kind) = (AccountId(row.integer(1)?), AccountKind::read(&row.text(3)?)?);
    // Two settings in one number, which the statement makes of them.
    let settings = row.integer(2)?;
    facts.account = Some(AccountFacts { id, kind, create_on_push: settings & 1 != 0, writers_sign: settings & 2 != 0 });
    facts.member = row.maybe_integer(8)?.map(|owner| owner != 0);
    if let Some(repository) = row.maybe_integer(5)? {
        facts.repository = Some(Repository {
            id: RepositoryId(repository),
            name: name.clone(),
            account_id: id,
            account_name: if id == AccountId::SYSTEM { None } else { Some(row.text(4)?) },
            owner: row.maybe_integer(7)?.map(PrincipalId),
            public: row.truth(6)?,
        });
    }
    Ok(())
}

fn granted(row: &Row, prefix: Option<String>) -> Result<Granted, Error> {
    Ok(Granted { holder: PrincipalId(row.integer(1)?), prefix, rights: Rights::from_bits(row.integer(2)?) })
}

fn of_seen(row: &Row, id: PrincipalId) -> Result<Principal, Error> {
    let words = row.text(4)?;
    let mut words = words.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (kind, role, source) = (word(), word(), word());
    let at = row.maybe_integer(6)?;
    Ok(Principal {
        id,
        name: row.text(3)?,
        kind: PrincipalKind::read(kind)?,
        account_id: AccountId(row.integer(1)?),
        role: SystemRole::read(role)?,
        credential_epoch: row.integer(2)?,
        disabled: row.maybe_integer(5)?.is_some(),
        vouched: (!source.is_empty()).then(|| Vouching { source: source.to_owned(), at }),
    })
}

fn manifest_of_seen(row: &Row) -> Result<Arc<StoredManifest>, Error> {
    let (id, body) = (ManifestId(row.integer(1)?), Bytes::from(row.bytes(9)?));
    let (digest, media_type, size) = (row.parsed(3)?, row.text(4)?, body.len() as u64);
    Ok(Arc::new(StoredManifest { id, digest, media_type, body, size }))
}

fn credential_of_seen(row: &Row) -> Result<SeenCredential, Error> {
    Ok(SeenCredential {
        principal: PrincipalId(row.integer(1)?),
        kind: row.text(4)?,
        scopes: row.text(3)?,
        expires_at: row.integer(2)?,
        revoked_at: row.maybe_integer(5)?,
    })
}
