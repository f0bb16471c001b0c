//! Which workloads and certificates are which robots or users, and what other issuers' tokens were shown before.

use super::database::Metadata;
use super::error::Error;
use super::rows::PrincipalId;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

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
    SHOW = ["INSERT INTO shown_tokens (issuer, jti, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"];
    FORGET = [
        "DELETE FROM shown_tokens WHERE expires_at < $1 AND (issuer, jti) IN
           (SELECT page.issuer, page.jti FROM shown_tokens page WHERE page.expires_at < $1 LIMIT $2)"
    ];
    CERTIFICATES = [
        "SELECT id, principal_id, kind, pattern, created_at FROM certificate_rules WHERE kind = $1 AND pattern = $2"
    ];
    CERTIFICATES_OF = [
        "SELECT id, principal_id, kind, pattern, created_at FROM certificate_rules
          WHERE principal_id = $1 ORDER BY id LIMIT $2"
    ];
    INSERT_CERTIFICATE = [
        "INSERT INTO certificate_rules (id, principal_id, kind, pattern, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING"
    ];
    COUNT_CERTIFICATES = ["SELECT COUNT(*) FROM certificate_rules WHERE principal_id = $1"];
    DELETE_CERTIFICATE = ["DELETE FROM certificate_rules WHERE id = $1 AND principal_id = $2"];
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

/// Which client certificate is a user or a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// The row.
    pub id: i64,
    /// Who it is.
    pub principal: PrincipalId,
    /// Which of its names is compared: `subject`, `dns`, `uri` or `email`.
    pub kind: String,
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

    /// Who has a certificate with this name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn certificate_rule(&self, kind: &str, name: &str) -> Result<Option<CertificateRule>, Error> {
        self.row(&CERTIFICATES, values![kind, name]).await?.map(|row| certificate(&row)).transpose()
    }

    /// The certificates of a user or a robot, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn certificate_rules(&self, principal: PrincipalId) -> Result<Vec<CertificateRule>, Error> {
        let rows = self.rows(&CERTIFICATES_OF, values![principal, i64::from(RULES)]).await?;
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
        Ok(self.execute(&DELETE_RULE, values![id, principal]).await? == 1)
    }

    /// Notes that a token of another issuer was shown; `false` when it was before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn show_token(&mut self, issuer: &str, jti: &str, expires_at: i64) -> Result<bool, Error> {
        Ok(self.execute(&SHOW, values![issuer, jti, expires_at]).await? == 1)
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
        (kind, pattern): (&str, &str),
        now: i64,
    ) -> Result<Option<i64>, Error> {
        let count = self.row(&COUNT_CERTIFICATES, values![principal]).await?.map_or(Ok(0), |row| row.integer(0))?;
        if count >= i64::from(RULES) {
            return Ok(None);
        }
        let id = self.id()?;
        let added = self.execute(&INSERT_CERTIFICATE, values![id, principal, kind, pattern, now]).await?;
        Ok((added == 1).then_some(id))
    }

    /// Removes a certificate of a user or a robot; whether they had it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_certificate_rule(&mut self, id: i64, principal: PrincipalId) -> Result<bool, Error> {
        Ok(self.execute(&DELETE_CERTIFICATE, values![id, principal]).await? == 1)
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
        kind: row.text(2)?,
        pattern: row.text(3)?,
        created_at: row.integer(4)?,
    })
}
