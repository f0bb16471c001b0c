//! Which images go by rule: a function of what a repository holds, without I/O. A preview and the job that deletes both ask it.
//! What it names is taken away as a user would: into the trash, and only when nothing else keeps it by then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use hallmark_storage::metadata::Refers;
use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::policy::is_signature;

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// How much longer than its rule says a pull counts, in milliseconds: longer than any stays unwritten, so that every pull within the
/// days of the rule is known when its days are judged to be over.
pub const UNWRITTEN: i64 = 10 * 60 * 1_000;

/// What is kept and what goes. What no rule names stays; what one keeps stays, whatever others say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Retention {
    /// Whether any rule asks when something was last pulled.
    #[must_use]
    pub fn asks_for_pulls(&self) -> bool {
        self.rules.iter().any(|rule| rule.when.asks_for_pulls())
    }
}

impl Condition {
    fn asks_for_pulls(&self) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(Self::asks_for_pulls),
            Self::Not(condition) => condition.asks_for_pulls(),
            Self::PulledWithinDays(_) => true,
            Self::Tag(_)
            | Self::Untagged(_)
            | Self::PushedWithinDays(_)
            | Self::Newest(_)
            | Self::NewestVersions(_) => false,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How it is called where it is told what went by it.
    pub name: String,
    /// Whether what it matches is kept or goes.
    #[serde(rename = "do")]
    pub action: Action,
    /// What it matches.
    pub when: Condition,
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stays.
    Keep,
    /// It goes, unless another rule keeps it.
    Remove,
}

/// What is asked of a tag, or of a manifest without any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// All of these; an empty list matches everything.
    All(Vec<Condition>),
    /// One of these at least.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// The tag matches this pattern.
    Tag(String),
    /// Whether no tag points to the manifest.
    Untagged(bool),
    /// It was pushed, or the tag moved to it, within so many days.
    PushedWithinDays(u32),
    /// It was pulled within so many days and [`UNWRITTEN`]; what is not known counts as pulled.
    PulledWithinDays(u32),
    /// The tag is one of the newest that match a pattern.
    Newest(Newest),
    /// The tag is one of the newest versions, such as `1.2.3` or `v1.2.3-rc.1`, that match a pattern.
    NewestVersions(NewestVersions),
}

/// How many of the newest tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newest {
    /// How many.
    pub count: u32,
    /// Of which tags.
    #[serde(default = "any")]
    pub tags: String,
}

/// How many of the newest versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewestVersions {
    /// How many.
    pub count: u32,
    /// Of each of what.
    #[serde(default)]
    pub per: Per,
    /// Of which tags.
    #[serde(default = "any")]
    pub tags: String,
}

/// What versions are counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// All together.
    #[default]
    Repository,
    /// Each major version by itself.
    Major,
    /// Each minor version by itself.
    Minor,
}

impl Per {
    fn group(self, version: &Version<'_>) -> (u64, u64) {
        match self {
            Self::Repository => (0, 0),
            Self::Major => (version.major, 0),
            Self::Minor => (version.major, version.minor),
        }
    }
}

fn any() -> String {
    "*".to_owned()
}

/// A manifest of the repository, as far as rules ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Its number, which says nothing of its age.
    pub id: i64,
    /// When it was last put, in milliseconds since the epoch.
    pub pushed_at: i64,
    /// When it was last pulled; `None`: that is not known.
    pub pulled_at: Option<i64>,
    /// The tags that point to it, and when each moved there.
    pub tags: Vec<(String, i64)>,
    /// The manifests that it names.
    pub children: Vec<i64>,
    /// Whether it refers to another manifest. With one that is here it lives and dies; one whose subject is not here stays as long
    /// as it has no tag, and is judged by its tags.
    pub refers: Refers,
    /// Whether somebody holds it.
    pub held: bool,
}

/// What was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What goes: first the manifests that do, each after every index that names it, then those of which only tags go.
    pub victims: Vec<Victim>,
    /// Tags that were counted as the newest of some and stay, each count by itself. While those are there that a victim was weighed
    /// against, what is pushed or deleted beside them does not make it one of the newest.
    pub newest: Vec<BTreeSet<String>>,
}

/// What goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Victim {
    /// The manifest.
    pub image: i64,
    /// Those of its tags that go.
    pub tags: Vec<String>,
    /// Whether it goes itself, into the trash: no tag is left, no index that stays names it, and nobody holds it.
    pub whole: bool,
    /// The rule that says so; the first, if several do.
    pub rule: String,
    /// What its tags were weighed against: places in [`Decision::newest`].
    pub against: Vec<usize>,
}

/// One thing that is judged: a tag of an image, or an image without any.
struct Subject<'a> {
    image: &'a Image,
    tag: Option<(&'a str, i64)>,
    /// When it or what it names was last pulled: who has pulled an index once may go on pulling one of its images by digest.
    pulled_at: Option<i64>,
}

/// What goes by these rules at `now`. Tags for which `stays` says yes are kept like what a rule keeps. Tags of signatures, what refers
/// to a manifest that is here, and what has no tag and refers to one elsewhere or is named by an index, are not judged: they go with
/// what they belong to.
///
/// `images` are all of a repository, by their numbers. Beside them each tag that stays takes some 100 bytes until this returns, and
/// each that goes some 400. It takes a time that grows with the images as sorting them does.
#[must_use]
pub fn decide(retention: &Retention, images: &[Image], now: i64, stays: impl Fn(&str) -> bool) -> Decision {
    let named: BTreeSet<i64> = images.iter().flat_map(|image| image.children.iter().copied()).collect();
    let subjects = subjects(images, &named, now);
    let mut newest = Vec::new();
    let judge = Judge { rules: rules(retention, &subjects, &mut newest), now };
    let mut going: BTreeMap<i64, Going<'_>> = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for subject in &subjects {
        let rule = if subject.tag.is_some_and(|(tag, _)| stays(tag)) { None } else { judge.remove(subject) };
        let Some(rule) = rule else {
            kept.insert(subject.image.id);
            continue;
        };
        let of_image = going.entry(subject.image.id).or_insert(Going { rule, ..Going::default() });
        let Some((tag, _)) = subject.tag else { continue };
        of_image.tags.push(tag.to_owned());
        for place in judge.weighed_in(tag) {
            // What is counted and goes by another rule keeps nothing away.
            newest.get_mut(place).map(|newest| newest.remove(tag));
            of_image.against.insert(place);
        }
    }
    // A shorter version was weighed where the versions of its image were.
    for (image, going) in &mut going {
        if going.tags.iter().any(|tag| is_short(tag)) {
            let tags = find(images, *image).into_iter().flat_map(|image| &image.tags);
            going.against.extend(tags.flat_map(|(tag, _)| judge.weighed_in(tag)));
        }
    }
    let mut victims = Vec::new();
    for image in whole(images, |image| going.contains_key(&image) && !kept.contains(&image)) {
        victims.extend(going.remove(&image).map(|going| going.victim(image, true)));
    }
    // A manifest without a tag that something else keeps does not go at all.
    going.retain(|_, going| !going.tags.is_empty());
    victims.extend(going.into_iter().map(|(image, going)| going.victim(image, false)));
    Decision { victims, newest }
}

/// What goes of an image.
#[derive(Default)]
struct Going<'a> {
    tags: Vec<String>,
    rule: &'a str,
    against: BTreeSet<usize>,
}

impl Going<'_> {
    fn victim(self, image: i64, whole: bool) -> Victim {
        let against = self.against.into_iter().collect();
        Victim { image, tags: self.tags, whole, rule: self.rule.to_owned(), against }
    }
}

fn find(images: &[Image], id: i64) -> Option<&Image> {
    images.binary_search_by_key(&id, |image| image.id).ok().and_then(|place| images.get(place))
}

/// Everything that is judged.
fn subjects<'a>(images: &'a [Image], named: &BTreeSet<i64>, now: i64) -> Vec<Subject<'a>> {
    let mut subjects = Vec::new();
    // Whoever pushes an index pushes what it names first, by digest.
    let is_young = |image: &Image| image.pushed_at.saturating_add(DAY) > now;
    let pulled_at = |image: &Image| {
        let below = image.children.iter().filter_map(|child| find(images, *child));
        below.fold(image.pulled_at, |latest, child| Some(latest?.max(child.pulled_at?)))
    };
    for image in images.iter().filter(|image| image.refers != Refers::Here) {
        let tags = image.tags.iter().filter(|(tag, _)| !is_signature(tag));
        let before = subjects.len();
        let pulled_at = pulled_at(image);
        subjects.extend(tags.map(|(tag, at)| Subject { image, tag: Some((tag, *at)), pulled_at }));
        let is_alone = image.tags.is_empty() && image.refers == Refers::Nothing && !named.contains(&image.id);
        if subjects.len() == before && is_alone && !is_young(image) {
            subjects.push(Subject { image, tag: None, pulled_at });
        }
    }
    subjects
}

/// Those of the images that go whose last reason to stay goes: parents before their children, so that a child may follow. Each is
/// looked at once, when the last index that names it goes.
fn whole(images: &[Image], goes: impl Fn(i64) -> bool) -> Vec<i64> {
    let mut parents: BTreeMap<i64, usize> = BTreeMap::new();
    for child in images.iter().flat_map(|image| &image.children) {
        *parents.entry(*child).or_default() += 1;
    }
    let signs = |image: &Image| image.tags.iter().any(|(tag, _)| is_signature(tag));
    let may_go = |image: &&Image| goes(image.id) && !image.held && !signs(image);
    let free = images.iter().filter(|image| !parents.contains_key(&image.id));
    let mut next: VecDeque<&Image> = free.filter(may_go).collect();
    let mut order = Vec::new();
    while let Some(image) = next.pop_front() {
        order.push(image.id);
        for child in &image.children {
            let Some(left) = parents.get_mut(child) else { continue };
            *left -= 1;
            if *left == 0 {
                next.extend(find(images, *child).filter(may_go));
            }
        }
    }
    order
}

/// A rule made ready: what is counted was counted once.
struct Ready<'a> {
    rule: &'a Rule,
    test: Test,
}

enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Tag(Option<Pattern>),
    Untagged(bool),
    Pushed(i64),
    Pulled(i64),
    Counted(Counted),
}

/// What was counted of some tags: those that count, and of each tag, which count it was weighed in.
struct Counted {
    newest: BTreeSet<String>,
    pattern: Option<Pattern>,
    /// Of all that match, or of the versions in each of these.
    places: Places,
}

/// Places in [`Decision::newest`].
enum Places {
    All(usize),
    Versions(Per, BTreeMap<(u64, u64), usize>),
}

impl Counted {
    /// The count that a tag was weighed in; none for a shorter version, which has none of its own.
    fn weighed_in(&self, tag: &str) -> Option<usize> {
        if !self.pattern.as_ref().is_some_and(|pattern| pattern.matches(tag)) {
            return None;
        }
        match &self.places {
            Places::All(place) => Some(*place),
            Places::Versions(per, places) => places.get(&per.group(&Version::parse(tag)?)).copied(),
        }
    }
}

struct Judge<'a> {
    rules: Vec<Ready<'a>>,
    now: i64,
}

impl<'a> Judge<'a> {
    /// The rule by which it goes; `None`: it stays.
    fn remove(&self, subject: &Subject<'_>) -> Option<&'a str> {
        let mut by = None;
        for Ready { rule, test } in &self.rules {
            if test.holds(subject, self.now) {
                match rule.action {
                    Action::Keep => return None,
                    Action::Remove => drop(by.get_or_insert(rule.name.as_str())),
                }
            }
        }
        by
    }

    /// The counts that a tag was weighed in: at most one for each condition that counts.
    fn weighed_in(&self, tag: &str) -> Vec<usize> {
        let mut places = Vec::new();
        let mut tests: Vec<&Test> = self.rules.iter().map(|ready| &ready.test).collect();
        while let Some(test) = tests.pop() {
            match test {
                Test::All(below) | Test::Any(below) => tests.extend(below),
                Test::Not(below) => tests.push(below),
                Test::Counted(counted) => places.extend(counted.weighed_in(tag)),
                Test::Tag(_) | Test::Untagged(_) | Test::Pushed(_) | Test::Pulled(_) => {}
            }
        }
        places
    }
}

impl Test {
    fn holds(&self, subject: &Subject<'_>, now: i64) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(subject, now)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(subject, now)),
            Self::Not(test) => !test.holds(subject, now),
            // A pattern that cannot be read matches nothing here; a policy with one is refused before.
            Self::Tag(pattern) => {
                subject.tag.is_some_and(|(tag, _)| pattern.as_ref().is_some_and(|pattern| pattern.matches(tag)))
            }
            Self::Untagged(untagged) => subject.tag.is_none() == *untagged,
            Self::Pushed(within) => {
                let at = subject.image.pushed_at.max(subject.tag.map_or(i64::MIN, |(_, at)| at));
                at.saturating_add(*within) > now
            }
            Self::Pulled(within) => {
                subject.pulled_at.is_none_or(|at| at.saturating_add(*within).saturating_add(UNWRITTEN) > now)
            }
            Self::Counted(counted) => subject.tag.is_some_and(|(tag, _)| counted.newest.contains(tag)),
        }
    }
}

fn rules<'a>(retention: &'a Retention, subjects: &[Subject<'_>], newest: &mut Vec<BTreeSet<String>>) -> Vec<Ready<'a>> {
    retention.rules.iter().map(|rule| Ready { rule, test: ready(&rule.when, subjects, newest) }).collect()
}

fn ready(condition: &Condition, subjects: &[Subject<'_>], counts: &mut Vec<BTreeSet<String>>) -> Test {
    let mut each =
        |conditions: &[Condition]| conditions.iter().map(|condition| ready(condition, subjects, counts)).collect();
    let days = |days: u32| i64::from(days).saturating_mul(DAY);
    match condition {
        Condition::All(conditions) => Test::All(each(conditions)),
        Condition::Any(conditions) => Test::Any(each(conditions)),
        Condition::Not(condition) => Test::Not(Box::new(ready(condition, subjects, counts))),
        Condition::Tag(pattern) => Test::Tag(Pattern::parse(pattern).ok()),
        Condition::Untagged(untagged) => Test::Untagged(*untagged),
        Condition::PushedWithinDays(within) => Test::Pushed(days(*within)),
        Condition::PulledWithinDays(within) => Test::Pulled(days(*within)),
        Condition::Newest(newest) => Test::Counted(newest_tags(newest, subjects, counts)),
        Condition::NewestVersions(newest) => Test::Counted(newest_versions(newest, subjects, counts)),
    }
}

fn matching<'a>(pattern: Option<&Pattern>, subjects: &'a [Subject<'_>]) -> Vec<(&'a str, i64)> {
    let tags = subjects.iter().filter_map(|subject| subject.tag);
    tags.filter(|(tag, _)| pattern.is_some_and(|pattern| pattern.matches(tag))).collect()
}

/// Of tags that moved at the same time, those are newer whose names come later.
fn newest_tags(newest: &Newest, subjects: &[Subject<'_>], counts: &mut Vec<BTreeSet<String>>) -> Counted {
    let pattern = Pattern::parse(&newest.tags).ok();
    let mut tags = matching(pattern.as_ref(), subjects);
    tags.sort_by_key(|(tag, at)| Reverse((*at, *tag)));
    let count: BTreeSet<String> = tags.into_iter().take(newest.count as usize).map(|(tag, _)| tag.to_owned()).collect();
    counts.push(count.clone());
    Counted { newest: count, pattern, places: Places::All(counts.len() - 1) }
}

fn newest_versions(newest: &NewestVersions, subjects: &[Subject<'_>], counts: &mut Vec<BTreeSet<String>>) -> Counted {
    let pattern = Pattern::parse(&newest.tags).ok();
    let mut groups: BTreeMap<(u64, u64), Vec<(Version<'_>, &str)>> = BTreeMap::new();
    for (tag, _) in matching(pattern.as_ref(), subjects) {
        let Some(version) = Version::parse(tag) else { continue };
        groups.entry(newest.per.group(&version)).or_default().push((version, tag));
    }
    let (mut kept, mut places) = (BTreeSet::new(), BTreeMap::new());
    for (group, mut versions) in groups {
        versions.sort();
        let count: BTreeSet<String> =
            versions.into_iter().rev().take(newest.count as usize).map(|(_, tag)| tag.to_owned()).collect();
        kept.extend(count.iter().cloned());
        places.insert(group, counts.len());
        counts.push(count);
    }
    // A shorter version, such as 1 or 1.2, is no version of its own: it goes where the one goes that it points to.
    let of_kept = |subject: &&Subject<'_>| subject.tag.is_some_and(|(tag, _)| kept.contains(tag));
    let images: BTreeSet<i64> = subjects.iter().filter(of_kept).map(|subject| subject.image.id).collect();
    let beside = subjects.iter().filter(|subject| images.contains(&subject.image.id)).filter_map(|subject| subject.tag);
    let beside =
        beside.filter(|(tag, _)| is_short(tag) && pattern.as_ref().is_some_and(|pattern| pattern.matches(tag)));
    let beside: Vec<String> = beside.map(|(tag, _)| tag.to_owned()).collect();
    kept.extend(beside);
    Counted { newest: kept, pattern, places: Places::Versions(newest.per, places) }
}

/// Whether a tag is the beginning of versions: one number or two.
fn is_short(tag: &str) -> bool {
    let parts: Vec<&str> = tag.strip_prefix('v').unwrap_or(tag).split('.').collect();
    parts.len() < 3 && parts.iter().all(|part| !part.is_empty() && digits(part).is_some())
}

/// A version of three numbers, in the order of semantic versioning; what follows a `+` counts not at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Version<'a> {
    major: u64,
    minor: u64,
    patch: u64,
    /// Releases come after what was before them.
    is_release: bool,
    before: Vec<Identifier<'a>>,
}

/// A part of what comes before a release: numbers first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(u64),
    Word(&'a str),
}

impl<'a> Version<'a> {
    fn parse(tag: &'a str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (numbers, before) = text.split_once('-').map_or((text, None), |(numbers, before)| (numbers, Some(before)));
        let mut parts = numbers.split('.');
        let (major, minor, patch) = (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
        if parts.next().is_some() || before == Some("") {
            return None;
        }
        let identifier = |part: &'a str| digits(part).map_or(Identifier::Word(part), Identifier::Number);
        let before: Vec<_> = before.map(|before| before.split('.').map(identifier).collect()).unwrap_or_default();
        Some(Self { major, minor, patch, is_release: before.is_empty(), before })
    }
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_their_order() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "v1.0.0-beta.11",
            "1.0.0",
            "v1.2.0",
            "2.0.0",
        ];
        let versions: Vec<_> = order.iter().map(|tag| Version::parse(tag).unwrap()).collect();
        assert!(versions.is_sorted() && versions.windows(2).all(|pair| pair[0] != pair[1]), "{versions:?}");
        for none in ["latest", "1", "v1.2", "20240101", "1.2.3.4", "v", "", "1..2", "1.2.3-", "99999999999999999999"] {
            assert_eq!(Version::parse(none), None, "{none}");
        }
    }
}
