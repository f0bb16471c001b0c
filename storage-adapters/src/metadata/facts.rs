//! Everything that a right in a repository is decided on, by one statement.

use std::sync::Arc;

use hallmark_oci::RepositoryName;

use super::accounts::AccountKind;
use super::database::{Metadata, Source};
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::repositories::Repository;
use super::rights::Rights;
use super::rows::{AccountId, PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// The name of the account that owns repositories of one component.
const SYSTEM: &str = "_system";

statements! {
    FACTS = [
        "SELECT CAST(0 AS BIGINT), a.id, a.create_on_push, a.kind, a.name, r.id, r.public, u.principal_id, m.owner
           FROM accounts a
           LEFT JOIN repositories r ON r.name = $2 AND r.account_id = a.id
           LEFT JOIN users u ON u.account_id = a.id
           LEFT JOIN members m ON m.account_id = a.id AND m.user_id = $3
          WHERE a.name = $1
         UNION ALL
         SELECT CAST(1 AS BIGINT), g.principal_id, g.rights, '', '', NULL, NULL, NULL, NULL
           FROM repositories r JOIN repository_grants g ON g.principal_id = $3 AND g.repository_id = r.id
          WHERE r.name = $2
         UNION ALL
         SELECT CAST(1 AS BIGINT), g.principal_id, g.rights, '', '', NULL, NULL, NULL, NULL
           FROM repositories r JOIN team_members t ON t.account_id = r.account_id AND t.user_id = $3
           JOIN repository_grants g ON g.principal_id = t.team_id AND g.repository_id = r.id
          WHERE r.name = $2
         UNION ALL
         SELECT CAST(2 AS BIGINT), g.principal_id, g.rights, g.prefix, '', NULL, NULL, NULL, NULL
           FROM accounts a JOIN prefix_grants g ON g.principal_id = $3 AND g.account_id = a.id
          WHERE a.name = $1 AND g.prefix = substr($2, 1, length(g.prefix))
         UNION ALL
         SELECT CAST(2 AS BIGINT), g.principal_id, g.rights, g.prefix, '', NULL, NULL, NULL, NULL
           FROM accounts a JOIN team_members t ON t.account_id = a.id AND t.user_id = $3
           JOIN prefix_grants g ON g.principal_id = t.team_id AND g.account_id = a.id
          WHERE a.name = $1 AND g.prefix = substr($2, 1, length(g.prefix))"
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

impl Metadata {
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
        let account = name.account().unwrap_or(SYSTEM);
        let ask = async {
            let rows = self.rows(&FACTS, values![account, name, who]).await?;
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
        let account = name.account().unwrap_or(SYSTEM);
        let rows = self.rows(&FACTS, values![account, name, principal]).await?;
        facts(&rows, name)
    }
}

fn facts(rows: &[Row], name: &RepositoryName) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for row in rows {
        match row.integer(0)? {
            0 => account(row, name, &mut facts)?,
            1 => facts.grants.push(granted(row, None)?),
            2 => facts.grants.push(granted(row, Some(row.text(3)?))?),
            other => return Err(Error::new(ErrorKind::Corrupt, format!("a row of kind {other}"))),
        }
    }
    // No order of rows means anything; a fixed one makes answers comparable.
    facts.grants.sort_by(|a, b| (a.holder, &a.prefix).cmp(&(b.holder, &b.prefix)));
    // Who is in a team through two sources holds what it holds once.
    facts.grants.dedup();
    Ok(facts)
}

fn account(row: &Row, name: &RepositoryName, facts: &mut Facts) -> Result<(), Error> {
    let (id, kind) = (AccountId(row.integer(1)?), AccountKind::read(&row.text(3)?)?);
    facts.account = Some(AccountFacts { id, kind, create_on_push: row.truth(2)? });
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
