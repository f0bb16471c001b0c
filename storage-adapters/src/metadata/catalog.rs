use std::collections::{BTreeMap, BTreeSet};

use super::database::Metadata;
use super::error::Error;
use super::name_range::{NameRange, end_of};
use super::rights::Rights;
use super::rows::PrincipalId;
use super::statement::statements;
use super::value::{json_texts, values};

/// What `repositories.public` is where a repository is public, and what it never is.
const PUBLIC_IN_ROW: i64 = 1;
const NEITHER: i64 = 2;
/// The ranges of a page that are asked for their names at once; of those after them it is looked first which hold any.
const ASKED: usize = 4;
/// The most ranges that are looked into by one statement. Each look takes twice as many as the one before, so that it costs no more
/// than the ranges that were passed.
const LOOKED_INTO: usize = 1_024;

statements! {
    PUBLIC = ["SELECT name FROM repositories WHERE public = 1 AND name >= $1 AND name < $2 ORDER BY name LIMIT $3"];
    PRIVATE = ["SELECT name FROM repositories WHERE public = 0 AND name >= $1 AND name < $2 ORDER BY name LIMIT $3"];
    RANGE = ["SELECT name FROM repositories WHERE name >= $1 AND name < $2 ORDER BY name LIMIT $3"];
    // The least name from each text on: a range that begins with that text and ends before that name holds none.
    NEXT = [
        "SELECT list.value, (SELECT r.name FROM repositories r WHERE r.name >= list.value ORDER BY r.name LIMIT 1)
           FROM " {texts 1} " AS list"
    ];
    NEXT_PRIVATE = [
        "SELECT list.value, (SELECT r.name FROM repositories r
                              WHERE r.public = 0 AND r.name >= list.value ORDER BY r.name LIMIT 1)
           FROM " {texts 1} " AS list"
    ];
    GRANTED = [
        "SELECT r.name FROM repository_grants g JOIN repositories r ON r.id = g.repository_id
          WHERE g.principal_id = $1 AND (g.rights & $2) = $2 AND r.name >= $3 AND r.name < $4 AND r.public <> $5
         UNION
         SELECT r.name FROM team_members t JOIN repository_grants g ON g.principal_id = t.team_id
           JOIN repositories r ON r.id = g.repository_id AND r.account_id = t.account_id
          WHERE t.user_id = $1 AND (g.rights & $2) = $2 AND r.name >= $3 AND r.name < $4 AND r.public <> $5
          ORDER BY name LIMIT $6"
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

/// Who may pull from a repository without being asked for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Anybody.
    Public,
    /// Nobody but who was given the right.
    Private,
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

    /// Names of repositories in byte order, within this range and of this visibility, at most `limit`. A page costs a page,
    /// what was granted on single repositories, and a look into each range that it passes (I11); a statement only each range that
    /// holds an entry of it, and some more for all the others together.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn catalog(
        &self,
        viewer: &Viewer,
        names: &NameRange,
        visibility: Option<Visibility>,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        match (viewer, visibility) {
            (Viewer::All, _) => self.of(visibility, names, limit).await,
            (Viewer::Public, Some(Visibility::Private)) => Ok(Vec::new()),
            // What is public is seen by everybody.
            (Viewer::Public, _) | (_, Some(Visibility::Public)) => {
                self.of(Some(Visibility::Public), names, limit).await
            }
            (Viewer::Principal(sight), _) => self.in_sight(sight, names, visibility, limit).await,
        }
    }

    /// Each is a range of an index of its own, so that no page passes over what it does not show.
    async fn of(&self, visibility: Option<Visibility>, names: &NameRange, limit: u32) -> Result<Vec<String>, Error> {
        let statement = match visibility {
            None => &RANGE,
            Some(Visibility::Public) => &PUBLIC,
            Some(Visibility::Private) => &PRIVATE,
        };
        let rows = self.rows(statement, values![&names.first, &names.end, i64::from(limit)]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    async fn in_sight(
        &self,
        sight: &Sight,
        names: &NameRange,
        visibility: Option<Visibility>,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        let but = visibility.map_or(NEITHER, |_| PUBLIC_IN_ROW);
        let granted = values![sight.principal, Rights::PULL.bits(), &names.first, &names.end, but, i64::from(limit)];
        let mut seen = BTreeSet::new();
        for row in self.rows(&GRANTED, granted).await? {
            seen.insert(row.text(0)?);
        }
        if visibility.is_none() {
            seen.extend(self.of(Some(Visibility::Public), names, limit).await?);
        }
        let mut ranges = sight.ranges.iter().filter_map(|(first, end)| names.and(first, end));
        let (mut left, mut taken) = (limit, ASKED);
        while left > 0 {
            let mut some: Vec<_> = ranges.by_ref().take(taken).collect();
            if some.is_empty() {
                break;
            }
            if taken > ASKED {
                some = self.inhabited(some, visibility).await?;
            }
            for range in some {
                let page = self.of(visibility, &range, left).await?;
                left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
                seen.extend(page);
                if left == 0 {
                    break;
                }
            }
            taken = LOOKED_INTO.min(taken * 2);
        }
        Ok(seen.into_iter().take(limit as usize).collect())
    }

    /// Those of the ranges that hold a name, by one statement.
    async fn inhabited(&self, ranges: Vec<NameRange>, visibility: Option<Visibility>) -> Result<Vec<NameRange>, Error> {
        let statement = if visibility.is_none() { &NEXT } else { &NEXT_PRIVATE };
        let begins = json_texts(ranges.iter().map(|range| range.first.as_str()));
        let mut next = BTreeMap::new();
        for row in self.rows(statement, values![begins.as_str()]).await? {
            if let Some(name) = row.maybe_text(1)? {
                next.insert(row.text(0)?, name);
            }
        }
        let holds = |range: &NameRange| next.get(&range.first).is_some_and(|name| *name < range.end);
        Ok(ranges.into_iter().filter(holds).collect())
    }
}

/// The ranges of names that begin with one of these texts: a text that begins with another one adds nothing.
fn ranges(prefixes: BTreeSet<String>) -> Vec<(String, String)> {
    let mut ranges: Vec<(String, String)> = Vec::new();
    for prefix in prefixes {
        let Some(end) = end_of(&prefix) else { continue };
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
