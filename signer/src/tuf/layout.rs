//! Which role names a tag: `tags` itself, or one of the hash bins below it.
//!
//! A publish costs the bin that it changes and the line of each bin in the snapshot, so a bin holds about a thousand tags at
//! most, and there are few bins as long as there are few tags. There are 16 bins, or four times as many, and so on: a bin is all
//! paths whose SHA-256 begins with the same bits, which the role says as a list of prefixes: in hexadecimal, as the specification
//! has it, and beside that in base64, since go-tuf reads them so (`metadata.go`, `IsDelegatedPath`, up to 2.4.2 at least). What is
//! meant by the one reading is a prefix by the other too: each path has two bins at most, and a client that meets the wrong one
//! first asks the other after it.

use aws_lc_rs::digest::{SHA256, digest};

/// The role below `targets` that names a repository's tags, or hands them on to bins.
pub(crate) const TAGS: &str = "tags";
/// What the name of each bin begins with.
const BIN: &str = "bin-";
/// The fewest bins there are, and the most, as powers of two.
const FEWEST: u32 = 4;
const MOST: u32 = 12;
/// How many tags one role names when roles are laid out.
const AIM: usize = 1_000;
/// When a bin has grown so large, the tags are laid out anew.
const FULL: usize = 2_000;

/// How the tags of a repository are spread over roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `tags` names them all.
    Flat,
    /// Two to the power of `bits` bins.
    Bins {
        /// How many bits of a path's SHA-256 tell its bin.
        bits: u32,
    },
}

impl Layout {
    /// The layout for so many tags.
    pub(super) fn of(tags: usize) -> Self {
        if tags <= AIM {
            return Self::Flat;
        }
        let fits = |bits: &u32| tags <= AIM << bits;
        let bits = (FEWEST..MOST).step_by(2).find(fits).unwrap_or(MOST);
        Self::Bins { bits }
    }

    /// The layout whose roles a snapshot names; `None` when no layout has so many bins. Bins of a layout that was too small
    /// stay named, since a role may not vanish: those with the longest names count.
    pub(super) fn read<'n>(files: impl Iterator<Item = &'n str> + Clone) -> Option<Self> {
        let length = |file: &str| file.strip_prefix(BIN).map(str::len);
        let Some(longest) = files.clone().filter_map(length).max() else { return Some(Self::Flat) };
        let bins = files.filter(|file| length(file) == Some(longest)).count();
        let bits = bins.ilog2();
        let is_one = bins.is_power_of_two() && (FEWEST..=MOST).contains(&bits) && bits.is_multiple_of(2);
        is_one.then_some(Self::Bins { bits })
    }

    /// The smallest layout that has all of these bins that count: what to fill up bins to that are no layout by themselves.
    pub(super) fn around<'n>(files: impl Iterator<Item = &'n str>) -> Self {
        let index = |file: &str| {
            let digits = file.strip_suffix(".json")?.strip_prefix(BIN)?;
            Some((digits.len(), u32::from_str_radix(digits, 16).ok()?))
        };
        let Some((length, highest)) = files.filter_map(index).max() else { return Self::Flat };
        let holds = |bits: &u32| digits(*bits) >= length && highest >> bits == 0;
        let bits = (FEWEST..=MOST).step_by(2).find(holds).unwrap_or(MOST);
        Self::Bins { bits }
    }

    /// The larger of the two: tags are never laid out in fewer roles again.
    pub(super) fn or_larger(self, other: Self) -> Self {
        let bits = |layout| if let Self::Bins { bits } = layout { bits } else { 0 };
        if bits(self) >= bits(other) { self } else { other }
    }

    /// The role that names a path.
    pub(super) fn role_of(self, path: &str) -> String {
        match self {
            Self::Flat => TAGS.to_owned(),
            Self::Bins { bits } => {
                let sum = digest(&SHA256, path.as_bytes());
                let first = u32::from(sum.as_ref()[0]) << 8 | u32::from(sum.as_ref()[1]);
                name(first >> (16 - bits), bits)
            }
        }
    }

    /// Each bin with the prefixes of what it names.
    pub(super) fn bins(self) -> Vec<(String, Vec<String>)> {
        let Self::Bins { bits } = self else { return Vec::new() };
        (0..1 << bits).map(|index| (name(index, bits), prefixes(index, bits))).collect()
    }

    /// Whether a role that names so many tags is to be split.
    pub(super) fn is_crowded(self, tags: usize) -> bool {
        match self {
            Self::Flat => tags > AIM,
            Self::Bins { bits } => bits < MOST && tags > FULL,
        }
    }
}

/// Whether a role is one that a repository of ours has, in whichever layout.
pub(super) fn is_role(role: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_bin = |bin: &str| (1..=digits(MOST)).contains(&bin.len()) && bin.bytes().all(is_digit);
    role == "targets" || role == TAGS || role.strip_prefix(BIN).is_some_and(is_bin)
}

/// How many hexadecimal digits tell a bin.
const fn digits(bits: u32) -> usize {
    bits.div_ceil(4) as usize
}

/// The prefixes of all sums that begin with these bits, by both readings.
fn prefixes(index: u32, bits: u32) -> Vec<String> {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let width = digits(bits);
    let within = |wide: u32| {
        let each = 1 << (wide - bits);
        (0..each).map(move |low| index * each + low)
    };
    let hex = within(4 * width as u32).map(|prefix| format!("{prefix:0width$x}"));
    let letters = bits.div_ceil(6);
    let base64 = within(6 * letters).map(|prefix| {
        (0..letters).rev().map(|letter| char::from(BASE64[(prefix >> (6 * letter) & 63) as usize])).collect()
    });
    hex.chain(base64).collect()
}

fn name(index: u32, bits: u32) -> String {
    let digits = digits(bits);
    format!("{BIN}{index:0digits$x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_tags_stand_in_one_role_and_more_in_sixteen_bins_or_four_times_as_many() {
        let bins = |tags| Layout::of(tags).bins().len();
        assert_eq!([0, 1, 1_000].map(bins), [0; 3]);
        assert_eq!([1_001, 16_000, 16_001, 64_000, 256_000, 256_001].map(bins), [16, 16, 64, 64, 256, 1_024]);
        assert_eq!([1_000_000, 1_024_001, 100_000_000].map(bins), [1_024, 4_096, 4_096]);
    }

    #[test]
    fn every_path_is_named_by_the_bin_whose_prefixes_begin_its_hash_and_at_most_by_one_more() {
        use base64::Engine as _;
        for bits in [4, 6, 8, 10, 12] {
            let layout = Layout::Bins { bits };
            let bins = layout.bins();
            assert_eq!(Layout::read(bins.iter().map(|(name, _)| name.as_str())), Some(layout));
            for number in 0..500 {
                let path = format!("acme/web/{number}");
                let sum = digest(&SHA256, path.as_bytes());
                for text in [crate::hex(sum.as_ref()), base64::engine::general_purpose::URL_SAFE.encode(sum)] {
                    let begins = |(_, prefixes): &&(String, Vec<String>)| {
                        prefixes.iter().any(|prefix| text.starts_with(prefix.as_str()))
                    };
                    let told: Vec<&str> = bins.iter().filter(begins).map(|(name, _)| name.as_str()).collect();
                    assert!(told.contains(&layout.role_of(&path).as_str()), "{path} at {bits} bits: {told:?}");
                    assert!(told.len() <= 2, "{path} at {bits} bits: {told:?}");
                }
            }
        }
    }

    #[test]
    fn a_number_of_bins_that_is_no_layout_is_told() {
        let read = |bins: u32| {
            let names: Vec<String> = (0..bins).map(|bin| format!("bin-{bin:04x}.json")).collect();
            Layout::read(names.iter().map(String::as_str))
        };
        assert_eq!([1, 8, 15, 17, 32, 8_192].map(read), [None; 6]);
        assert_eq!(read(0), Some(Layout::Flat));
    }

    #[test]
    fn stray_bins_are_filled_up_to_the_smallest_layout_that_has_them() {
        let around = |names: &[&str]| Layout::around(names.iter().copied());
        assert_eq!(around(&["tags.json"]), Layout::Flat);
        for (names, bits) in [
            (&["bin-0.json"][..], 4),
            (&["bin-f.json", "tags.json"], 4),
            (&["bin-f.json", "bin-3f.json"], 6),
            (&["bin-00.json"], 6),
            (&["bin-40.json"], 8),
            (&["bin-3ff.json"], 10),
            (&["bin-fff.json"], 12),
        ] {
            let layout = around(names);
            assert_eq!(layout, Layout::Bins { bits }, "{names:?}");
            let whole = layout.bins().into_iter().map(|(name, _)| format!("{name}.json"));
            let both: std::collections::BTreeSet<String> =
                whole.chain(names.iter().map(|&name| name.to_owned())).collect();
            assert_eq!(Layout::read(both.iter().map(String::as_str)), Some(layout), "{names:?}");
        }
    }

    #[test]
    fn roles_of_a_layout_that_was_too_small_do_not_count() {
        let of = |bits| Layout::Bins { bits }.bins().into_iter().map(|(name, _)| format!("{name}.json"));
        for (small, large) in [(4, 6), (6, 8), (4, 8), (8, 10), (10, 12)] {
            let both: std::collections::BTreeSet<String> = of(small).chain(of(large)).collect();
            assert_eq!(Layout::read(both.iter().map(String::as_str)), Some(Layout::Bins { bits: large }));
        }
    }
}
