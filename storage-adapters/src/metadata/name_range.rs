/// Above every name: names are ASCII without control characters.
const END: &str = "\u{7f}";
/// Behind a text it is the least text after it that can be one here.
pub(super) const NEXT: char = '\u{1}';

/// A part of what is ordered by name: from the first, inclusive, to the end, exclusive, in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRange {
    pub(super) first: String,
    pub(super) end: String,
}

impl NameRange {
    /// All names after this one.
    #[must_use]
    pub fn after(name: Option<&str>) -> Self {
        Self::of("", name)
    }

    /// The names after this one that begin with these bytes.
    #[must_use]
    pub fn of(prefix: &str, after: Option<&str>) -> Self {
        let end = if prefix.is_empty() { Some(END.to_owned()) } else { end_of(prefix) };
        let after = after.map(|after| format!("{after}{NEXT}")).unwrap_or_default();
        let first = after.max(prefix.to_owned());
        // What no name can begin with is the range of nothing.
        Self { end: end.unwrap_or_else(|| first.clone()), first }
    }

    /// Whether a name is within.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.first.as_str() <= name && name < self.end.as_str()
    }

    /// What is in both.
    pub(super) fn and(&self, first: &str, end: &str) -> Option<Self> {
        let (first, end) = (self.first.as_str().max(first), self.end.as_str().min(end));
        (first < end).then(|| Self { first: first.to_owned(), end: end.to_owned() })
    }
}

/// The text after all that begin with this one: its last byte raised.
pub(super) fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    let last = end.pop().filter(|last| *last < '\u{7f}')?;
    end.push(char::from(u8::try_from(last).ok()? + 1));
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_begins_with_the_prefix_and_nothing_else() {
        let names = ["a", "acm", "acme", "acme-a", "acme.a", "acme/z", "acme0", "acmf", "b", "zz"];
        let within = |prefix: &str, after: Option<&str>| -> Vec<&str> {
            let range = NameRange::of(prefix, after);
            names.into_iter().filter(|name| range.contains(name)).collect()
        };
        assert_eq!(within("", None), names);
        for prefix in ["a", "acme", "acme/", "acme-", "acmz", "z", "zz", "zzz", "A"] {
            let expected: Vec<_> = names.into_iter().filter(|name| name.starts_with(prefix)).collect();
            assert_eq!(within(prefix, None), expected, "{prefix}");
            for after in names {
                let left: Vec<_> = expected.iter().copied().filter(|name| *name > after).collect();
                assert_eq!(within(prefix, Some(after)), left, "{prefix} after {after}");
            }
        }
        assert_eq!(within("é", None), [""; 0]);
        assert_eq!(within("\u{7f}", None), [""; 0]);
    }
}
