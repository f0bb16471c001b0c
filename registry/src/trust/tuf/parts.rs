//! A publish of very many tags, in parts: what is sent to a signer and what it answers has a bound, and what a repository names has
//! none. Each part rests on the one before it, and only the last of them is ever seen.

use std::collections::BTreeMap;

use hallmark_signer::tuf::{Files, Standing, Target, naming, needed};
use hallmark_signer::{TufChange, TufMode};

use super::TufError;
use crate::app::App;

/// How many tags one part changes.
const TAGS: usize = 40_000;
/// How many roles that stand one part changes: a role names two thousand tags at most.
const ROLES: usize = 24;

/// How many bytes one part may come to, asked or answered: one message has 32 MiB, and the heads of a repository want some of them.
const BYTES: usize = 30 * 1024 * 1024;
/// What an entry of a file has beside what is said of a tag in a change.
const ENTRY: usize = 200;

/// What each tag means from now on.
type Changes = BTreeMap<String, Option<Target>>;

/// What was signed.
pub(super) struct Made {
    /// Each role's file, with its version; the timestamp last.
    pub(super) files: Vec<(String, u64, Vec<u8>)>,
    /// When the timestamp expires, in milliseconds since 1970.
    pub(super) expires: i64,
}

/// Lets a change be signed, in as many parts as it takes; `None` when it changes nothing.
///
/// # Errors
/// [`TufError::Signer`]; nothing is published then.
pub(super) async fn sign(app: &App, mut change: TufChange, now: i64) -> Result<Option<Made>, TufError> {
    let mut roles = BTreeMap::new();
    let mut expires = None;
    let (parts, standing) = match change.standing.as_ref().filter(|_| change.mode != TufMode::Anew) {
        Some(standing) => (parts(&standing.snapshot, &change, ROLES)?, change.standing.clone()),
        None => (Vec::new(), None),
    };
    let is_small = change.changes.len() <= TAGS && bytes(&change, None, &change.changes) <= BYTES;
    let is_one = if standing.is_some() { parts.len() <= 1 } else { is_small };
    if is_one {
        let made = app.signer.publish(change, now).await?;
        expires = made.map(|made| take(&mut roles, made));
        return Ok(expires.map(|expires| made_of(roles, expires)));
    }
    let all = std::mem::take(&mut change.changes);
    let parts = if standing.is_some() {
        parts
    } else {
        // First every role, none of which names anything yet.
        let first = TufChange { expected: all.len() as u64, ..change.clone() };
        let made = app.signer.publish(first, now).await?.ok_or(TufError::Damaged)?;
        expires = Some(take(&mut roles, made));
        (change.mode, change.expected) = (TufMode::Upon, all.len() as u64);
        let snapshot = roles.get("snapshot").map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        self::parts(&snapshot, &TufChange { changes: all, ..change.clone() }, usize::MAX)?
    };
    for changes in parts {
        let standing = stands(&roles, standing.as_ref(), (&change.repository, &changes))?;
        let part = TufChange { standing: Some(standing), changes, ..change.clone() };
        if let Some(made) = app.signer.publish(part, now).await? {
            expires = Some(take(&mut roles, made));
        }
    }
    Ok(expires.map(|expires| made_of(roles, expires)))
}

/// Puts what was signed in the place of what was signed before; when it expires.
fn take(roles: &mut BTreeMap<String, (u64, Vec<u8>)>, made: Files) -> i64 {
    let version = made.version;
    roles.extend(made.files.into_iter().map(|(role, bytes)| (role, (version, bytes))));
    made.expires
}

fn made_of(roles: BTreeMap<String, (u64, Vec<u8>)>, expires: i64) -> Made {
    let mut files: Vec<_> = roles.into_iter().map(|(role, (version, bytes))| (role, version, bytes)).collect();
    files.sort_by_key(|(role, ..)| ["snapshot", "timestamp"].iter().position(|last| last == role));
    Made { files, expires }
}

/// What a part rests on: what was signed already, and of the rest what stood before.
fn stands(
    roles: &BTreeMap<String, (u64, Vec<u8>)>,
    before: Option<&Standing>,
    (repository, changes): (&str, &Changes),
) -> Result<Standing, TufError> {
    let signed = |role: &str| roles.get(role).map(|(_, bytes)| bytes.clone());
    let snapshot = signed("snapshot").or_else(|| before.map(|before| before.snapshot.clone()));
    let snapshot = snapshot.ok_or(TufError::Damaged)?;
    let needed = needed(&snapshot, repository, changes.keys().map(String::as_str)).map_err(refused)?;
    let file = |role: String| {
        let bytes = signed(&role).or_else(|| before?.files.get(&role).cloned())?;
        Some((role, bytes))
    };
    let files = needed.into_iter().filter_map(file).collect();
    Ok(Standing { snapshot, files })
}

/// The parts of a change, each of whole roles: at most so many of them, and so many tags and bytes as long as one role has no more.
fn parts(snapshot: &[u8], change: &TufChange, most_roles: usize) -> Result<Vec<Changes>, TufError> {
    let tags = change.changes.keys().map(String::as_str);
    let Ok(named) = naming(snapshot, &change.repository, tags) else {
        // The signer says what is to be done with what cannot be read.
        return Ok(vec![change.changes.clone()]);
    };
    let mut by_role: BTreeMap<String, Changes> = BTreeMap::new();
    for (role, (tag, target)) in named.into_iter().zip(change.changes.clone()) {
        by_role.entry(role).or_default().insert(tag, target);
    }
    let with_bytes = by_role.into_iter().map(|(role, changes)| (bytes(change, Some(&role), &changes), changes));
    Ok(joined(with_bytes, (most_roles, TAGS, BYTES)))
}

/// What a signer answers to these changes of a role, at most and in base64; what it is asked is no longer.
fn bytes(change: &TufChange, role: Option<&str>, changes: &Changes) -> usize {
    let stands = role.and_then(|role| change.standing.as_ref()?.files.get(role)).map_or(0, Vec::len);
    let said = |(tag, target): (&String, &Option<Target>)| {
        let target = target.as_ref().map_or(0, |target| serde_json::to_vec(target).map_or(0, |bytes| bytes.len()));
        tag.len() + target + change.repository.len() + ENTRY
    };
    (stands + changes.iter().map(said).sum::<usize>()).div_ceil(3) * 4
}

/// Puts roles, each with its bytes, together to parts within these bounds: roles, tags and bytes.
fn joined(roles: impl Iterator<Item = (usize, Changes)>, most: (usize, usize, usize)) -> Vec<Changes> {
    let (mut parts, mut roles_in, mut bytes_in): (Vec<Changes>, usize, usize) = (Vec::new(), 0, 0);
    for (bytes, changes) in roles {
        let fits = |last: &Changes| {
            roles_in < most.0 && last.len() + changes.len() <= most.1 && bytes_in.saturating_add(bytes) <= most.2
        };
        match parts.last_mut() {
            Some(last) if fits(last) => {
                last.extend(changes);
                (roles_in, bytes_in) = (roles_in + 1, bytes_in + bytes);
            }
            _ => {
                parts.push(changes);
                (roles_in, bytes_in) = (1, bytes);
            }
        }
    }
    parts
}

fn refused(error: hallmark_signer::tuf::BuildError) -> TufError {
    TufError::Signer(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_roles_within_all_bounds() {
        let role =
            |name: &str, tags: usize| -> Changes { (0..tags).map(|tag| (format!("{name}{tag}"), None)).collect() };
        let roles = [("a", 3), ("b", 3), ("c", 5), ("d", 9), ("e", 1), ("f", 1), ("g", 1), ("h", 1)];
        let parts = joined(roles.into_iter().map(|(name, tags)| (1, role(name, tags))), (3, 6, 99));
        assert_eq!(parts.iter().map(BTreeMap::len).collect::<Vec<_>>(), [6, 5, 9, 3, 1]);
        assert_eq!(parts.iter().flatten().count(), 24);
        let heavy = [("a", 40), ("b", 40), ("c", 21), ("d", 101), ("e", 1)];
        let parts = joined(heavy.into_iter().map(|(name, bytes)| (bytes, role(name, 1))), (9, 9, 100));
        assert_eq!(parts.iter().map(BTreeMap::len).collect::<Vec<_>>(), [2, 1, 1, 1]);
    }
}
