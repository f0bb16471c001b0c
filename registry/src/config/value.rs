//! One setting as it was given, and the few shapes it can be read as.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::source::Place;

/// A value as its source spelled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

impl fmt::Display for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Boolean(switch) => write!(formatter, "{switch}"),
            Self::List(items) => formatter.write_str(&items.join(",")),
        }
    }
}

/// A value, where it was found, and the folder that a relative path in it starts from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) raw: Raw,
    pub(super) place: Place,
    pub(super) base: PathBuf,
}

/// Why a value is not accepted, where that says more than the accepted values do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused(pub(super) Option<String>);

impl Refused {
    pub(super) fn because(reason: impl fmt::Display) -> Self {
        Self(Some(reason.to_string()))
    }
}

impl Setting {
    /// A value typed as a flag or a variable: always text, paths relative to the working folder.
    pub(super) fn typed(text: String, place: Place) -> Self {
        Self { raw: Raw::Text(text), place, base: PathBuf::new() }
    }

    pub(super) fn text(&self) -> Result<&str, Refused> {
        match &self.raw {
            Raw::Text(text) if !text.is_empty() && !text.contains('\0') => Ok(text),
            _ => Err(Refused::default()),
        }
    }

    /// A value with a grammar of its own.
    pub(super) fn parse<T: FromStr>(&self) -> Result<T, Refused> {
        self.text()?.parse().map_err(|_| Refused::default())
    }

    pub(super) fn path(&self) -> Result<PathBuf, Refused> {
        self.text().map(|text| self.base.join(Path::new(text)))
    }

    pub(super) fn switch(&self) -> Result<bool, Refused> {
        match &self.raw {
            Raw::Boolean(switch) => Ok(*switch),
            Raw::Text(text) if text == "true" => Ok(true),
            Raw::Text(text) if text == "false" => Ok(false),
            _ => Err(Refused::default()),
        }
    }

    pub(super) fn number(&self, accepted: RangeInclusive<u32>) -> Result<u32, Refused> {
        let number = match &self.raw {
            Raw::Integer(number) => u32::try_from(*number).ok(),
            Raw::Text(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| accepted.contains(number)).ok_or_else(Refused::default)
    }

    /// A time with its unit, such as `250ms`, `30s`, `15m`, `24h` or `7d`.
    pub(super) fn duration(&self, accepted: RangeInclusive<Duration>) -> Result<Duration, Refused> {
        let (number, unit) = split_unit(self.text()?).ok_or_else(Refused::default)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(Refused::default()),
        };
        let duration = number.checked_mul(milliseconds).map(Duration::from_millis);
        duration.filter(|duration| accepted.contains(duration)).ok_or_else(Refused::default)
    }

    /// A size in bytes, alone or with `KiB` or `MiB`.
    pub(super) fn bytes(&self, accepted: RangeInclusive<usize>) -> Result<usize, Refused> {
        let size = match &self.raw {
            Raw::Integer(number) => usize::try_from(*number).ok(),
            Raw::Text(text) => split_unit(text).and_then(|(number, unit)| {
                let factor = match unit {
                    "" => 1,
                    "KiB" => 1 << 10,
                    "MiB" => 1 << 20,
                    _ => return None,
                };
                usize::try_from(number.checked_mul(factor)?).ok()
            }),
            _ => None,
        };
        size.filter(|size| accepted.contains(size)).ok_or_else(Refused::default)
    }

    /// A list in the file; words with commas between them as a flag or a variable.
    pub(super) fn list<T, E: fmt::Display>(&self, parse: fn(&str) -> Result<T, E>) -> Result<Vec<T>, Refused> {
        let parse = |word: &str| parse(word).map_err(|error| Refused::because(format_args!("`{word}`: {error}")));
        self.words()?.into_iter().map(parse).collect()
    }

    fn words(&self) -> Result<Vec<&str>, Refused> {
        match &self.raw {
            Raw::List(items) => Ok(items.iter().map(String::as_str).collect()),
            Raw::Text(text) => Ok(text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()),
            Raw::Integer(_) | Raw::Boolean(_) => Err(Refused::default()),
        }
    }
}

/// `15m` is 15 and `m`; there is no space, no sign and no fraction.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}
