//! A draft of a root in words: what somebody reads before they sign it.

use std::collections::BTreeSet;

use hallmark_signer::tuf::{Flaw, RootContent, RootRole};

use crate::clock::rfc3339;

const ROLES: [RootRole; 4] = [RootRole::Root, RootRole::Targets, RootRole::Snapshot, RootRole::Timestamp];

/// What a draft says, line by line, and how it differs from the root that holds.
///
/// # Errors
/// [`Flaw`], why one of them is no root.
pub(super) fn lines(draft: &[u8], holds: Option<&[u8]>) -> Result<Vec<String>, Flaw> {
    let draft = RootContent::read_draft(draft)?;
    let mut lines = vec![format!("root version {}, which holds until {}", draft.version, rfc3339(draft.expires))];
    for role in ROLES {
        let ids = draft.ids(role);
        lines.push(format!("  {}: {} of these keys must sign", role.as_str(), threshold(&draft, role)));
        lines.extend(ids.iter().map(|id| format!("    {id}")));
    }
    let Some(holds) = holds else {
        lines.push("to see what changes, name the root that holds with --current".to_owned());
        return Ok(lines);
    };
    lines.extend(differences(&RootContent::read(holds)?, &draft));
    Ok(lines)
}

fn threshold(root: &RootContent, role: RootRole) -> u64 {
    root.roles.get(&role).map_or(0, |holders| holders.threshold)
}

fn differences(holds: &RootContent, draft: &RootContent) -> Vec<String> {
    let mut lines = vec![format!("against version {}, which holds until {}:", holds.version, rfc3339(holds.expires))];
    if holds.version.checked_add(1) != Some(draft.version) {
        lines.push(format!("  version {} does not follow it", draft.version));
    }
    for role in ROLES {
        let ids = |root: &RootContent| root.ids(role).into_iter().collect::<BTreeSet<_>>();
        let (before, after) = (ids(holds), ids(draft));
        let name = role.as_str();
        lines.extend(after.difference(&before).map(|id| format!("  {name}: + {id}")));
        lines.extend(before.difference(&after).map(|id| format!("  {name}: - {id}")));
        let (from, to) = (threshold(holds, role), threshold(draft, role));
        if from != to {
            lines.push(format!("  {name}: {to} must sign where {from} had to"));
        }
    }
    if lines.len() == 1 {
        lines.push("  the same keys for every role".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use hallmark_signer::tuf::{HeldKey, with_signature};
    use serde_json::{Value, json};

    use super::*;

    /// A root of these keys for every role, but for those of `timestamp`.
    fn root(version: u64, keys: &[&HeldKey], timestamp: &HeldKey, threshold: u64) -> (Vec<u8>, Vec<String>) {
        let id = |key: &HeldKey| hallmark_signer::tuf::key_id(&key.public()).unwrap();
        let ids: Vec<String> = keys.iter().map(|key| id(key)).collect();
        let mut documents: Value =
            keys.iter().map(|key| (id(key), key.public())).collect::<serde_json::Map<_, _>>().into();
        documents[id(timestamp)] = timestamp.public();
        let role = json!({"keyids": ids, "threshold": threshold});
        let signed = json!({
            "_type": "root", "spec_version": "1.0.31", "version": version, "expires": "2030-01-01T00:00:00Z",
            "consistent_snapshot": true, "keys": documents,
            "roles": {"root": role, "targets": role, "snapshot": role,
                      "timestamp": {"keyids": [id(timestamp)], "threshold": 1}},
        });
        let mut root = json!({"signatures": [], "signed": signed}).to_string().into_bytes();
        for key in keys {
            let (id, signature) = key.sign_root(&root).unwrap();
            root = with_signature(&root, &id, &signature).unwrap();
        }
        (root, ids)
    }

    #[test]
    fn a_draft_is_told_with_its_keys_and_what_changes() {
        let keys: Vec<HeldKey> = (0..4).map(|_| HeldKey::read(&HeldKey::generate().unwrap()).unwrap()).collect();
        let (holds, before) = root(2, &[&keys[0]], &keys[3], 1);
        let (draft, after) = root(3, &[&keys[1], &keys[2]], &keys[3], 2);
        let told = lines(&draft, Some(&holds)).unwrap();
        assert_eq!(told[0], "root version 3, which holds until 2030-01-01T00:00:00Z");
        assert_eq!(told[1], "  root: 2 of these keys must sign");
        assert_eq!(told[2..4], [format!("    {}", after[0]), format!("    {}", after[1])]);
        for role in ["root", "targets", "snapshot"] {
            let expected = [
                format!("  {role}: + {}", after[0]),
                format!("  {role}: - {}", before[0]),
                format!("  {role}: 2 must sign where 1 had to"),
            ];
            assert!(expected.iter().all(|line| told.contains(line)), "{told:#?}");
        }
        assert!(!told.iter().any(|line| line.starts_with("  timestamp: +") || line.contains("does not follow")));
        let same = lines(&holds, Some(&holds)).unwrap();
        assert!(same.iter().any(|line| line.contains("does not follow")), "{same:#?}");
        assert!(lines(&draft, None).unwrap().last().unwrap().contains("--current"));
        lines(b"{}", None).unwrap_err();
        lines(&draft, Some(b"{}")).unwrap_err();
    }
}
