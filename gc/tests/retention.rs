//! What goes by rule, against a model that looks at everything again for every question.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hallmark_gc::retention::{
    Action, Condition, Image, Newest, NewestVersions, Per, Refers, Retention, Rule, UNWRITTEN, Victim,
};
use proptest::prelude::*;

const DAY: i64 = 24 * 60 * 60 * 1_000;
const NOW: i64 = 1_800_000_000_000;
const TAGS: [&str; 10] = ["1.0.0", "1.0.1", "1.1.0", "2.0.0-rc.1", "2.0.0", "latest", "dev", "main", "1", "1.0"];

/// What a condition counts.
fn counts(condition: &Condition) -> Vec<&Condition> {
    match condition {
        Condition::All(all) | Condition::Any(all) => all.iter().flat_map(counts).collect(),
        Condition::Not(one) => counts(one),
        Condition::Newest(_) | Condition::NewestVersions(_) => vec![condition],
        _ => Vec::new(),
    }
}

/// What goes.
fn decide(retention: &Retention, images: &[Image], now: i64, stays: impl Fn(&str) -> bool) -> Vec<Victim> {
    hallmark_gc::retention::decide(retention, images, now, stays).victims
}

fn condition() -> impl Strategy<Value = Condition> {
    let pattern = prop::sample::select(vec!["*", "1.*", "re:\\d.*", "latest"]).prop_map(str::to_owned);
    let per = prop::sample::select(vec![Per::Repository, Per::Major, Per::Minor]);
    let leaf = prop_oneof![
        pattern.clone().prop_map(Condition::Tag),
        any::<bool>().prop_map(Condition::Untagged),
        (0..6_u32).prop_map(Condition::PushedWithinDays),
        (0..6_u32).prop_map(Condition::PulledWithinDays),
        (0..4_u32, pattern.clone()).prop_map(|(count, tags)| Condition::Newest(Newest { count, tags })),
        (0..3_u32, per, pattern).prop_map(|(count, per, tags)| Condition::NewestVersions(NewestVersions {
            count,
            per,
            tags
        })),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

fn retention() -> impl Strategy<Value = Retention> {
    let rule = (condition(), any::<bool>(), 0..100_u8).prop_map(|(when, keep, name)| Rule {
        name: name.to_string(),
        action: if keep { Action::Keep } else { Action::Remove },
        when,
    });
    prop::collection::vec(rule, 0..4).prop_map(|rules| Retention { rules })
}

fn images() -> impl Strategy<Value = Vec<Image>> {
    let image = (0..6_i64, prop::option::of(0..6_i64), prop::collection::vec(0..9_usize, 0..3), 0..10_u8);
    (prop::collection::vec(image, 0..8), prop::collection::vec(0..9_i64, 10)).prop_map(|(images, places)| {
        let mut world = Vec::new();
        for (number, (pushed, pulled, children, kind)) in images.into_iter().enumerate() {
            // An index names what was there before it.
            let mut children: Vec<i64> =
                children.into_iter().filter(|child| *child < number).map(|at| at as i64).collect();
            children.dedup();
            world.push(Image {
                id: number as i64,
                pushed_at: NOW - pushed * DAY,
                pulled_at: pulled.map(|days| NOW - days * DAY),
                children,
                refers: match kind {
                    0 => Refers::Here,
                    2 => Refers::Away,
                    _ => Refers::Nothing,
                },
                held: kind == 1,
                ..Image::default()
            });
        }
        for (tag, place) in TAGS.iter().zip(places) {
            if let Some(image) = usize::try_from(place).ok().and_then(|place| world.get_mut(place)) {
                image.tags.push(((*tag).to_owned(), NOW - place * DAY / 2));
            }
        }
        world
    })
}

/// The whole world, asked one question at a time.
struct Naive<'a> {
    images: &'a [Image],
}

impl Naive<'_> {
    fn tags(&self) -> Vec<(String, i64)> {
        self.images.iter().filter(|image| image.refers != Refers::Here).flat_map(|image| image.tags.clone()).collect()
    }

    fn is_like(pattern: &str, tag: &str) -> bool {
        match pattern {
            "*" => true,
            "1.*" => tag.starts_with("1."),
            "re:\\d.*" => tag.starts_with(|first: char| first.is_ascii_digit()),
            other => other == tag,
        }
    }

    fn holds(&self, condition: &Condition, image: &Image, tag: Option<&(String, i64)>) -> bool {
        match condition {
            Condition::All(all) => !all.iter().any(|one| !self.holds(one, image, tag)),
            Condition::Any(any) => any.iter().any(|one| self.holds(one, image, tag)),
            Condition::Not(one) => !self.holds(one, image, tag),
            Condition::Tag(pattern) => tag.is_some_and(|(tag, _)| Self::is_like(pattern, tag)),
            Condition::Untagged(untagged) => *untagged == tag.is_none(),
            Condition::PushedWithinDays(days) => {
                let young = |at: i64| NOW - at < i64::from(*days) * DAY;
                young(image.pushed_at) || tag.is_some_and(|(_, at)| young(*at))
            }
            Condition::PulledWithinDays(days) => {
                let below = self.images.iter().filter(|child| image.children.contains(&child.id));
                let days = i64::from(*days) * DAY + UNWRITTEN;
                let late = |image: &Image| image.pulled_at.is_none_or(|at| NOW - at < days);
                late(image) || below.into_iter().any(late)
            }
            Condition::Newest(Newest { count, tags }) => tag.is_some_and(|(tag, at)| {
                let newer = |other: &&(String, i64)| (other.1, &other.0) > (*at, tag) && Self::is_like(tags, &other.0);
                Self::is_like(tags, tag) && self.tags().iter().filter(newer).count() < *count as usize
            }),
            Condition::NewestVersions(NewestVersions { count, per, tags }) => tag.is_some_and(|(tag, _)| {
                // The list of tags begins with the versions in their order.
                let place = |tag: &str| TAGS[..5].iter().position(|version| *version == tag);
                let group = |tag: &str| match per {
                    Per::Repository => String::new(),
                    Per::Major => tag[..1].to_owned(),
                    Per::Minor => tag[..3].to_owned(),
                };
                if ["1", "1.0"].contains(&tag.as_str()) {
                    let is_kept = |other: &&(String, i64)| self.holds(condition, image, Some(other));
                    let versions = image.tags.iter().filter(|(other, _)| place(other).is_some());
                    return Self::is_like(tags, tag) && versions.into_iter().any(|other| is_kept(&other));
                }
                let newer = |other: &&(String, i64)| {
                    place(&other.0) > place(tag) && group(&other.0) == group(tag) && Self::is_like(tags, &other.0)
                };
                place(tag).is_some()
                    && Self::is_like(tags, tag)
                    && self.tags().iter().filter(newer).count() < *count as usize
            }),
        }
    }

    fn goes(&self, rules: &[Rule], image: &Image, tag: Option<&(String, i64)>) -> bool {
        let says = |action| rules.iter().any(|rule| rule.action == action && self.holds(&rule.when, image, tag));
        says(Action::Remove) && !says(Action::Keep)
    }

    fn parents(&self, id: i64) -> Vec<&Image> {
        self.images.iter().filter(|parent| parent.children.contains(&id)).collect()
    }

    fn goes_whole(&self, rules: &[Rule], image: &Image) -> bool {
        let judged = if image.tags.is_empty() {
            let is_old = NOW - image.pushed_at >= DAY;
            let is_alone = image.refers == Refers::Nothing && self.parents(image.id).is_empty();
            is_old && is_alone && self.goes(rules, image, None)
        } else {
            image.tags.iter().all(|tag| self.goes(rules, image, Some(tag)))
        };
        judged
            && image.refers != Refers::Here
            && !image.held
            && self.parents(image.id).iter().all(|parent| self.goes_whole(rules, parent))
    }

    fn victims(&self, rules: &[Rule]) -> Vec<(i64, Vec<String>, bool)> {
        let judged = self.images.iter().filter(|image| image.refers != Refers::Here);
        let victims = judged.map(|image| {
            let tags = image.tags.iter().filter(|tag| self.goes(rules, image, Some(tag)));
            let tags: Vec<String> = tags.map(|(tag, _)| tag.clone()).collect();
            (image.id, tags, self.goes_whole(rules, image))
        });
        victims.filter(|(_, tags, whole)| *whole || !tags.is_empty()).collect()
    }
}

/// By the numbers of the images.
fn told(mut victims: Vec<Victim>) -> Vec<(i64, Vec<String>, bool)> {
    victims.sort_by_key(|victim| victim.image);
    victims.into_iter().map(|victim| (victim.image, victim.tags, victim.whole)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_is_what_a_plain_look_says(retention in retention(), images in images()) {
        let decided = told(decide(&retention, &images, NOW, |_| false));
        prop_assert_eq!(decided, Naive { images: &images }.victims(&retention.rules));
    }

    /// Whatever happens beside the tags that were counted as the newest where one was weighed that goes, and beside what goes, it is
    /// none of the newest by then.
    #[test]
    fn what_goes_is_not_among_the_newest_while_those_that_were_are_there(
        retention in retention(),
        images in images(),
        gone in prop::collection::btree_set(prop::sample::select(TAGS.to_vec()), 0..10),
    ) {
        let decided = hallmark_gc::retention::decide(&retention, &images, NOW, |_| false);
        let counts: Vec<&Condition> = retention.rules.iter().flat_map(|rule| counts(&rule.when)).collect();
        let going: BTreeSet<&String> = decided.victims.iter().flat_map(|victim| &victim.tags).collect();
        for victim in &decided.victims {
            let against = |tag: &String| victim.against.iter().any(|place| decided.newest[*place].contains(tag));
            let mut later = images.clone();
            for image in &mut later {
                image.tags.retain(|(tag, _)| !gone.contains(tag.as_str()) || against(tag) || going.contains(tag));
            }
            let place = images.iter().position(|image| image.id == victim.image).unwrap();
            for tag in images[place].tags.iter().filter(|(tag, _)| victim.tags.contains(tag)) {
                for count in &counts {
                    let counted = |images| Naive { images }.holds(count, &images[place], Some(tag));
                    prop_assert!(counted(&images) || !counted(&later), "{} {:?}", tag.0, count);
                }
            }
        }
    }

    /// Whoever takes away what is told in its order never meets a manifest that something still names.
    #[test]
    fn an_index_goes_before_what_it_names(retention in retention(), images in images()) {
        let order = decide(&retention, &images, NOW, |_| false);
        for (place, victim) in order.iter().enumerate().filter(|(_, victim)| victim.whole) {
            for parent in (Naive { images: &images }).parents(victim.image) {
                prop_assert!(order[..place].iter().any(|before| before.whole && before.image == parent.id));
            }
        }
    }

    #[test]
    fn a_rule_that_keeps_beats_all_others(mut retention in retention(), images in images()) {
        let keep = Rule { name: "all".to_owned(), action: Action::Keep, when: Condition::All(Vec::new()) };
        retention.rules.push(keep);
        prop_assert_eq!(decide(&retention, &images, NOW, |_| false), []);
    }

    #[test]
    fn what_stays_for_another_reason_stays(retention in retention(), images in images()) {
        for victim in decide(&retention, &images, NOW, |tag| tag == "latest") {
            prop_assert!(!victim.tags.contains(&"latest".to_owned()));
            let image = images.iter().find(|image| image.id == victim.image).unwrap();
            prop_assert!(!victim.whole || !image.tags.iter().any(|(tag, _)| tag == "latest"));
        }
    }
}

/// Whoever takes one away looks at what it was weighed against, however much else is counted.
#[test]
fn what_goes_was_weighed_in_its_own_count() {
    let count = NewestVersions { count: 1, per: Per::Minor, tags: "*".to_owned() };
    let rules = [(Action::Remove, Condition::All(Vec::new())), (Action::Keep, Condition::NewestVersions(count))];
    let rules = rules.map(|(action, when)| Rule { name: "rule".to_owned(), action, when });
    let retention = Retention { rules: rules.to_vec() };
    let tagged = |id, tags: &[&str]| {
        let tags = tags.iter().map(|tag| ((*tag).to_owned(), NOW)).collect();
        Image { id, pushed_at: NOW, tags, ..Image::default() }
    };
    let images = [tagged(1, &["1.0.0"]), tagged(2, &["1.0.1"]), tagged(3, &["1.1.0", "1"]), tagged(4, &["1.1.2"])];
    let decided = hallmark_gc::retention::decide(&retention, &images, NOW, |_| false);
    let told: Vec<(i64, Vec<&BTreeSet<String>>)> = decided
        .victims
        .iter()
        .map(|victim| (victim.image, victim.against.iter().map(|place| &decided.newest[*place]).collect()))
        .collect();
    let [of_the_first, of_the_second] = ["1.0.1", "1.1.2"].map(|tag| BTreeSet::from([tag.to_owned()]));
    assert_eq!(told, [(1, vec![&of_the_first]), (3, vec![&of_the_second])]);
}

#[test]
fn signatures_are_not_judged_by_themselves() {
    let remove = Rule { name: "all".to_owned(), action: Action::Remove, when: Condition::All(Vec::new()) };
    let retention = Retention { rules: vec![remove] };
    let signature = (format!("sha256-{}.sig", "0a".repeat(32)), NOW);
    let images = [
        Image { id: 1, tags: vec![signature], ..Image::default() },
        Image { id: 2, refers: Refers::Here, ..Image::default() },
        Image { id: 3, tags: vec![("v1".to_owned(), NOW)], ..Image::default() },
    ];
    assert_eq!(told(decide(&retention, &images, NOW, |_| false)), [(3, vec!["v1".to_owned()], true)]);
}

/// As cosign lays signatures down in a repository of their own.
#[test]
fn what_refers_to_nothing_here_is_judged_by_its_tags_and_stays_without() {
    let remove = Rule { name: "all".to_owned(), action: Action::Remove, when: Condition::All(Vec::new()) };
    let tagged = |id, tags: &[&str]| Image {
        id,
        refers: Refers::Away,
        tags: tags.iter().map(|tag| ((*tag).to_owned(), NOW)).collect(),
        ..Image::default()
    };
    let signature = format!("sha256-{}.sig", "0a".repeat(32));
    let images = [tagged(1, &[]), tagged(2, &["v1"]), tagged(3, &[&signature]), tagged(4, &["v2", &signature])];
    let retention = Retention { rules: vec![remove] };
    let expected = [(2, vec!["v1".to_owned()], true), (4, vec!["v2".to_owned()], false)];
    assert_eq!(told(decide(&retention, &images, NOW, |_| false)), expected);
}

/// A pull may stay unwritten for a while: the days of a rule are over when every pull within them is known.
#[test]
fn a_pull_counts_a_little_longer_than_its_rule_says() {
    let rules = [
        (Action::Remove, Condition::All(Vec::new())),
        (Action::Keep, Condition::All(vec![Condition::PulledWithinDays(3)])),
    ];
    let rules = rules.map(|(action, when)| Rule { name: "rule".to_owned(), action, when });
    let retention = Retention { rules: rules.to_vec() };
    assert!(retention.asks_for_pulls() && !Retention { rules: rules[..1].to_vec() }.asks_for_pulls());
    let image = Image { tags: vec![("v1".to_owned(), 0)], pulled_at: Some(NOW), ..Image::default() };
    for (later, goes) in [(3 * DAY + UNWRITTEN - 1, 0), (3 * DAY + UNWRITTEN, 1)] {
        let image = [image.clone()];
        assert_eq!(decide(&retention, &image, NOW + later, |_| false).len(), goes, "{later}");
    }
}

/// Indexes that name each other in a row, the last one first by their numbers: looking at all of them for each would take hours.
#[test]
fn a_long_row_of_indexes_is_decided_on_at_once() {
    const LONG: i64 = 200_000;
    let remove = Rule { name: "all".to_owned(), action: Action::Remove, when: Condition::All(Vec::new()) };
    let of = |id: i64| Image {
        id,
        tags: vec![(format!("v{id}"), 0)],
        children: (id > 0).then_some(id - 1).into_iter().collect(),
        ..Image::default()
    };
    let images: Vec<Image> = (0..LONG).map(of).collect();
    let begin = Instant::now();
    let victims = decide(&Retention { rules: vec![remove] }, &images, NOW, |_| false);
    assert!(victims.iter().all(|victim| victim.whole) && victims.len() == images.len());
    assert!(victims.is_sorted_by_key(|victim| -victim.image), "each before what it names");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}
