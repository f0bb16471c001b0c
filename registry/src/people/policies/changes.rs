//! What is told of rules that changed: which, and not all that they say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{PolicyBody, RetentionRule};

/// The longest name of a rule that is told, in bytes; a policy has 32 rules at most.
const NAME_BYTES: usize = 64;

/// The payload of the event: whether the tags that do not move are others, and the names of retention rules that were added, removed,
/// or say something else now.
pub(super) fn told(before: &PolicyBody, now: &PolicyBody) -> String {
    let (old, new) = (rules(before), rules(now));
    let only = |these: &Rules<'_>, those: &Rules<'_>| -> BTreeSet<String> {
        these.keys().filter(|name| !those.contains_key(*name)).map(|name| short(name)).collect()
    };
    let is_other = |(name, rules): &(&&str, &Vec<&RetentionRule>)| old.get(**name).is_some_and(|old| old != *rules);
    let changed: BTreeSet<String> = new.iter().filter(is_other).map(|(name, _)| short(name)).collect();
    json!({
        "immutable": before.immutable != now.immutable,
        "added": only(&new, &old),
        "removed": only(&old, &new),
        "changed": changed,
    })
    .to_string()
}

/// By their names, which several may share.
type Rules<'a> = BTreeMap<&'a str, Vec<&'a RetentionRule>>;

fn rules(policy: &PolicyBody) -> Rules<'_> {
    let mut rules = Rules::new();
    for rule in policy.retention.iter().flat_map(|retention| &retention.rules) {
        rules.entry(&rule.name).or_default().push(rule);
    }
    rules
}

/// A name as it is told: short, and without what a terminal would obey.
fn short(name: &str) -> String {
    let mut name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    name.truncate((0..=NAME_BYTES).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: serde_json::Value) -> PolicyBody {
        serde_json::from_value(json!({"retention": {"rules": rules}})).unwrap()
    }

    #[test]
    fn what_changed_is_told_by_name_and_in_short() {
        let rule = |name: &str, days: u32| json!({"name": name, "do": "keep", "when": {"pushed_within_days": days}});
        let before = policy(json!([rule("same", 1), rule("other", 1), rule("old", 1), rule("twice", 1)]));
        let long = "\"\n".repeat(500);
        let mut now =
            policy(json!([rule("twice", 1), rule("twice", 2), rule(&long, 1), rule("other", 2), rule("same", 1)]));
        let payload: serde_json::Value = serde_json::from_str(&told(&before, &now)).unwrap();
        let expected = json!({"immutable": false, "added": ["\"".repeat(NAME_BYTES)], "removed": ["old"],
            "changed": ["other", "twice"]});
        assert_eq!(payload, expected);
        now.immutable.tags.push("v*".to_owned());
        let of_all = told(&PolicyBody::default(), &now);
        assert!(of_all.contains(r#""immutable":true"#) && of_all.contains(r#""same""#), "{of_all}");
        let many: Vec<_> = (0..32).map(|number| rule(&format!("{number:02}{long}"), 1)).collect();
        let others: Vec<_> = (32..64).map(|number| rule(&format!("{number:02}{long}"), 1)).collect();
        assert!(told(&policy(json!(many)), &policy(json!(others))).len() < 10 * 1024);
    }
}
