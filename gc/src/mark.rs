//! What may go: pure decisions on what was looked at, which a model of the registry calls too.

use hallmark_storage::metadata::{AccountSeen, BlobSeen, Graces, LinkSeen, Looked, ManifestSeen};

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// A newer request is answered when it is due; nothing is done for this one.
    Leave,
    /// It stays, and is looked at again when somebody asks.
    Keep,
    /// It is looked at again at this time, in milliseconds since the epoch.
    Later(i64),
    /// It goes.
    Take,
}

/// What becomes of what was looked at.
#[must_use]
pub fn decide(looked: &Looked, now: i64, graces: &Graces) -> Decision {
    match looked {
        Looked::Overtaken => Decision::Leave,
        Looked::Gone => Decision::Keep,
        Looked::Asleep => Decision::Later(now.saturating_add(graces.margin.max(1))),
        Looked::Manifest(seen) => manifest(seen, now, graces),
        Looked::Link(seen) => link(seen, now, graces),
        Looked::Account(seen) => account(seen),
        Looked::Blob(seen) => blob(seen),
    }
}

/// A manifest goes when what it belonged to is gone and nothing else keeps it. Without a tag alone it stays: it may have been
/// pushed by digest, and be pulled by it. One that is held comes up again: who releases it does not know what it belonged to.
#[must_use]
pub fn manifest(seen: &ManifestSeen, now: i64, graces: &Graces) -> Decision {
    if !seen.orphaned || seen.tagged || seen.has_parent || seen.has_subject {
        return Decision::Keep;
    }
    if seen.held {
        return Decision::Later(now.saturating_add(graces.margin.max(1)));
    }
    when_old(seen.touched_at, now, graces)
}

/// A link goes when no manifest names it, and whoever saw it while it was shown has had time to put one.
#[must_use]
pub fn link(seen: &LinkSeen, now: i64, graces: &Graces) -> Decision {
    if seen.named { Decision::Keep } else { when_old(seen.touched_at, now, graces) }
}

/// An account lets go of a blob that neither its repositories nor its trash name.
#[must_use]
pub fn account(seen: &AccountSeen) -> Decision {
    if seen.linked || seen.in_trash { Decision::Keep } else { Decision::Take }
}

/// The store lets go of a blob that no account has.
#[must_use]
pub fn blob(seen: &BlobSeen) -> Decision {
    if seen.held { Decision::Keep } else { Decision::Take }
}

/// Bytes go when neither a blob nor an upload has their key: the last look before they do. That something has it is a defect.
#[must_use]
pub fn key(is_named: bool) -> Decision {
    if is_named { Decision::Leave } else { Decision::Take }
}

fn when_old(touched_at: i64, now: i64, graces: &Graces) -> Decision {
    let old_at = touched_at.saturating_add(graces.shown).saturating_add(graces.margin);
    if old_at <= now { Decision::Take } else { Decision::Later(old_at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACES: Graces = Graces { shown: 10, margin: 5, bytes: 100, window: 1_000 };

    #[test]
    fn a_link_goes_when_it_faded_and_the_margin_is_over() {
        let seen = |named, touched_at| LinkSeen { named, touched_at };
        assert_eq!(link(&seen(true, 0), 1_000, &GRACES), Decision::Keep);
        assert_eq!(link(&seen(false, 100), 114, &GRACES), Decision::Later(115));
        assert_eq!(link(&seen(false, 100), 115, &GRACES), Decision::Take);
    }

    #[test]
    fn an_untagged_manifest_stays_unless_what_it_belonged_to_went() {
        let orphan = ManifestSeen { orphaned: true, ..ManifestSeen::default() };
        assert_eq!(manifest(&orphan, 15, &GRACES), Decision::Take);
        assert_eq!(manifest(&orphan, 14, &GRACES), Decision::Later(15));
        for kept in [
            ManifestSeen::default(),
            ManifestSeen { tagged: true, ..orphan },
            ManifestSeen { has_parent: true, ..orphan },
            ManifestSeen { has_subject: true, ..orphan },
            ManifestSeen { held: true, ..ManifestSeen::default() },
        ] {
            assert_eq!(manifest(&kept, 1_000, &GRACES), Decision::Keep, "{kept:?}");
        }
        let held = ManifestSeen { held: true, ..orphan };
        assert_eq!(manifest(&held, 1_000, &GRACES), Decision::Later(1_005), "until it is released");
    }

    #[test]
    fn a_blob_goes_when_nobody_has_it() {
        assert_eq!(account(&AccountSeen { linked: true, in_trash: false }), Decision::Keep);
        assert_eq!(account(&AccountSeen { linked: false, in_trash: true }), Decision::Keep);
        assert_eq!(account(&AccountSeen::default()), Decision::Take);
        assert_eq!(blob(&BlobSeen { held: true }), Decision::Keep);
        assert_eq!(blob(&BlobSeen::default()), Decision::Take);
    }

    #[test]
    fn what_was_overtaken_is_left_and_what_sleeps_waits() {
        assert_eq!(decide(&Looked::Overtaken, 0, &GRACES), Decision::Leave);
        assert_eq!(decide(&Looked::Gone, 0, &GRACES), Decision::Keep);
        assert_eq!(decide(&Looked::Asleep, 7, &GRACES), Decision::Later(12));
    }
}
