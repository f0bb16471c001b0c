use std::collections::BTreeSet;

use super::database::Metadata;
use super::error::Error;
use super::rights::Rights;
use super::rows::PrincipalId;
use super::statement::statements;
use super::value::values;

statements! {
    ALL_NAMES = ["SELECT name FROM repositories WHERE name > $1 ORDER BY name LIMIT $2"];
    PUBLIC = ["SELECT name FROM repositories WHERE public = 1 AND name > $1 ORDER BY name LIMIT $2"];
    RANGE = ["SELECT name FROM repositories WHERE name >= $1 AND name < $2 ORDER BY name LIMIT $3"];
    GRANTED = [
        "SELECT r.name FROM repository_grants g JOIN repositories r ON r.id = g.repository_id
          WHERE g.principal_id = $1 AND (g.rights & $2) = $2 AND r.name > $3
         UNION
         SELECT r.name FROM team_members t JOIN repository_grants g ON g.principal_id = t.team_id
           JOIN repositories r ON r.id = g.repository_id AND r.account_id = t.account_id
          WHERE t.user_id = $1 AND (g.rights & $2) = $2 AND r.name > $3
          ORDER BY name LIMIT $4"
    ];
    PREFIXES = [
        "SELECT a.name || '/' FROM users u JOIN accounts a ON a.id = u.account_id WHERE u.principal_id = $1
         UNION ALL
         SELECT a.name || '/' FROM members m JOIN accounts a ON a.id = m.account_id WHERE m.user_id = $1 AND m.owner = 1
         UNION ALL
         SELECT g.prefix FROM prefix_grants g WHERE g.principal_id = $1 AND (g.rights & $2) = $2
         UNION ALL
         SELECT g.prefix FROM team_members t
           JOIN prefix_grants g ON g.principal_id = t.team_id AND g.account_id = t.account_id
          WHERE t.user_id = $1 AND (g.rights & $2) = $2"
    ];
}

/// Whose eyes see a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A system administrator's or auditor's: everything.
    All,
    /// A principal's: what is theirs, what was granted to them, and what is public.
    Principal(Sight),
    /// Anybody's: the public ones.
    Public,
}

/// The part of the names that a principal sees: ranges that neither overlap nor touch, ascending, and what was granted to
/// them on single repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    principal: PrincipalId,
    /// From the first name, inclusive, to the second, exclusive.
    ranges: Vec<(String, String)>,
}

impl Metadata {
    /// What part of the names a principal sees.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sight(&self, principal: PrincipalId) -> Result<Sight, Error> {
        let rows = self.rows(&PREFIXES, values![principal, Rights::PULL.bits()]).await?;
        let prefixes = rows.iter().map(|row| row.text(0)).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(Sight { principal, ranges: ranges(prefixes) })
    }

    /// Names of repositories in byte order, after this one, at most `limit`. A page costs a page, and a look into each
    /// range that it passes (I11).
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn catalog(&self, viewer: &Viewer, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let after = after.unwrap_or_default();
        let rows = match viewer {
            Viewer::All => self.rows(&ALL_NAMES, values![after, i64::from(limit)]).await?,
            Viewer::Public => self.rows(&PUBLIC, values![after, i64::from(limit)]).await?,
            Viewer::Principal(sight) => return self.in_sight(sight, after, limit).await,
        };
        rows.iter().map(|row| row.text(0)).collect()
    }

    async fn in_sight(&self, sight: &Sight, after: &str, limit: u32) -> Result<Vec<String>, Error> {
        let (whole, mut names) = (limit as usize, BTreeSet::new());
        let granted = values![sight.principal, Rights::PULL.bits(), after, i64::from(limit)];
        let mut rows = self.rows(&GRANTED, granted).await?;
        rows.extend(self.rows(&PUBLIC, values![after, i64::from(limit)]).await?);
        for row in &rows {
            names.insert(row.text(0)?);
        }
        // The least text after this one that a name can be.
        let next = format!("{after}\u{1}");
        let mut left = whole;
        for (first, end) in sight.ranges.iter().filter(|(_, end)| *end > next) {
            if left == 0 {
                break;
            }
            let first = if *first > next { first } else { &next };
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            let page = self.rows(&RANGE, values![first, end, limit]).await?;
            left -= page.len().min(left);
            for row in &page {
                names.insert(row.text(0)?);
            }
        }
        Ok(names.into_iter().take(whole).collect())
    }
}

/// The ranges of names that begin with one of these texts: a text that begins with another one adds nothing. Names are
/// ASCII below its last character, so the text after all that begin with a prefix is the prefix with its last byte raised.
fn ranges(prefixes: BTreeSet<String>) -> Vec<(String, String)> {
    let mut ranges: Vec<(String, String)> = Vec::new();
    for prefix in prefixes {
        let mut end = prefix.clone().into_bytes();
        let Some(last) = end.last_mut().filter(|last| last.is_ascii() && **last < 0x7f) else { continue };
        *last += 1;
        let Ok(end) = String::from_utf8(end) else { continue };
        match ranges.last_mut() {
            Some((_, before)) if prefix < *before => {}
            Some((_, before)) if prefix == *before => *before = end,
            _ => ranges.push((prefix, end)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_neither_overlap_nor_touch() {
        let of = |prefixes: &[&str]| ranges(prefixes.iter().map(|&prefix| prefix.to_owned()).collect());
        let pair = |first: &str, end: &str| (first.to_owned(), end.to_owned());
        assert_eq!(of(&["acme/"]), [pair("acme/", "acme0")]);
        assert_eq!(of(&["acme/", "acme/web-", "acme/web/"]), [pair("acme/", "acme0")]);
        assert_eq!(of(&["acme/web-", "b/"]), [pair("acme/web-", "acme/web."), pair("b/", "b0")]);
        assert_eq!(of(&["acme/a", "acme/b", "acme/d"]), [pair("acme/a", "acme/c"), pair("acme/d", "acme/e")]);
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[""]), []);
    }
}
