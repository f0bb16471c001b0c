//! Which workloads and certificates are which robots or users, and what other issuers' tokens were shown before.

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::rows::PrincipalId;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_texts, values};

statements! {
    RULES_OF = [
        "SELECT id, principal_id, issuer, audience, claims, created_at FROM workload_rules
          WHERE principal_id = $1 ORDER BY id LIMIT $2"
    ];
    INSERT_RULE = [
        "INSERT INTO workload_rules (id, principal_id, issuer, audience, claims, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)"
    ];
    COUNT_RULES = ["SELECT COUNT(*) FROM workload_rules WHERE principal_id = $1"];
    DELETE_RULE = ["DELETE FROM workload_rules WHERE id = $1 AND principal_id = $2"];
    SHOW = [
        "INSERT INTO shown_tokens (issuer, jti, shown_by, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    ];
    SHOWN = ["SELECT shown_by FROM shown_tokens WHERE issuer = $1 AND jti = $2"];
    FORGET = [
        "DELETE FROM shown_tokens WHERE expires_at < $1 AND (issuer, jti) IN
           (SELECT page.issuer, page.jti FROM shown_tokens page WHERE page.expires_at < $1 LIMIT $2)"
    ];
    CERTIFICATES = [
        "SELECT id, principal_id, kind, pattern, created_at FROM certificate_rules WHERE kind = $1 AND pattern"
        {in texts 2}
    ];
    CERTIFICATE_PAGE = [
        "SELECT id, principal_id, kind, pattern, created_at FROM certificate_rules WHERE id > $1 ORDER BY id LIMIT $2"
    ];
    INSERT_CERTIFICATE = [
        "INSERT INTO certificate_rules (id, principal_id, kind, pattern, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING"
    ];
    COUNT_CERTIFICATES = ["SELECT COUNT(*) FROM certificate_rules WHERE principal_id = $1"];
    CERTIFICATE_OF = ["SELECT principal_id FROM certificate_rules WHERE id = $1"];
    DELETE_CERTIFICATE = ["DELETE FROM certificate_rules WHERE id = $1"];
}

/// How many rules one robot may have: all of them are read when it signs in. As many certificates somebody may have.
pub const RULES: u32 = 64;

/// Which workload of an issuer is a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRule {
    /// The row.
    pub id: i64,
    /// The robot.
    pub principal: PrincipalId,
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The audience that its tokens must name.
    pub audience: String,
    /// The claims that its tokens must have, as JSON.
    pub claims: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// Which name of a certificate is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// Its subject.
    Subject,
    /// A host's name among its alternative names.
    Dns,
    /// A URI among its alternative names.
    Uri,
    /// An address among its alternative names.
    Email,
}

impl CertificateKind {
    /// As a row holds it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
        }
    }
}

impl std::str::FromStr for CertificateKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Subject, Self::Dns, Self::Uri, Self::Email].into_iter().find(|kind| kind.word() == text).ok_or(())
    }
}

/// Which client certificate is a user or a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// The row.
    pub id: i64,
    /// Who it is.
    pub principal: PrincipalId,
    /// Which of its names is compared.
    pub kind: CertificateKind,
    /// What it must be.
    pub pattern: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

impl Metadata {
    /// The rules of a robot, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn workload_rules(&self, principal: PrincipalId) -> Result<Vec<WorkloadRule>, Error> {
        self.rows(&RULES_OF, values![principal, i64::from(RULES)]).await?.iter().map(rule).collect()
    }

    /// The rules of this kind that say one of these patterns.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn certificate_rules_for(
        &self,
        kind: CertificateKind,
        patterns: &[String],
    ) -> Result<Vec<CertificateRule>, Error> {
        let patterns = json_texts(patterns.iter().map(String::as_str));
        self.rows(&CERTIFICATES, values![kind.word(), &patterns]).await?.iter().map(certificate).collect()
    }

    /// Rules about certificates after this one, at most `limit`, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn certificate_rules(&self, after: i64, limit: u32) -> Result<Vec<CertificateRule>, Error> {
        let rows = self.rows(&CERTIFICATE_PAGE, values![after, i64::from(limit)]).await?;
        rows.iter().map(certificate).collect()
    }
}

impl Tx {
    /// Adds a rule to a robot, which is held; its id, or `None` when it has [`RULES`] already.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_workload_rule(
        &mut self,
        principal: PrincipalId,
        (issuer, audience, claims): (&str, &str, &str),
        now: i64,
    ) -> Result<Option<i64>, Error> {
        let count = self.row(&COUNT_RULES, values![principal]).await?.map_or(Ok(0), |row| row.integer(0))?;
        if count >= i64::from(RULES) {
            return Ok(None);
        }
        let id = self.id()?;
        self.execute(&INSERT_RULE, values![id, principal, issuer, audience, claims, now]).await?;
        Ok(Some(id))
    }

    /// Removes a rule of a robot; whether it had it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_workload_rule(&mut self, id: i64, principal: PrincipalId) -> Result<bool, Error> {
        let removed = self.execute(&DELETE_RULE, values![id, principal]).await? == 1;
        if removed {
            self.void_bearer_tokens(principal).await?;
        }
        Ok(removed)
    }

    /// Notes that a token of another issuer was shown by somebody; `false` when somebody else showed it before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn show_token(&mut self, (issuer, jti): (&str, &str), by: &str, expires_at: i64) -> Result<bool, Error> {
        if self.execute(&SHOW, values![issuer, jti, by, expires_at]).await? == 1 {
            return Ok(true);
        }
        let before = self.row(&SHOWN, values![issuer, jti]).await?;
        before.map_or(Ok(false), |row| Ok(row.text(0)? == by))
    }

    /// Forgets tokens that expired before this time, at most `limit`; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_shown_tokens(&mut self, before: i64, limit: u32) -> Result<u64, Error> {
        self.execute(&FORGET, values![before, i64::from(limit)]).await
    }

    /// Says whose certificate it is that has this name, for somebody who is held; `None` when it is somebody's already, or
    /// they have [`RULES`].
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_certificate_rule(
        &mut self,
        principal: PrincipalId,
        (kind, pattern): (CertificateKind, &str),
        now: i64,
    ) -> Result<Option<i64>, Error> {
        let count = self.row(&COUNT_CERTIFICATES, values![principal]).await?.map_or(Ok(0), |row| row.integer(0))?;
        if count >= i64::from(RULES) {
            return Ok(None);
        }
        let id = self.id()?;
        let added = self.execute(&INSERT_CERTIFICATE, values![id, principal, kind.word(), pattern, now]).await?;
        Ok((added == 1).then_some(id))
    }

    /// Removes a rule about certificates, and voids the bearer tokens of whom it named; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_certificate_rule(&mut self, id: i64) -> Result<bool, Error> {
        let Some(row) = self.row(&CERTIFICATE_OF, values![id]).await? else { return Ok(false) };
        // The principal before the rule, as whoever adds one holds them.
        self.void_bearer_tokens(PrincipalId(row.integer(0)?)).await?;
        Ok(self.execute(&DELETE_CERTIFICATE, values![id]).await? == 1)
    }
}

fn rule(row: &Row) -> Result<WorkloadRule, Error> {
    Ok(WorkloadRule {
        id: row.integer(0)?,
        principal: PrincipalId(row.integer(1)?),
        issuer: row.text(2)?,
        audience: row.text(3)?,
        claims: row.text(4)?,
        created_at: row.integer(5)?,
    })
}

fn certificate(row: &Row) -> Result<CertificateRule, Error> {
    Ok(CertificateRule {
        id: row.integer(0)?,
        principal: PrincipalId(row.integer(1)?),
        kind: row.text(2)?.parse().map_err(|()| Error::new(ErrorKind::Corrupt, "certificate_rules.kind"))?,
        pattern: row.text(3)?,
        created_at: row.integer(4)?,
    })
}
